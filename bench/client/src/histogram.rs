//! A latency histogram of fixed size whose recording costs the same for every client: one relaxed addition.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Buckets per power of two: a relative error below 1.6 %.
const SUB: usize = 64;
const SUB_BITS: u32 = SUB.trailing_zeros();

/// Counts of durations, in nanoseconds.
pub(crate) struct Histogram(Box<[AtomicU32]>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self((0..(65 - SUB_BITS as usize) * SUB).map(|_| AtomicU32::new(0)).collect())
    }

    pub(crate) fn record(&self, taken: Duration) {
        let nanos = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// The value in microseconds below which this share of the records lies; 0 without records.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum();
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.0.iter().enumerate() {
            seen += u64::from(count.load(Ordering::Relaxed));
            if seen >= wanted {
                return middle(index) / 1_000.0;
            }
        }
        0.0
    }
}

/// Below `SUB` one bucket per value, above it `SUB` buckets per power of two.
fn bucket(nanos: u64) -> usize {
    let shift = (64 - nanos.leading_zeros()).saturating_sub(SUB_BITS + 1);
    shift as usize * SUB + (nanos >> shift) as usize
}

fn middle(index: usize) -> f64 {
    if index < 2 * SUB {
        return index as f64;
    }
    let shift = index / SUB - 1;
    ((index % SUB + SUB) as f64 + 0.5) * 2_f64.powi(shift as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_bucket_whose_middle_is_near() {
        for exponent in 0..64 {
            for nanos in [1_u64 << exponent, (1 << exponent) + (1 << exponent) / 3, u64::MAX >> exponent] {
                let near = middle(bucket(nanos));
                assert!((near / nanos as f64 - 1.0).abs() < 0.016, "{nanos} lies in a bucket around {near}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_records() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile_us(0.5), 0.0);
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert!((histogram.quantile_us(0.5) / 500.0 - 1.0).abs() < 0.016);
        assert!((histogram.quantile_us(0.99) / 990.0 - 1.0).abs() < 0.016);
    }
}
