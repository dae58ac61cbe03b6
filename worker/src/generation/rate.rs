//! How many tokens a second there were lately.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const BUCKET: Duration = Duration::from_secs(1);
const BUCKETS: usize = 10;

/// Counts tokens in buckets of a second and forgets the old ones.
#[derive(Debug, Default)]
pub(super) struct TokenRate {
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
        match self.buckets.back_mut() {
            Some((start, count)) if now.saturating_duration_since(*start) < BUCKET => {
                *count += tokens;
            }
            _ => self.buckets.push_back((now, tokens)),
        }
        if self.buckets.len() > BUCKETS {
            self.buckets.pop_front();
        }
    }

    /// All tokens ever.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Tokens per second over the last seconds; 0 after a silence.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        const WINDOW: Duration = Duration::from_secs(10);
        let age = |start: Instant| now.saturating_duration_since(start);
        let mut recent = self.buckets.iter().filter(|(start, _)| age(*start) < WINDOW).peekable();
        let Some((oldest, _)) = recent.peek() else { return 0.0 };
        let seconds = age(*oldest).max(BUCKET).as_secs_f64();
        let count: u64 = recent.map(|(_, count)| count).sum();
        let count = count as f64;
        count / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_silence_none() {
        let start = Instant::now();
        let mut rate = TokenRate::default();
        assert_eq!(rate.per_second(start), 0.0);
        for tenth in 0..300 {
            rate.add(4, start + Duration::from_millis(100 * tenth));
        }
        let now = start + Duration::from_secs(30);
        let measured = rate.per_second(now);
        assert!((36.0..=44.0).contains(&measured), "{measured}");
        assert_eq!(rate.per_second(now + Duration::from_secs(20)), 0.0);
        assert_eq!(rate.total(), 1200);
    }
}
