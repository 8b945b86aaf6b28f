//! What a cluster is made of.

use std::time::Duration;

use etcdium_proto::Version;

use super::{Disorder, WatchRules};

/// etcd 3.4.
pub const V3_4: Version = version(4);
/// etcd 3.5.
pub const V3_5: Version = version(5);
/// etcd 3.6.
pub const V3_6: Version = version(6);
/// etcd 3.7.
pub const V3_7: Version = version(7);

const fn version(minor: u8) -> Version {
    Version { major: 3, minor }
}

/// The version text of the release the model was compared with.
pub(crate) fn release(version: Version) -> String {
    let patch = match version.minor {
        4 => 23,
        5 => 35,
        6 => 16,
        _ => 3,
    };
    format!("{}.{}.{patch}", version.major, version.minor)
}

/// What a cluster is made of; the defaults are etcd's own.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// How many members, learners among them. Default 1.
    pub members: usize,
    /// How many of the members, the last ones, are learners. Default 0.
    pub learners: usize,
    /// Which etcd this is, from 3.4 to 3.7. Default 3.7.
    pub version: Version,
    /// Default 1 s. A member that loses its leader finds a new one within two of these; streams that need a leader end
    /// after three without one; a proposal times out after 5 s and two of these.
    pub election_timeout: Duration,
    /// Time from a proposal to its commit. Default 0.
    pub commit_latency: Duration,
    /// Largest proposal in bytes. Default 1.5 MiB.
    pub max_request_bytes: usize,
    /// Largest number of operations in one transaction. Default 128.
    pub max_txn_ops: usize,
    /// How many entries a member may be behind and yet take proposals. Default 5,000.
    pub max_gap: u64,
    /// Size of the store in bytes at which writes are refused. Default 2 GiB.
    pub quota: u64,
    /// How often an idle watch that asks for it is told the revision. Default 10 min.
    pub progress_interval: Duration,
    /// What the version does its own way about watches. `None`, the default: as the release the model was compared with.
    pub watch_rules: Option<WatchRules>,
    /// Responses to watches that ask for fragments are cut at this many bytes. `None`, the default: at
    /// [`max_request_bytes`](Self::max_request_bytes) and 512 KiB, as etcd does; less cuts small responses.
    pub watch_fragment_bytes: Option<usize>,
    /// What the goroutines of a busy server do to the order of watch responses. Default: nothing.
    pub watch_disorder: Disorder,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            members: 1,
            learners: 0,
            version: V3_7,
            election_timeout: Duration::from_secs(1),
            commit_latency: Duration::ZERO,
            max_request_bytes: 3 << 19,
            max_txn_ops: 128,
            max_gap: 5_000,
            quota: 2 << 30,
            progress_interval: Duration::from_secs(600),
            watch_rules: None,
            watch_fragment_bytes: None,
            watch_disorder: Disorder::default(),
        }
    }
}

impl ClusterConfig {
    /// How long etcd gives a proposal or a read index (config.go, `ReqTimeout`).
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// Shortest TTL a lease can have, in seconds (server.go: one and a half election time-outs, rounded up).
    pub(crate) fn min_lease_ttl(&self) -> i64 {
        let seconds = (self.election_timeout * 3 / 2).as_secs_f64().ceil();
        seconds as i64
    }
}
