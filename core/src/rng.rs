//! The core's only source of chance: a small generator started from a seed the caller gives.

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, full period, good enough for jitter and picking.
///
/// Not for secrets: the output shows the state.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose whole output is fixed by `seed`. Any seed is as good as another, zero included.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// 64 random bits.
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`, every one equally likely; 0 for `n == 0`.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        // Lemire 2019: the high half of a product is the result; the few low halves that would favour some results are redrawn.
        let mut product = self.next_u64() as u128 * n as u128;
        if (product as u64) < n {
            let unfair = n.wrapping_neg() % n;
            while (product as u64) < unfair {
                product = self.next_u64() as u128 * n as u128;
            }
        }
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn output_matches_the_published_generator() {
        let mut rng = Rng::new(1_234_567);
        let seen: Vec<u64> = (0..5).map(|_| rng.next_u64()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(seen, published);
    }

    #[test]
    fn below_is_even() {
        let mut rng = Rng::new(0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn same_seed_same_numbers_and_in_bounds(seed: u64, n: u64) {
            let (mut one, mut two) = (Rng::new(seed), Rng::new(seed));
            for _ in 0..4 {
                let drawn = one.below(n);
                prop_assert_eq!(drawn, two.below(n));
                prop_assert!(drawn < n || (n == 0 && drawn == 0));
            }
        }
    }
}
