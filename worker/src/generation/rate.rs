//! How many tokens a second there are now.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What counts as now. Who has said nothing for so long says nothing.
pub(crate) const WINDOW: Duration = Duration::from_secs(2);
const BUCKET: Duration = Duration::from_millis(250);
/// A stream that has just begun is measured over this at least, so that its
/// first token is not a thousand a second.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Counts tokens in buckets and forgets the old ones.
#[derive(Debug, Default)]
pub(super) struct TokenRate {
    /// When each began, and its tokens.
    buckets: VecDeque<(Instant, u64)>,
    total: u64,
}

impl TokenRate {
    /// Notes `tokens` tokens at `now`; instants do not go back.
    pub(super) fn add(&mut self, tokens: u64, now: Instant) {
        if tokens == 0 {
            return;
        }
        self.total += tokens;
        let age = |start: Instant| now.saturating_duration_since(start);
        self.buckets.retain(|(start, _)| age(*start) < WINDOW);
        match self.buckets.back_mut() {
            Some((start, count)) if age(*start) < BUCKET => *count += tokens,
            _ => self.buckets.push_back((now, tokens)),
        }
    }

    /// All tokens ever.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Tokens per second within the window; `None` when none came in it.
    pub(super) fn per_second(&self, now: Instant) -> Option<f64> {
        let age = |start: Instant| now.saturating_duration_since(start);
        let mut recent = self.buckets.iter().filter(|(start, _)| age(*start) < WINDOW).peekable();
        let (oldest, _) = recent.peek()?;
        let seconds = age(*oldest).max(SPAN_MIN).as_secs_f64();
        let count: u64 = recent.map(|(_, count)| count).sum();
        Some(count as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_steady_stream_has_its_rate_and_two_seconds_after_its_last_token_none() {
        let start = Instant::now();
        let mut rate = TokenRate::default();
        assert_eq!(rate.per_second(start), None);
        for tenth in 0..300 {
            rate.add(4, start + MS(100 * tenth));
        }
        let last = start + MS(29_900);
        for soon in [0, 100, 500] {
            let measured = rate.per_second(last + MS(soon)).unwrap();
            assert!((28.0..=46.0).contains(&measured), "{soon} ms later: {measured}");
        }
        assert_eq!(rate.per_second(last + WINDOW), None);
        assert_eq!(rate.total(), 1200);
    }

    #[test]
    fn the_first_token_is_one_a_second_and_a_slow_stream_keeps_its_rate() {
        let start = Instant::now();
        let mut rate = TokenRate::default();
        rate.add(1, start);
        assert_eq!(rate.per_second(start), Some(1.0));
        for second in 1..20 {
            rate.add(1, start + MS(1000 * second));
        }
        let measured = rate.per_second(start + MS(19_500)).unwrap();
        assert!((0.6..=2.0).contains(&measured), "{measured}");
        assert!(rate.buckets.len() <= 9);
    }
}
