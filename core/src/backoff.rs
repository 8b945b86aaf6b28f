//! Exponential backoff with full jitter, for reconnects and retries.

use crate::rng::Rng;
use std::time::Duration;

/// The least wait between two attempts: full jitter may draw zero, and a client must not spin.
const FLOOR: Duration = Duration::from_millis(1);

/// How long to wait between attempts.
///
/// The wait before attempt `n` (from 0) is drawn evenly from zero up to `min(cap, base * 2^n)`, and is never below 1 ms.
/// The width of the draw is what keeps many clients that lost the same server from coming back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Longest wait before the first attempt. Default 50 ms.
    pub base: Duration,
    /// Longest wait before any attempt. Default 3 s.
    pub cap: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { base: Duration::from_millis(50), cap: Duration::from_secs(3) }
    }
}

/// The waits of one series of attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    /// How many waits were handed out since the start or the last reset.
    attempts: u32,
}

impl Backoff {
    /// A series that has not begun.
    pub(crate) const fn new(config: BackoffConfig) -> Self {
        Self { config, attempts: 0 }
    }

    /// A series of so many attempts.
    pub(crate) const fn after(config: BackoffConfig, attempts: u32) -> Self {
        Self { config, attempts }
    }

    /// The wait before the next attempt, which is counted.
    pub(crate) fn next_delay(&mut self, rng: &mut Rng) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempts);
        let ceiling = self.config.base.saturating_mul(factor).min(self.config.cap);
        self.attempts = self.attempts.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.below(nanos.saturating_add(1))).max(FLOOR)
    }

    /// Starts the series again, after a success.
    pub(crate) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn default_config_is_as_documented() {
        let BackoffConfig { base, cap } = BackoffConfig::default();
        assert_eq!((base, cap), (Duration::from_millis(50), Duration::from_secs(3)));
    }

    /// Ceilings double from base to cap, and the draws use the whole width under each.
    #[test]
    fn waits_fill_doubling_ceilings() {
        let ceilings = [50, 100, 200, 400, 800, 1600, 3000, 3000];
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let mut backoff = Backoff::new(BackoffConfig::default());
            for n in 0..ceilings.len() {
                let delay = backoff.next_delay(&mut rng);
                longest[n] = longest[n].max(delay);
                shortest[n] = shortest[n].min(delay);
            }
        }
        for (n, millis) in ceilings.into_iter().enumerate() {
            let ceiling = Duration::from_millis(millis);
            assert!(longest[n] <= ceiling && longest[n] > ceiling.mul_f64(0.95), "{n}: {:?}", longest[n]);
            assert!(shortest[n] >= FLOOR && shortest[n] < ceiling.mul_f64(0.05), "{n}: {:?}", shortest[n]);
        }
    }

    #[test]
    fn reset_starts_again() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::new(BackoffConfig::default());
        for _ in 0..10 {
            backoff.next_delay(&mut rng);
        }
        assert_eq!(backoff.attempts, 10);
        backoff.reset();
        assert_eq!(backoff.attempts, 0);
        assert!(backoff.next_delay(&mut rng) <= Duration::from_millis(50));
    }

    proptest! {
        #[test]
        fn any_config_stays_within_floor_and_cap(base: u64, cap: u64, seed: u64, attempts: u32) {
            let config = BackoffConfig { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap) };
            let mut backoff = Backoff { config, attempts };
            let delay = backoff.next_delay(&mut Rng::new(seed));
            prop_assert!(delay >= FLOOR && delay <= config.cap.max(FLOOR));
            prop_assert_eq!(backoff.attempts, attempts.saturating_add(1));
        }
    }

    #[test]
    fn extreme_durations_do_not_overflow() {
        let config = BackoffConfig { base: Duration::MAX, cap: Duration::MAX };
        let mut backoff = Backoff { config, attempts: u32::MAX };
        assert!(backoff.next_delay(&mut Rng::new(3)) >= FLOOR);
        assert_eq!(backoff.attempts, u32::MAX);
    }
}
