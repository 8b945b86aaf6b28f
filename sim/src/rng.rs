//! The only source of chance: a small generator, and a way to derive seeds from what a draw is for.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, its whole output fixed by its seed.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator; any seed is as good as another.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator for one purpose, so that what is drawn for it does not depend on what was drawn before for others.
    pub fn of(parts: &[u64]) -> Self {
        Self::new(mix(parts))
    }

    /// 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        finish(self.state)
    }

    /// A number in `0..n`; 0 for `n == 0`. The bias is below `n / 2^64`, which no simulation can notice.
    pub const fn below(&mut self, n: u64) -> u64 {
        ((self.next_u64() as u128 * n as u128) >> 64) as u64
    }

    /// An index in `0..n`; 0 for `n == 0`.
    pub const fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// True `per_mille` times in a thousand.
    pub const fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration from `least` up to and without `most`, in whole microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let width = most.saturating_sub(least).as_micros() as u64;
        least + Duration::from_micros(self.below(width))
    }

    /// One of these.
    ///
    /// # Panics
    /// There are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

const fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number out of several: a seed for a purpose.
pub fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| finish(state.wrapping_add(GAMMA) ^ finish(part.wrapping_add(GAMMA))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_matches_the_published_generator() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_bounds_and_seeds_differ() {
        let mut rng = Rng::of(&[1, 2]);
        for n in [1, 2, 7, 1000] {
            assert!((0..1000).all(|_| rng.below(n) < n));
        }
        assert_eq!(rng.below(0), 0);
        let (low, high) = (Duration::from_millis(1), Duration::from_millis(3));
        assert!((0..1000).map(|_| rng.between(low, high)).all(|d| d >= low && d < high));
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
        assert_ne!(mix(&[0]), mix(&[0, 0]));
    }
}
