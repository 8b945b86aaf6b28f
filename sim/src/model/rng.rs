//! The model's only source of chance.

use std::time::Duration;

/// SplitMix64: eight bytes of state, every output fixed by the seed.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..1`.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `0..n`; 0 for `n == 0`.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        ((self.next_u64() as u128 * n as u128) >> 64) as u64
    }

    /// A length of time from zero up to `bound`.
    pub(crate) fn within(&mut self, bound: Duration) -> Duration {
        if bound.is_zero() { bound } else { bound.mul_f64(self.fraction()) }
    }

    /// True one time in two.
    pub(crate) const fn coin(&mut self) -> bool {
        self.next_u64() & 1 == 1
    }
}
