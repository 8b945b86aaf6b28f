//! The model etcd against a real one: the same random operations go to both, and every answer must be the same.
//!
//! A script is made from a seed, operation by operation. It clears keys and leases first, so that both sides can go on
//! for many scripts and a script still means the same on fresh ones: the model mirrors the whole life of the server.
//! On a difference the script is run again on fresh servers and shortened.
//!
//! # What is not compared
//!
//! * Member id, cluster id and raft term of headers: of each server the ids must be there and never change.
//! * The remaining time of a lease, but for whether there is any; the order of a lease's keys (a hash map's). Leases are
//!   listed by expiry, and that is compared.
//! * Of a status its sizes, places in the log and patch release; of members their names and addresses.
//! * Where a streamed range is cut.
//! * An id of a lease that the server chose.
//! * How the events of a watch are cut into responses, the headers of these responses, and how the responses of
//!   different watches of a stream are mixed. What one watch delivers is compared in order: creation, events,
//!   cancellation, progress.
//! * The header of the answer that ends a compacted watch: it tells when the server came round to it.
//!
//! # Where etcd is not deterministic
//!
//! * A watch that is cancelled, or whose history is compacted, before its events have left may lose them or not. So all
//!   watches catch up before a cancellation, a compaction, or a request for progress; before a compaction those too for
//!   which there is no event, as the server's metrics tell.
//! * A request for progress is dropped while a watch of the stream is behind, and that a watch has caught up does not show
//!   when no event was for it. So the request is repeated to the server until it is answered, unless the model says that
//!   it never will be; equal answers count as one, also when the later ones come after other things were compared.
//! * A compaction of 3.4 removes the deletions made at its very revision, but when it comes round to it, and its own reads
//!   see them until the next commit of the backend, up to 100 ms later. A watch that begins at this revision meanwhile gets
//!   them or not. So such a compaction is asked for once more as a physical one, which is refused when all is done. See
//!   [`dropped`] and etcd issue 18089.
//! * Leases end when the server comes round to it, so those of a script are granted for hours, and one that shall expire is
//!   waited for. Nothing else happens meanwhile.
//!
//! # What etcd does not survive
//!
//! Before 3.6, a range sorted by a target that does not exist: no script asks for that.
//!
//! A transaction that puts a key and deletes all keys from some key on, that one among them. etcd refuses to put and delete
//! one key in one transaction, but does not notice it where the range has no end. If the deletion comes first,
//!
//! * a put that keeps the value or the lease (`ignore_value`, `ignore_lease`) does not find what the check before the
//!   transaction has found, and the server panics;
//! * after a compaction at this very revision 3.7 has lost the key, and panics when it is read next.
//!
//! No script does that: such deletions get an end in transactions that put.

mod answer;
mod dropped;
mod generate;
mod grpc;
mod log;
mod model;
mod operation;
mod overtake;
mod play;
mod real;
mod side;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use etcdium_sim::model::{V3_4, V3_5, V3_6, V3_7, Version};

pub use self::dropped::{Dropped, dropped};
use self::model::Model;
pub use self::overtake::{Overtaking, overtaking};
pub use self::play::Difference;
use self::play::Pair;
use self::real::Real;
use crate::etcd::provision::Request;
use crate::etcd::{Cluster, ClusterConfig, LaunchError};

/// Election time-out of either side.
const ELECTION: Duration = Duration::from_millis(600);
/// After so many scripts a pair is made anew, for neither side forgets much.
const LIFE: u64 = 400;
/// How often a script that shows a difference is tried with something left out.
const TRIES: usize = 40;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which etcd.
    pub etcd: Request,
    /// How many scripts.
    pub scripts: u64,
    /// The seed of the first; each following one has the next.
    pub seed: u64,
    /// Operations of a script.
    pub operations: usize,
    /// How many pairs of a model and a server work side by side; no more than two.
    pub lanes: usize,
    /// After how many differences to stop.
    pub stop_after: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Scripts run.
    pub scripts: u64,
    /// How long it took.
    pub time: Duration,
    /// What differed, with the shortest script found that shows it.
    pub differences: Vec<Shown>,
}

/// A difference and how to see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// With which etcd.
    pub etcd: Request,
    /// As it was found.
    pub first: Difference,
    /// The operations that show it on fresh servers, and what they show; none when it does not show there.
    pub shortest: Option<(Vec<usize>, Difference)>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shortest {
            Some((indices, difference)) => {
                let indices: Vec<String> = indices.iter().map(usize::to_string).collect();
                let (etcd, seed, indices) = (self.etcd.pinned(), difference.seed, indices.join(","));
                let command = "cargo run -p etcdium-conformance --bin etcdium-conformance -- differential";
                write!(f, "{difference}\n  again: {command} --etcd {etcd} --seed {seed} --replay {indices}")
            }
            None => write!(f, "{}\n  not shown by this script on fresh servers", self.first),
        }
    }
}

