//! The loads: what runs at which concurrency, and for how long.

use crate::args::Options;

/// What a load is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unary calls.
    Calls,
    /// Events of one watch: CPU and allocations per event.
    Events,
    /// Watches and leases in other ways.
    Streams,
}

/// One load at one concurrency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
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
    kind: Kind,
    workload: &'static str,
    concurrency: usize,
    warmup: usize,
    ops: usize,
    quick_ops: usize,
) -> Case {
    Case { kind, workload, concurrency, warmup, ops, quick_ops }
}

/// The ninth is the burst of 100,000 puts with 10,000 in flight, which is about memory. What is counted in the loads that
/// follow it are events, watchers, leases, and puts that are events.
const CASES: [Case; 15] = [
    case(Kind::Calls, "put", 1, 1_000, 30_000, 6_000),
    case(Kind::Calls, "put", 16, 5_000, 200_000, 40_000),
    case(Kind::Calls, "put", 256, 10_000, 300_000, 80_000),
    case(Kind::Calls, "get", 1, 1_000, 30_000, 6_000),
    case(Kind::Calls, "get", 16, 5_000, 200_000, 40_000),
    case(Kind::Calls, "get", 256, 10_000, 300_000, 80_000),
    case(Kind::Calls, "range1000", 4, 200, 5_000, 1_200),
    case(Kind::Calls, "put1100", 64, 5_000, 150_000, 40_000),
    case(Kind::Calls, "put", BURST, 0, 100_000, 100_000),
    case(Kind::Events, "watch_batched", 1, 100_000, 1_000_000, 1_000_000),
    case(Kind::Events, "watch_revisions", 1, 100_000, 1_000_000, 1_000_000),
    case(Kind::Streams, "watch_tiny", 1, 10_000, 200_000, 200_000),
    case(Kind::Streams, WATCHERS, 256, 0, 10_000, 10_000),
    case(Kind::Streams, "leases10k", 256, 0, 10_000, 10_000),
    case(Kind::Streams, "slow_reader", 16, 10_000, 200_000, 200_000),
];

/// Puts in flight in the burst.
pub(crate) const BURST: usize = 10_000;
/// The load that runs against an etcd, not the stub.
pub(crate) const WATCHERS: &str = "watchers10k";

impl Case {
    pub(crate) fn ops(&self, quick: bool) -> usize {
        if quick { self.quick_ops } else { self.ops }
    }

    /// Clients on several worker threads are compared with each other on steady puts and gets only. Bare hyper has no
    /// watchers that share a stream.
    pub(crate) fn takes(&self, client: &str) -> bool {
        if client.ends_with("-multi") {
            return matches!(self.workload, "put" | "get") && self.concurrency != BURST;
        }
        self.workload != WATCHERS || client != "hyper"
    }

    /// The burst is about its peak of memory: one round of it is enough. Leases take long: of theirs two are.
    pub(crate) fn runs_in(&self, round: usize) -> bool {
        match self.workload {
            "leases10k" => round < 2,
            _ => round == 0 || self.concurrency != BURST,
        }
    }

    /// Whether allocations, or instructions, per call or event say something.
    pub(crate) fn is_counted(&self) -> bool {
        self.kind != Kind::Streams
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
            !options.callgrind || case.kind == Kind::Events || matches!(case.concurrency, 4 | 64 | 256)
        } else {
            options.concurrencies.contains(&case.concurrency)
        };
        let runs = !options.callgrind || case.is_counted();
        workload && concurrency && runs && (case.workload != WATCHERS || options.etcd.is_some())
    };
    CASES.into_iter().filter(wanted).collect()
}
