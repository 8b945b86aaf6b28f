//! Reading the process's own CPU time, peak memory and heap, and the figures of one run.

use std::fmt;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use stats_alloc::Stats;

use crate::Error;

/// Where allocation counts come from.
#[derive(Clone, Copy)]
pub struct HeapProbe(fn() -> Stats);

impl HeapProbe {
    /// Wraps the counters of a global allocator.
    #[must_use]
    pub fn new(stats: fn() -> Stats) -> Self {
        Self(stats)
    }

    /// Allocations so far; growing one in place or elsewhere counts as one.
    pub(crate) fn allocations(self) -> usize {
        let stats = (self.0)();
        stats.allocations + stats.reallocations
    }

    /// Bytes allocated and not given back.
    pub(crate) fn live_bytes(self) -> isize {
        let stats = (self.0)();
        stats.bytes_allocated as isize - stats.bytes_deallocated as isize
    }
}

impl fmt::Debug for HeapProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeapProbe")
    }
}

/// Counters at the start of the measured window.
pub(crate) struct Window {
    heap: Option<HeapProbe>,
    allocations: Option<usize>,
    preemptions: i64,
    wall: Instant,
    cpu: Duration,
}

/// What a window of a run cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) allocations: Option<usize>,
    pub(crate) preemptions: i64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Window {
    pub(crate) fn open(heap: Option<HeapProbe>) -> Result<Self, Error> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        Ok(Self {
            heap,
            allocations: heap.map(HeapProbe::allocations),
            preemptions: usage.involuntary_context_switches(),
            wall: Instant::now(),
            cpu: cpu_time(&usage)?,
        })
    }

    pub(crate) fn close(self) -> Result<Cost, Error> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        Ok(Cost {
            allocations: self.heap.map(HeapProbe::allocations).zip(self.allocations).map(|(b, a)| b - a),
            preemptions: usage.involuntary_context_switches() - self.preemptions,
            wall: self.wall.elapsed(),
            cpu: cpu_time(&usage)?.saturating_sub(self.cpu),
        })
    }
}

/// User and system time of the whole process, all threads.
fn cpu_time(usage: &Usage) -> Result<Duration, Error> {
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// Peak resident memory of the process in MiB.
pub(crate) fn peak_rss_mb() -> Result<f64, Error> {
    status_mb("VmHWM:")
}

/// Resident memory of the process in MiB.
pub(crate) fn rss_mb() -> Result<f64, Error> {
    status_mb("VmRSS:")
}

fn status_mb(name: &str) -> Result<f64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("not in /proc/self/status")?;
    let kib: f64 = line.split_whitespace().next().ok_or("no number in /proc/self/status")?.parse()?;
    Ok(kib / 1024.0)
}

/// The one line a run prints. Figures that a run does not have are `null`.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) cpu_us_per_op: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) allocs_per_op: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
    /// Times per second that other work took the CPU away: a measure of noise.
    pub(crate) preempted_per_s: Option<f64>,
    /// Heap held by an idle client, in bytes.
    pub(crate) idle_heap: Option<f64>,
    /// By how much resident memory grew, in MiB.
    pub(crate) rss_growth_mb: Option<f64>,
    /// Time to create all watchers, in seconds.
    pub(crate) create_s: Option<f64>,
    /// Events that did not arrive, or leases that were lost.
    pub(crate) lost: Option<f64>,
    /// `p99_us` of the same calls without the slow reader.
    pub(crate) p99_without_us: Option<f64>,
    /// What went wrong in a run whose other figures still say something.
    pub(crate) trouble: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("cpu_us_per_op", self.cpu_us_per_op),
            ("p50_us", self.p50_us),
            ("p99_us", self.p99_us),
            ("ops_per_s", self.ops_per_s),
            ("allocs_per_op", self.allocs_per_op),
            ("rss_mb", self.rss_mb),
            ("preempted_per_s", self.preempted_per_s),
            ("idle_heap", self.idle_heap),
            ("rss_growth_mb", self.rss_growth_mb),
            ("create_s", self.create_s),
            ("lost", self.lost),
            ("p99_without_us", self.p99_without_us),
        ];
        for (index, (name, value)) in fields.into_iter().enumerate() {
            let start = if index == 0 { '{' } else { ',' };
            match value {
                Some(value) => write!(f, "{start}\"{name}\":{value:.3}")?,
                None => write!(f, "{start}\"{name}\":null")?,
            }
        }
        if let Some(trouble) = &self.trouble {
            // Whatever JSON would have to escape is not needed.
            let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { ' ' };
            write!(f, ",\"trouble\":\"{}\"", trouble.chars().map(plain).collect::<String>())?;
        }
        f.write_str("}")
    }
}
