//! What differs between etcd versions, and where the simulator may put things into another order.

use std::time::Duration;

use etcdium_proto::Version;

use super::fragment::OVERHEAD_BYTES;

/// How one member serves watches; the defaults are etcd's own.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// What the version does its own way. Default: etcd 3.7.
    pub rules: WatchRules,
    /// Largest request in bytes; responses are cut 512 KiB above it when the watch asks for fragments. Default 1.5 MiB.
    pub max_request_bytes: usize,
    /// Where responses are cut instead, if anywhere else. Default: nowhere else.
    pub fragment_bytes: Option<usize>,
    /// How often an idle watch that asks for it is told the revision; up to a tenth longer by the seed, at least 100 ms.
    /// Default 10 min.
    pub progress_interval: Duration,
    /// Default: none.
    pub disorder: Disorder,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            rules: WatchRules::default(),
            max_request_bytes: 3 << 19,
            fragment_bytes: None,
            progress_interval: Duration::from_secs(600),
            disorder: Disorder::default(),
        }
    }
}

impl WatchConfig {
    /// Responses to watches that ask for fragments stay below this many bytes.
    pub(super) fn fragment_limit(&self) -> usize {
        self.fragment_bytes.unwrap_or_else(|| self.max_request_bytes.saturating_add(OVERHEAD_BYTES))
    }
}

/// What some versions of etcd do and others do not. The default is etcd 3.7, where all are off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchRules {
    /// The revision in the created answer is read before the watch is registered, so that the watch starts just after
    /// it. Otherwise it is read afterwards, and events up to and including it may still follow. 3.4, early 3.5.
    pub created_header_before: bool,
    /// A requested progress answer waits for nothing: it may overtake events, and comes even when no watch is there
    /// (etcd issue 15220). Before 3.4.25 and 3.5.8.
    pub progress_overtakes: bool,
    /// Progress is told to watches that start at a later revision (etcd issue 20221). 3.4, earlier 3.5 and 3.6.
    pub progress_before_start: bool,
    /// A watch whose stream is full when it must hear of a compaction never hears of it and loses events instead; one that
    /// is synced again after its store was replaced hears events twice and forgets a start in the future. 3.4, early 3.5.
    pub careless_sync: bool,
    /// A refused creation is always refused as "permission denied" and carries the id asked for instead of -1, with which
    /// it silences the watch that has this id. Early 3.5, and 3.4 before 3.4.23.
    pub refusal_takes_id: bool,
    /// A negative start revision is not refused at once: it is found compacted, and so tells a compact revision of -1 where
    /// nothing was ever compacted. 3.4, early 3.5.
    pub negative_start: bool,
    /// A compaction removes the deletions made at its very revision. 3.4, early 3.5.
    pub compaction_drops_deletion: bool,
}

impl WatchRules {
    /// The rules of the release of `version` with which the model is compared: 3.4.23 for 3.4, the newest for the others.
    pub const fn of(version: Version) -> Self {
        let old = version.minor <= 4;
        Self {
            created_header_before: old,
            progress_overtakes: old,
            progress_before_start: old,
            careless_sync: old,
            refusal_takes_id: false,
            negative_start: old,
            compaction_drops_deletion: old,
        }
    }
}

/// Where time passes and order is left to chance, as between the goroutines of a busy server. Every delay is drawn by
/// the seed between zero and the bound given. The default is none: everything happens at once, in order of arrival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disorder {
    /// Before each response leaves its stream. Previous values are looked up when it leaves.
    pub send_delay: Duration,
    /// Between registering a watch and making its created answer (or, where the header comes first, between reading the
    /// revision and registering). The stream reads no further request meanwhile.
    pub create_delay: Duration,
    /// Added to each round of the sync loop, whose phase is drawn by the seed anyway.
    pub sync_delay: Duration,
    /// Watches are served in any order, and a stream sends what is in its two queues, control and events, in any order:
    /// events after the answer that ended their watch, or before it.
    pub shuffle: bool,
}

/// Why every creation is refused for now: etcd's authentication, which the model does not have, as seen by a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token of the stream is not, or no longer, known.
    InvalidToken,
    /// The token is older than the users and roles.
    OldRevision,
    /// No user, where one is needed.
    UserEmpty,
    /// The user may not read this range.
    PermissionDenied,
}

impl Refusal {
    /// The cancel reason: a gRPC error as Go prints it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::InvalidToken => "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
            Self::OldRevision => {
                "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old"
            }
            Self::UserEmpty => "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
            Self::PermissionDenied => {
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
            }
        }
    }
}
