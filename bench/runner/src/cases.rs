//! The loads: what runs at which concurrency, and for how long.

use crate::args::Options;

/// One load at one concurrency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) workload: &'static str,
    pub(crate) concurrency: usize,
    /// Calls before measuring.
    pub(crate) warmup: usize,
    /// Calls measured.
    pub(crate) ops: usize,
    /// Calls measured with `--quick`.
    quick_ops: usize,
}

const fn case(
    workload: &'static str,
    concurrency: usize,
    warmup: usize,
    ops: usize,
    quick_ops: usize,
) -> Case {
    Case { workload, concurrency, warmup, ops, quick_ops }
}

/// The last one is the burst of 100,000 puts with 10,000 in flight, which is about memory.
const CASES: [Case; 9] = [
    case("put", 1, 1_000, 30_000, 6_000),
    case("put", 16, 5_000, 200_000, 40_000),
    case("put", 256, 10_000, 300_000, 80_000),
    case("get", 1, 1_000, 30_000, 6_000),
    case("get", 16, 5_000, 200_000, 40_000),
    case("get", 256, 10_000, 300_000, 80_000),
    case("range1000", 4, 200, 5_000, 1_200),
    case("put1100", 64, 5_000, 150_000, 40_000),
    case("put", BURST, 0, 100_000, 100_000),
];

/// Puts in flight in the burst.
pub(crate) const BURST: usize = 10_000;

impl Case {
    pub(crate) fn ops(&self, quick: bool) -> usize {
        if quick { self.quick_ops } else { self.ops }
    }

    /// Clients on several worker threads are compared with each other on steady puts and gets only.
    pub(crate) fn takes(&self, client: &str) -> bool {
        !client.ends_with("-multi") || (matches!(self.workload, "put" | "get") && self.concurrency != BURST)
    }

    /// The burst is about its peak of memory: one round of it is enough.
    pub(crate) fn runs_in(&self, round: usize) -> bool {
        round == 0 || self.concurrency != BURST
    }

    /// `put c=256`.
    pub(crate) fn title(&self) -> String {
        format!("{} c={}", self.workload, self.concurrency)
    }
}

/// The cases that the command line asks for. Instructions are counted, without further filters, at the highest steady
/// concurrency of each load: that is where they say most, and counting is slow.
pub(crate) fn selected(options: &Options) -> Vec<Case> {
    let wanted = |case: &Case| {
        let workload =
            options.workloads.is_empty() || options.workloads.iter().any(|name| name == case.workload);
        let concurrency = if options.concurrencies.is_empty() {
            !options.callgrind || matches!(case.concurrency, 4 | 64 | 256)
        } else {
            options.concurrencies.contains(&case.concurrency)
        };
        workload && concurrency
    };
    CASES.into_iter().filter(wanted).collect()
}
