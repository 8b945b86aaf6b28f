//! When a lease is renewed, and for how long an answer is waited for.

use core::time::Duration;
use std::time::Instant;

/// The least wait for an answer, and before another attempt.
const FLOOR: Duration = Duration::from_millis(50);

/// What a lease of unknown time to live is taken for.
pub(crate) const UNKNOWN_TTL: Duration = Duration::from_secs(6);

/// The longest time to live etcd grants, in seconds (`MaxLeaseTTL`, server/lease/lessor.go).
pub(crate) const MAX_TTL: u64 = 9_000_000_000;

/// A time to live as it stands on the wire: none, or less, is none, and more than there is, is the most there is.
pub(crate) fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0).min(MAX_TTL))
}

/// When a lease renewed by a request of this time is renewed next: after a third of its time to live, or a little
/// earlier. Times are cut to a grid that begins at `epoch`, so that leases of about the same time are renewed together.
pub(crate) fn renew_at(epoch: Instant, sent: Instant, ttl: Duration) -> Instant {
    let third = ttl / 3;
    on_grid(epoch, sent, third)
}

/// How long the answer to a renewal is waited for before it is asked for elsewhere too: a sixth of the time to live, less
/// near the expiry.
pub(crate) fn overdue_at(epoch: Instant, sent: Instant, ttl: Duration, until: Option<Instant>) -> Instant {
    let sixth = ttl / 6;
    let left = until.map_or(ttl, |until| until.saturating_duration_since(sent));
    on_grid(epoch, sent, sixth.min(left / 3).max(FLOOR))
}

/// How long a back-off may last when a lease has so much time left: a leader that comes and goes meanwhile is a chance
/// missed.
pub(crate) fn hurry(delay: Duration, left: Duration) -> Duration {
    delay.min(left / 10).max(FLOOR)
}

/// At half of its time to live without a renewal a lease is at risk.
pub(crate) fn risk_at(until: Instant, ttl: Duration) -> Instant {
    until.checked_sub(ttl / 2).unwrap_or(until)
}

/// `span` after `start`, or up to a 32nd of it earlier.
fn on_grid(epoch: Instant, start: Instant, span: Duration) -> Instant {
    let at = after(start, span);
    let grid = (span / 32).as_nanos();
    let late = at.saturating_duration_since(epoch).as_nanos().checked_rem(grid).unwrap_or(0);
    // Less than a grid's width, which is less than half of a number of nanoseconds that fits.
    at.checked_sub(Duration::from_nanos(u64::try_from(late).unwrap_or(0))).unwrap_or(at)
}

/// `wait` after `start`, as far as the clock can say.
pub(crate) fn after(start: Instant, wait: Duration) -> Instant {
    crate::machine::after(start, wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be made by reading a clock")]
    fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_third_a_sixth_a_half() {
        let start = epoch();
        let ttl = Duration::from_secs(60);
        let third = renew_at(start, start, ttl) - start;
        assert!(third <= Duration::from_secs(20) && third >= Duration::from_millis(19_300), "{third:?}");
        let until = start + ttl;
        let sixth = overdue_at(start, start, ttl, Some(until)) - start;
        assert!(sixth <= Duration::from_secs(10) && sixth >= Duration::from_millis(9_600), "{sixth:?}");
        assert_eq!(risk_at(until, ttl), start + ttl / 2);
    }

    #[test]
    fn near_the_expiry_everything_is_faster() {
        let start = epoch();
        let ttl = Duration::from_secs(60);
        let soon = start + Duration::from_secs(3);
        assert!(overdue_at(start, start, ttl, Some(soon)) <= start + Duration::from_secs(1));
        assert_eq!(overdue_at(start, start, ttl, Some(start)) - start, FLOOR);
        assert_eq!(hurry(Duration::from_secs(1), Duration::from_secs(2)), Duration::from_millis(200));
        assert_eq!(hurry(Duration::from_secs(1), Duration::ZERO), FLOOR);
    }

    proptest! {
        #[test]
        fn leases_of_about_the_same_time_are_renewed_together(
            seconds in 1_u64..100_000, offset in 0_u64..1_000_000_000, ttl in 1_u64..9_000_000_000,
        ) {
            let epoch = epoch();
            let sent = epoch + Duration::from_secs(seconds) + Duration::from_nanos(offset);
            let ttl = Duration::from_secs(ttl);
            let at = renew_at(epoch, sent, ttl);
            prop_assert!(at > sent && at <= after(sent, ttl / 3));
            let overdue = overdue_at(epoch, sent, ttl, None);
            prop_assert!(overdue > sent && overdue <= after(sent, ttl / 6));
        }
    }
}
