//! What kind of cluster to start.

use std::fmt::Display;

use super::provision::{self, Provisioned, Request};
use super::{Cluster, LaunchError, flags};

/// How many members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// One member.
    Single,
    /// Three members.
    Three,
}

impl Topology {
    /// The number of members.
    pub const fn members(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Three => 3,
        }
    }
}

/// A cluster to be started.
///
/// Defaults: the version of [`provision::default`], plain HTTP on a loopback port, heartbeats every 100 ms, elections
/// after 1,000 ms, no fsync where the version can do without (data then survives every signal, only not a crash of the
/// machine).
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    pub(super) topology: Topology,
    pub(super) unix_sockets: bool,
    pub(super) failpoints: bool,
    lease_checkpoints: bool,
    request: Option<Request>,
    fsync: bool,
    flags: Vec<(String, String)>,
}

impl ClusterConfig {
    /// A cluster of one member.
    pub fn single() -> Self {
        Self::new(Topology::Single)
    }

    /// A cluster of three members.
    pub fn three() -> Self {
        Self::new(Topology::Three)
    }

    /// A cluster of the given shape.
    pub fn new(topology: Topology) -> Self {
        let config = Self {
            topology,
            unix_sockets: false,
            failpoints: false,
            lease_checkpoints: false,
            request: None,
            fsync: false,
            flags: Vec::new(),
        };
        config.flag("heartbeat-interval", 100).flag("election-timeout", 1000)
    }

    /// Which etcd to run.
    #[must_use]
    pub fn version(mut self, request: Request) -> Self {
        self.request = Some(request);
        self
    }

    /// Heartbeats every 20 ms and elections after 200 ms, for cases about a missing leader. Such a cluster loses its
    /// leader without cause on a busy machine.
    #[must_use]
    pub fn fast_elections(self) -> Self {
        self.flag("heartbeat-interval", 20).flag("election-timeout", 200)
    }

    /// Serve clients on a Unix socket as well; see [`Member::unix_socket`](super::Member::unix_socket).
    #[must_use]
    pub fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// Run a server that was built with failpoints, of the minor that is asked for, 3.5 or later; see
    /// [`Member::set_failpoint`](super::Member::set_failpoint).
    #[must_use]
    pub fn failpoints(mut self) -> Self {
        self.failpoints = true;
        self
    }

    /// The leader writes down what is left of leases, every second, and a new leader goes on from there: a server as
    /// [`failpoints`](Self::failpoints) runs one, since etcd's interval is five minutes and no flag changes it.
    #[must_use]
    pub fn lease_checkpoints(mut self) -> Self {
        self.lease_checkpoints = true;
        self.failpoints()
    }

    /// Write data through to the disk, as etcd does in production.
    #[must_use]
    pub fn fsync(mut self) -> Self {
        self.fsync = true;
        self
    }

    /// A command-line flag for every member, the last one of a name counts: `flag("quota-backend-bytes", 16 << 20)`.
    /// The name goes without dashes and without `experimental-`, which is added for versions that need it. Flags
    /// without a value take `true`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: impl Display) -> Self {
        set(&mut self.flags, name, value.to_string());
        self
    }

    /// Starts the cluster and waits until every member is healthy.
    ///
    /// At most two clusters live in a process at a time: this waits until one may be started. A test that needs two at
    /// once must not run beside others that do.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when there is no binary, a flag is refused, or a member does not become healthy in a minute.
    pub fn start(&self) -> Result<Cluster, LaunchError> {
        Cluster::start(self)
    }

    pub(super) fn provide(&self) -> Result<Provisioned, LaunchError> {
        let request = match &self.request {
            Some(request) => request.clone(),
            None => provision::asked()?,
        };
        let request = if self.failpoints { request.with_failpoints() } else { request };
        Ok(provision::provide(&request)?)
    }

    /// The flags of every member for this binary, with `changes` made to them.
    pub(super) fn flags(
        &self,
        etcd: &Provisioned,
        changes: &[(&str, &str)],
    ) -> Result<Vec<String>, LaunchError> {
        let mut flags = self.flags.clone();
        if !self.fsync && etcd.version.at_least(3, 5) {
            set(&mut flags, "unsafe-no-fsync", "true".to_owned());
        }
        if self.lease_checkpoints && etcd.version.at_least(3, 6) {
            let features = "LeaseCheckpoint=true,LeaseCheckpointPersist=true";
            set(&mut flags, "feature-gates", features.to_owned());
        } else if self.lease_checkpoints {
            for name in ["enable-lease-checkpoint", "enable-lease-checkpoint-persist"] {
                set(&mut flags, name, "true".to_owned());
            }
        }
        for (name, value) in changes {
            set(&mut flags, name, (*value).to_owned());
        }
        flags.iter().map(|(name, value)| flags::spell(&etcd.path, name, value)).collect()
    }
}

fn set(flags: &mut Vec<(String, String)>, name: &str, value: String) {
    flags.retain(|(present, _)| present != name);
    flags.push((name.to_owned(), value));
}
