//! What one run does: client, load, how many in flight, how long.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::measure::HeapProbe;

/// Distinct keys of 14 bytes.
const KEYS: usize = 10_000;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Puts of 256-byte values.
    Put,
    /// Puts of 1,100-byte values.
    Put1100,
    /// Gets of one key; the answer holds 256 bytes.
    Get,
    /// Ranges answered with 1,000 values of 256 bytes.
    Range1000,
    /// Bursts of puts dropped at once while another call repeats; `--concurrency` is the size of a burst.
    CancelStorm,
    /// A connected client that has made one call and waits.
    Idle,
    /// One watch; `--ops` events of 256 bytes, one revision of 100 events per response.
    WatchBatched,
    /// The same, every event its own revision.
    WatchRevisions,
    /// One watch; `--ops` responses of one event of 16 bytes. The reader pauses for a second early on.
    WatchTiny,
    /// `--ops` watchers, each on a key of its own.
    Watchers,
    /// `--ops` leases, kept alive.
    Leases,
    /// `--ops` puts, each of them an event for a prompt and then also for a slow reader.
    SlowReader,
}

impl Workload {
    /// Name on the command line and in results.
    pub(crate) const NAMED: [(&'static str, Self); 12] = [
        ("put", Self::Put),
        ("put1100", Self::Put1100),
        ("get", Self::Get),
        ("range1000", Self::Range1000),
        ("cancel-storm", Self::CancelStorm),
        ("idle", Self::Idle),
        ("watch_batched", Self::WatchBatched),
        ("watch_revisions", Self::WatchRevisions),
        ("watch_tiny", Self::WatchTiny),
        ("watchers10k", Self::Watchers),
        ("leases10k", Self::Leases),
        ("slow_reader", Self::SlowReader),
    ];
}

/// The whole command line.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Name of the client, as `variants/mod.rs` has it.
    pub(crate) client: String,
    /// The load.
    pub(crate) workload: Workload,
    /// Calls in flight.
    pub(crate) concurrency: usize,
    /// Calls before measuring starts.
    pub(crate) warmup: usize,
    /// Calls measured.
    pub(crate) ops: usize,
    /// The stub, or an etcd.
    pub(crate) addr: SocketAddr,
    /// Where allocation counts come from, in the binary that has them.
    pub(crate) heap: Option<HeapProbe>,
}

/// The keys and the value of a run, made once so that no client pays for making them.
#[derive(Debug)]
pub(crate) struct Data {
    keys: Vec<Bytes>,
    /// The value that puts write.
    pub(crate) value: Bytes,
}

impl Data {
    pub(crate) fn new(workload: Workload) -> Self {
        let len = match workload {
            Workload::Put1100 => 1100,
            Workload::SlowReader => 16,
            _ => 256,
        };
        // Copied from slices so that the first clone of a key allocates nothing.
        let keys = (0..KEYS).map(|index| shared(format!("bench/{index:08}").as_bytes())).collect();
        Self { keys, value: shared(&vec![b'v'; len]) }
    }

    /// The key of the call with this number, spread over all keys.
    #[must_use]
    pub(crate) fn key(&self, call: usize) -> Bytes {
        self.keys[call.wrapping_mul(7919) % KEYS].clone()
    }
}

fn shared(bytes: &[u8]) -> Bytes {
    let bytes = Bytes::copy_from_slice(bytes);
    // The first clone turns a fresh `Bytes` into a counted one, which allocates: do it here.
    drop(bytes.clone());
    bytes
}
