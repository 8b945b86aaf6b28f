//! The clock hyper sees: it shows what the connection's owner last set, and collects the earliest time hyper asks for.
//!
//! hyper uses it for keep-alive pings alone, all polled within its connection future: so nobody has to be woken, the
//! owner polls that future when the time has come.
//!
//! It does not count time for which the owner itself stood still. hyper looks whether a ping's time is up before it reads
//! what came, so a client that was stopped for longer would take the answer that lies unread for missing.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// No time.
const NEVER: u64 = u64::MAX;

/// An owner that comes this much after the time asked for stood still.
const LATE: u64 = Duration::from_millis(50).as_nanos() as u64;

/// What is left then until the time asked for: enough to read what came meanwhile.
const LAST_CHANCE: u64 = Duration::from_millis(100).as_nanos() as u64;

/// A clock that is set by hand.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    /// What the others count from, in nanoseconds.
    base: Instant,
    now: AtomicU64,
    wanted: AtomicU64,
    /// How much is not counted.
    skipped: AtomicU64,
}

impl Clock {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Hands {
            base: now,
            now: AtomicU64::new(0),
            wanted: AtomicU64::new(NEVER),
            skipped: AtomicU64::new(0),
        }))
    }

    fn nanos(&self, at: Instant) -> u64 {
        // Nanoseconds of 584 years fit; what does not is never.
        u64::try_from(at.saturating_duration_since(self.0.base).as_nanos()).unwrap_or(NEVER)
    }

    /// Sets the time.
    pub(crate) fn set(&self, now: Instant) {
        let skipped = self.0.skipped.load(Ordering::Relaxed);
        let mut nanos = self.nanos(now).saturating_sub(skipped);
        let late = nanos.saturating_sub(self.0.wanted.load(Ordering::Relaxed));
        if late > LATE {
            self.0.skipped.store(skipped + late + LAST_CHANCE, Ordering::Relaxed);
            nanos = nanos.saturating_sub(late + LAST_CHANCE);
        }
        self.0.now.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The earliest time asked for.
    pub(crate) fn wanted(&self) -> Option<Instant> {
        match self.0.wanted.load(Ordering::Relaxed) {
            NEVER => None,
            nanos => {
                let skipped = self.0.skipped.load(Ordering::Relaxed);
                Some(self.0.base + Duration::from_nanos(nanos.saturating_add(skipped)))
            }
        }
    }

    /// Whether a time asked for has come; forgets it then.
    pub(crate) fn take_due(&self) -> bool {
        let due = self.0.now.load(Ordering::Relaxed) >= self.0.wanted.load(Ordering::Relaxed);
        if due {
            self.0.wanted.store(NEVER, Ordering::Relaxed);
        }
        due
    }

    fn sleep_until_nanos(&self, nanos: u64) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { clock: self.clone(), nanos })
    }
}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(NEVER);
        self.sleep_until_nanos(self.0.now.load(Ordering::Relaxed).saturating_add(nanos))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep_until_nanos(self.nanos(deadline))
    }

    fn now(&self) -> Instant {
        self.0.base + Duration::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Until>() {
            Some(mut until) => until.nanos = self.nanos(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A sleep by a [`Clock`].
struct Until {
    clock: Clock,
    nanos: u64,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.0.now.load(Ordering::Relaxed) >= self.nanos {
            return Poll::Ready(());
        }
        self.clock.0.wanted.fetch_min(self.nanos, Ordering::Relaxed);
        Poll::Pending
    }
}

impl Sleep for Until {}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;

    #[test]
    fn the_earliest_wish_is_told_once_and_renewed_by_a_poll() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let mut cx = Context::from_waker(Waker::noop());
        let second = Duration::from_secs(1);
        let mut early = clock.sleep(second);
        let mut late = clock.sleep_until(start + 2 * second);
        assert_eq!(clock.wanted(), None);
        assert!(late.as_mut().poll(&mut cx).is_pending() && early.as_mut().poll(&mut cx).is_pending());
        assert_eq!(clock.wanted(), Some(start + second));
        assert!(!clock.take_due());
        clock.set(start + second);
        assert!(clock.take_due() && !clock.take_due());
        assert!(late.as_mut().poll(&mut cx).is_pending() && early.as_mut().poll(&mut cx).is_ready());
        assert_eq!(clock.wanted(), Some(start + 2 * second));
        clock.reset(&mut late, start + 3 * second);
        clock.set(start + 2 * second);
        assert!(clock.take_due() && late.as_mut().poll(&mut cx).is_pending());
        assert_eq!((clock.wanted(), clock.now()), (Some(start + 3 * second), start + 2 * second));
    }

    #[test]
    fn time_for_which_the_owner_stood_still_does_not_count() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let mut cx = Context::from_waker(Waker::noop());
        let (second, chance) = (Duration::from_secs(1), Duration::from_nanos(LAST_CHANCE));
        let mut sleep = clock.sleep(second);
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        for late in [5 * second, 9 * second] {
            clock.set(start + late);
            assert!(!clock.take_due() && sleep.as_mut().poll(&mut cx).is_pending());
            assert_eq!(clock.wanted(), Some(start + late + chance));
        }
        // A little late is usual.
        clock.set(start + 9 * second + chance + Duration::from_millis(50));
        assert!(clock.take_due() && sleep.as_mut().poll(&mut cx).is_ready());
        // From here on it runs as before.
        let mut next = clock.sleep(second);
        assert!(next.as_mut().poll(&mut cx).is_pending());
        clock.set(clock.wanted().unwrap());
        assert!(clock.take_due() && next.as_mut().poll(&mut cx).is_ready());
    }
}
