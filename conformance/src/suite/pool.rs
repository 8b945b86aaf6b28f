//! The clusters that cases run on: shared where they may be, two at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::etcd::provision::Request;
use crate::etcd::{Cluster, ClusterConfig, LaunchError};
use crate::scenario::{PROGRESS, Scenario, Topology};

/// As many as the launcher lets live at a time.
const CLUSTERS: usize = 2;
/// How long members may take to come back after a case that stopped some.
const HEALING: Duration = Duration::from_secs(30);

/// Which cluster a case may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    One,
    Three,
    /// Nobody's but the case's.
    Own,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    kind: Kind,
    /// Not there while it starts.
    cluster: Option<Arc<Cluster>>,
    users: usize,
    /// Its user wants no other beside it.
    exclusive: bool,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    last_id: u64,
}

/// Clusters of one version of etcd, started when they are needed. Dropping it ends them.
///
/// Nobody waits for a cluster while holding another, so two clusters serve any number of threads.
#[derive(Debug)]
pub(super) struct Pool {
    request: Request,
    state: Mutex<State>,
    changed: Condvar,
}

/// The use of a cluster by one run of a case.
#[derive(Debug)]
pub(super) struct Use<'a> {
    pool: &'a Pool,
    id: u64,
    cluster: Arc<Cluster>,
    /// Nobody else shall get it afterwards.
    discard: bool,
}

/// What the pool has for a case just now.
enum Found {
    Ready(u64, Arc<Cluster>),
    /// A place to start one in.
    Place(u64),
    /// In the way, and to be ended.
    Idle(Option<Arc<Cluster>>),
    Busy,
}

/// What all cases get that ask for nothing else.
fn shared(config: ClusterConfig) -> ClusterConfig {
    config.flag("watch-progress-notify-interval", format!("{}ms", PROGRESS.as_millis()))
}

impl Pool {
    pub(super) fn new(request: Request) -> Self {
        Self { request, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A cluster for this case, waited for or started. `None` if it needs none.
    pub(super) fn take(&self, case: &Scenario) -> Result<Option<Use<'_>>, LaunchError> {
        let (kind, config) = match case.topology {
            Topology::None => return Ok(None),
            Topology::OneMember => (Kind::One, shared(ClusterConfig::single())),
            Topology::ThreeMembers => (Kind::Three, shared(ClusterConfig::three())),
            Topology::Own(config) => (Kind::Own, config()),
        };
        let mut state = self.state();
        loop {
            match state.find(kind, case.is_exclusive()) {
                Found::Ready(id, cluster) => {
                    return Ok(Some(Use { pool: self, id, cluster, discard: false }));
                }
                Found::Place(id) => {
                    drop(state);
                    return self.start(id, &config).map(Some);
                }
                Found::Idle(cluster) => {
                    // Ending it takes a while, and makes room only when it is done.
                    drop(state);
                    drop(cluster);
                    state = self.state();
                }
                Found::Busy => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn start(&self, id: u64, config: &ClusterConfig) -> Result<Use<'_>, LaunchError> {
        let started = config.clone().version(self.request.clone()).start();
        let mut state = self.state();
        match started {
            Ok(cluster) => {
                let cluster = Arc::new(cluster);
                if let Some(entry) = state.entry(id) {
                    entry.cluster = Some(Arc::clone(&cluster));
                }
                self.changed.notify_all();
                Ok(Use { pool: self, id, cluster, discard: false })
            }
            Err(error) => {
                state.entries.retain(|entry| entry.id != id);
                self.changed.notify_all();
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    fn find(&mut self, kind: Kind, exclusive: bool) -> Found {
        if kind != Kind::Own {
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.kind == kind) {
                let free = entry.users == 0 || !(exclusive || entry.exclusive);
                return match &entry.cluster {
                    Some(cluster) if free => {
                        entry.users += 1;
                        entry.exclusive = exclusive;
                        Found::Ready(entry.id, Arc::clone(cluster))
                    }
                    _ => Found::Busy,
                };
            }
        }
        if self.entries.len() < CLUSTERS {
            self.last_id += 1;
            let id = self.last_id;
            self.entries.push(Entry { id, kind, cluster: None, users: 1, exclusive });
            return Found::Place(id);
        }
        match self.entries.iter().position(|entry| entry.users == 0) {
            Some(idle) => Found::Idle(self.entries.remove(idle).cluster),
            None => Found::Busy,
        }
    }
}

impl Use<'_> {
    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Gives the cluster back. After a case that failed alone on it, and where it cannot be healed, it is ended.
    pub(super) fn give_back(mut self, case: &Scenario, passed: bool) {
        self.discard = matches!(case.topology, Topology::Own(_))
            || (!passed && case.is_exclusive())
            || (case.controls() && self.heal().is_err());
    }

    fn heal(&self) -> Result<(), LaunchError> {
        for member in self.cluster.members() {
            // One that is not paused stays as it is.
            let _ = member.resume();
            if !member.is_running() {
                member.restart()?;
            }
        }
        self.cluster.wait_ready(HEALING)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let mut discarded = None;
        if let Some(index) = state.entries.iter().position(|entry| entry.id == self.id) {
            let entry = &mut state.entries[index];
            entry.users -= 1;
            if self.discard && entry.users == 0 {
                discarded = Some(state.entries.remove(index));
            }
        }
        drop(state);
        drop(discarded);
        self.pool.changed.notify_all();
    }
}