/// Runs scripts; `each` is told the number of those done now and then.
///
/// # Errors
///
/// A server could not be started or spoken to.
pub fn run(plan: &Plan, each: impl Fn(u64) + Sync) -> Result<Summary, Failure> {
    let begin = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let found = Mutex::new(Vec::new());
    let lane = || -> Result<(), Failure> {
        let mut servers = Servers::start(&plan.etcd)?;
        let mut age = 0;
        while !stop.load(Ordering::Relaxed) {
            let script = next.fetch_add(1, Ordering::Relaxed);
            if script >= plan.scripts {
                break;
            }
            if age >= LIFE {
                servers.renew()?;
                age = 0;
            }
            age += 1;
            let indices: Vec<usize> = (0..plan.operations).collect();
            let seed = plan.seed.wrapping_add(script);
            if let Err(first) = servers.play(seed, &indices) {
                let shortest = servers.shorten(&first)?;
                age = 0;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(Shown { etcd: plan.etcd.clone(), first: *first, shortest });
                stop.fetch_or(found.len() >= plan.stop_after, Ordering::Relaxed);
            }
            each(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..plan.lanes.max(1)).map(|_| scope.spawn(lane)).collect();
        lanes
            .into_iter()
            .try_for_each(|lane| lane.join().unwrap_or_else(|_| Err(Failure("a lane panicked".to_owned()))))
    })?;
    let differences = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Summary { scripts: done.into_inner(), time: begin.elapsed(), differences })
}

/// Runs one script, or some of its operations, on fresh servers.
///
/// # Errors
///
/// A server could not be started or spoken to.
pub fn replay(etcd: &Request, seed: u64, indices: &[usize]) -> Result<Option<Difference>, Failure> {
    Ok(Servers::start(etcd)?.play(seed, indices).err().map(|difference| *difference))
}

/// A real server and the pair made with it.
struct Servers {
    pair: Pair,
    cluster: Option<Cluster>,
    etcd: Request,
}

impl Servers {
    fn start(etcd: &Request) -> Result<Self, Failure> {
        // With the shortest elections that leave a leader alone, leases may be as short as a second.
        let single = ClusterConfig::single().version(etcd.clone());
        let cluster = single.flag("election-timeout", ELECTION.as_millis()).start()?;
        let version = version(&cluster);
        let model = Model::new(version);
        let member = cluster.members().first().ok_or_else(|| Failure("no member".to_owned()))?;
        let real = Real::open(member.client_address()).map_err(|trouble| Failure(trouble.to_string()))?;
        Ok(Self { pair: Pair::new(model, real, version), cluster: Some(cluster), etcd: etcd.clone() })
    }

    fn play(&mut self, seed: u64, indices: &[usize]) -> Result<(), Box<Difference>> {
        self.pair.play(seed, indices).map_err(|mut difference| {
            if let Some(reason) = self.crash() {
                difference.real.push_str(&format!("; the server ended: {reason}"));
            }
            difference
        })
    }

    /// What the server's log says of its end, if it has ended.
    fn crash(&self) -> Option<String> {
        let member = self.cluster.as_ref()?.members().first()?;
        // Its sockets go before the process does.
        let until = Instant::now() + Duration::from_millis(300);
        while member.is_running() {
            if Instant::now() > until {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = member.log_tail(500);
        let mut lines = log.lines();
        Some(lines.find(|line| line.contains("panic") || line.contains("fatal")).unwrap_or(&log).to_owned())
    }

    fn renew(&mut self) -> Result<(), Failure> {
        // Ended before the next one starts: only so many may run at a time.
        self.cluster = None;
        *self = Self::start(&self.etcd)?;
        Ok(())
    }

    /// Leaves out what can be left out. Ends with fresh servers.
    fn shorten(&mut self, first: &Difference) -> Result<Option<(Vec<usize>, Difference)>, Failure> {
        let mut best: Vec<usize> = (0..=first.index).collect();
        self.renew()?;
        let Err(mut shown) = self.play(first.seed, &best) else { return Ok(None) };
        self.renew()?;
        let mut size = best.len() / 2;
        let (mut tries, mut from) = (0, 0);
        while size > 0 && tries < TRIES {
            if from >= best.len() {
                (size, from) = (size / 2, 0);
                continue;
            }
            let fewer: Vec<usize> =
                best.iter().take(from).chain(best.iter().skip(from + size)).copied().collect();
            match self.play(first.seed, &fewer) {
                // The two still have the same past.
                Ok(()) => from += size,
                Err(difference) => {
                    (best, shown) = (fewer, difference);
                    tries += 1;
                    self.renew()?;
                }
            }
        }
        Ok(Some((best, *shown)))
    }
}

/// The model's version for a server.
fn version(cluster: &Cluster) -> Version {
    match cluster.etcd().version.minor {
        ..=4 => V3_4,
        5 => V3_5,
        6 => V3_6,
        _ => V3_7,
    }
}

/// A server could not be started or spoken to.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        Self(error.to_string())
    }
}
