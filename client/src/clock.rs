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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use nix::time::{ClockId, clock_gettime};

    /// The two clocks, read together once; nothing, if there is no such clock.
    static START: OnceLock<Option<(Instant, Duration)>> = OnceLock::new();
    /// For how many nanoseconds the machine was suspended since.
    static SUSPENDED: AtomicU64 = AtomicU64::new(0);

    /// The clocks are never read at quite the same time: what differs by less is no other suspension, so that an instant stays
    /// the same whenever it is translated.
    const APART: u64 = 20_000_000;

    /// Since the machine was started.
    fn boot_time() -> Option<Duration> {
        clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
    }

    /// When the two clocks were read, and how far that of the machine has come since.
    fn since_start() -> Option<(Instant, Duration)> {
        let read_both = || boot_time().map(|boot| (Instant::now(), boot));
        let (start, boot) = (*START.get_or_init(read_both))?;
        Some((start, boot_time()?.saturating_sub(boot)))
    }

    pub(super) fn now() -> Instant {
        since_start().map_or_else(Instant::now, |(start, all)| start + all)
    }

    pub(super) fn to_std(at: Instant) -> Instant {
        let Some((start, all)) = since_start() else { return at };
        let awake = start.elapsed();
        // Five hundred years fit. A pause between the two readings makes it less: none of a machine that never slept.
        let suspended = u64::try_from(all.saturating_sub(awake).as_nanos()).unwrap_or(u64::MAX);
        let mut known = SUSPENDED.load(Ordering::Relaxed);
        if suspended > known.saturating_add(APART) {
            // It only ever grows.
            SUSPENDED.store(suspended, Ordering::Relaxed);
            known = suspended;
        }
        at.checked_sub(Duration::from_nanos(known)).unwrap_or(at)
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
            let first = to_std(at);
            assert!((0..1_000).all(|_| to_std(at) == first), "the same each time");
        }
    }
}
