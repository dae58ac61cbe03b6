//! The deadline of a whole call, passed on as what is left of it.
//!
//! It travels as a duration because clocks differ between machines; each hop
//! turns it into an instant of its own monotonic clock on arrival and back
//! into a duration when it calls the next.

use std::time::{Duration, Instant};

use crate::{ApiError, ErrorCode};

/// No call may ask for more than a day: a deadline beyond that is a mistake.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When a call must be over, on this process's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

impl Deadline {
    /// `budget` from `now`.
    pub fn after(budget: Duration, now: Instant) -> Self {
        let budget = budget.min(DEADLINE_MAX);
        Self { at: now + budget, budget }
    }

    /// Reads the header's value.
    pub fn from_header(value: &str, now: Instant) -> Result<Self, ApiError> {
        value.trim().parse().map(|ms| Self::after(Duration::from_millis(ms), now)).map_err(|_| {
            ApiError::new(
                ErrorCode::BadRequest,
                format!(
                    "header {} must be a number of milliseconds",
                    crate::routes::DEADLINE_HEADER
                ),
            )
        })
    }

    /// The instant itself.
    pub fn instant(&self) -> Instant {
        self.at
    }

    /// What is left; zero once it has passed.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// What is left, as the header's value.
    pub fn remaining_ms(&self, now: Instant) -> u64 {
        u64::try_from(self.remaining(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// The error a call ends with when its deadline has passed.
    pub fn exceeded(&self) -> ApiError {
        exceeded_after(self.budget)
    }
}

/// The error of a call that was given `budget` and did not end in it.
pub fn exceeded_after(budget: Duration) -> ApiError {
    ApiError::new(
        ErrorCode::DeadlineExceeded,
        format!("deadline exceeded after {} ms", budget.as_millis()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_shrinks_and_never_goes_below_zero() {
        let now = Instant::now();
        let deadline = Deadline::from_header(" 1500 ", now).unwrap();
        assert_eq!(deadline.remaining_ms(now + Duration::from_millis(500)), 1_000);
        assert_eq!(deadline.remaining_ms(now + Duration::from_secs(9)), 0);
        assert_eq!(deadline.exceeded().message, "deadline exceeded after 1500 ms");
    }

    #[test]
    fn a_header_that_is_no_number_names_the_header() {
        let error = Deadline::from_header("soon", Instant::now()).unwrap_err();
        assert!(error.message.contains("x-rbee-deadline-ms"), "{error}");
    }
}
