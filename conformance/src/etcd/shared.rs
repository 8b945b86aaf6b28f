//! Clusters that tests share.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::provision::Request;
use super::{Cluster, ClusterConfig, LaunchError, Topology};

type Key = (Topology, Option<Request>);

/// The clusters alive. Not dropped at the end of the process: the watchdog ends them.
static ALIVE: Mutex<Vec<(Key, Arc<Cluster>)>> = Mutex::new(Vec::new());
/// Held while one is looked up or started, so that no two are started for one key.
static LOOKUP: Mutex<()> = Mutex::new(());

/// The cluster of this shape that all tests of the process share, started at the first call, of the version that
/// [`provision::default`](super::provision::default) gives.
///
/// For tests that need no more than a key prefix of their own: they must not kill members, raise alarms or switch on
/// authentication. A test holds the answer as long as it uses the cluster. One that nobody holds may be ended to make
/// room for another cluster, and its data are lost then.
///
/// # Errors
///
/// [`LaunchError`] when it cannot be started.
pub fn shared(topology: Topology) -> Result<Shared, LaunchError> {
    get((topology, None))
}

/// Like [`shared`], of a certain version of etcd.
///
/// # Errors
///
/// [`LaunchError`] when it cannot be started.
pub fn shared_version(topology: Topology, request: &Request) -> Result<Shared, LaunchError> {
    get((topology, Some(request.clone())))
}

fn get(key: Key) -> Result<Shared, LaunchError> {
    let _turn = LOOKUP.lock().unwrap_or_else(PoisonError::into_inner);
    let found = alive().iter().find(|(known, _)| *known == key).map(|(_, cluster)| Arc::clone(cluster));
    if let Some(cluster) = found {
        if cluster.members().iter().all(|member| member.check_health().is_ok()) {
            return Ok(Shared { cluster });
        }
        eprintln!("etcdium: the shared cluster at {:?} is not healthy any more", cluster.endpoints());
        alive().retain(|(known, _)| *known != key);
    }
    let (topology, request) = &key;
    let mut config = ClusterConfig::new(*topology);
    if let Some(request) = request {
        config = config.version(request.clone());
    }
    let cluster = Arc::new(config.start()?);
    alive().push((key, Arc::clone(&cluster)));
    Ok(Shared { cluster })
}

/// Ends one cluster that nobody uses; false when there is none.
pub(super) fn evict_idle() -> bool {
    let mut alive = alive();
    let idle = alive.iter().position(|(_, cluster)| Arc::strong_count(cluster) == 1);
    let evicted = idle.map(|index| alive.swap_remove(index));
    drop(alive);
    evicted.is_some()
}

fn alive() -> MutexGuard<'static, Vec<(Key, Arc<Cluster>)>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The use of a shared cluster.
///
/// When it is dropped by a panic, the ends of all logs are printed to standard error.
#[derive(Debug)]
pub struct Shared {
    cluster: Arc<Cluster>,
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            self.cluster.print_logs();
        }
    }
}
