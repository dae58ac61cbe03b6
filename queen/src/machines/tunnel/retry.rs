//! When a lost connection is tried again. Pure.

use std::time::Duration;

use lifecycle::ssh::SshFault;

/// The wait after a first failure, doubled with each one.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// As long as a worker keeps a stream that nobody reads: until then a wait
/// must leave time for the stream to be taken up again.
const STREAMS_WAIT: Duration = Duration::from_secs(60);
const RETRY_WHILE_STREAMS_WAIT: Duration = Duration::from_secs(4);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// What no retry mends is not tried often: a firewall may count the logins.
const RETRY_REFUSED: Duration = Duration::from_secs(300);

/// How long to wait after so many failures in a row, the first of them
/// `down_for` ago; `jitter` is 0 to 1.
pub(super) fn retry_in(
    failures: u32,
    down_for: Duration,
    fault: SshFault,
    jitter: f64,
) -> Duration {
    let is_refused = matches!(
        fault,
        SshFault::Login | SshFault::UnknownHostKey | SshFault::ChangedHostKey | SshFault::NoSsh
    );
    let most = if down_for < STREAMS_WAIT { RETRY_WHILE_STREAMS_WAIT } else { RETRY_MAX };
    let wait = match is_refused {
        true => RETRY_REFUSED,
        false => RETRY_FIRST.saturating_mul(1 << failures.min(10)).min(most),
    };
    // Many machines behind one broken switch do not come back all at once.
    wait.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// Of the wait.
pub(super) fn jitter() -> f64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_tried_again_soon_and_then_less_often() {
        let wait = |failures, down_for, fault| {
            retry_in(failures, Duration::from_secs(down_for), fault, 0.5).as_millis()
        };
        assert_eq!(wait(0, 0, SshFault::Gone), 500);
        assert_eq!(wait(1, 1, SshFault::Unreachable), 1000);
        assert_eq!(wait(3, 5, SshFault::Unreachable), 4000);
        assert_eq!(wait(5, 70, SshFault::Unreachable), 16_000);
        assert_eq!(wait(40, 900, SshFault::Unreachable), 30_000);
        assert_eq!(wait(0, 0, SshFault::Login), 300_000);
        assert_eq!(retry_in(0, Duration::ZERO, SshFault::Gone, 0.0), Duration::from_millis(375));
        assert_eq!(retry_in(0, Duration::ZERO, SshFault::Gone, 1.0), Duration::from_millis(625));
    }

    #[test]
    fn while_streams_wait_for_it_a_connection_is_tried_often() {
        let (mut down_for, mut failures) = (Duration::ZERO, 0);
        while down_for < STREAMS_WAIT {
            let wait = retry_in(failures, down_for, SshFault::Unreachable, 1.0);
            assert!(wait <= STREAMS_WAIT / 12, "{wait:?} after {down_for:?}");
            (down_for, failures) = (down_for + wait, failures + 1);
        }
    }
}
