//! A clock that goes on while the machine sleeps.
//!
//! A lease runs out on the server whether the client's machine is awake or not. Rust's [`Instant`] stands still while Linux is
//! suspended (`CLOCK_MONOTONIC`), so time is read from `CLOCK_BOOTTIME` there, and given as the instants that std's clock would
//! show had it gone on. Elsewhere it is std's clock.

use std::time::Instant;

/// The time, that of a suspended machine included.
pub(crate) fn now() -> Instant {
    imp::now()
}

/// What [`Instant::now`] will show at `at`, unless the machine is suspended meanwhile.
pub(crate) fn to_std(at: Instant) -> Instant {
    imp::to_std(at)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};

    /// The two clocks, read together once.
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();

    /// Since the machine was started.
    fn boot_time() -> Duration {
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }

    pub(super) fn now() -> Instant {
        let (start, boot) = *START.get_or_init(|| (Instant::now(), boot_time()));
        start + boot_time().saturating_sub(boot)
    }

    pub(super) fn to_std(at: Instant) -> Instant {
        let (std, ours) = (Instant::now(), now());
        match at.checked_duration_since(ours) {
            Some(left) => std.checked_add(left).unwrap_or(at),
            None => std.checked_sub(ours - at).unwrap_or(std),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use std::time::Instant;

    pub(super) fn now() -> Instant {
        Instant::now()
    }

    pub(super) fn to_std(at: Instant) -> Instant {
        at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// This machine is not suspended by its tests: what is left is how well the two clocks are read together.
    const CLOSE: Duration = Duration::from_secs(1);

    fn distance(one: Instant, other: Instant) -> Duration {
        one.max(other) - one.min(other)
    }

    #[test]
    fn it_goes_forward_beside_that_of_std() {
        let times: Vec<Instant> = (0..1_000).map(|_| now()).collect();
        assert!(times.is_sorted());
        assert!(distance(now(), Instant::now()) < CLOSE);
    }

    #[test]
    fn instants_are_those_of_std() {
        let hour = Duration::from_secs(3_600);
        for at in [now() + hour, now(), now() - CLOSE] {
            assert!(distance(to_std(at), at) < CLOSE);
        }
    }
}
