//! Bugs built in on purpose, only under `--cfg etcdium_planted`: the simulator has to find each of them
//! (`cargo xtask sim --planted`). Nothing of this is in any other build.

use bytes::{BufMut, Bytes, BytesMut};
use etcdium_proto::{Method, methods};

use crate::Config;
use crate::etcd_error::Applied;
use crate::retry::{Failure, Next, Verdict};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A write whose connection broke is sent again.
    RetriedWrite,
    /// A write whose connection broke is said not to be applied.
    ClaimedNotApplied,
    /// Reconnecting waits as if the last connection had served nothing.
    BackoffKept,
    /// An operation whose call GOAWAY gave back is forgotten.
    LostAfterGoAway,
    /// A linearizable read is sent as a serializable one.
    StaleRead,
    /// Deadlines do not count while no endpoint is ready.
    DeadlineIgnored,
    /// The end of an operation is told twice.
    ToldTwice,
    /// The core wants to be woken at once as long as an operation lives.
    Spinning,
    /// A call that failed is not repeated.
    NeverRepeated,
    /// The revision is not learnt from answers.
    RevisionStuck,
    /// A change of the cluster is not told.
    ClusterUntold,
    /// A connection that fell silent is never probed.
    SilenceIgnored,
    /// Reconnecting waits the shortest time there is, however often it failed.
    BackoffFloor,
    /// Members without a leader are not told to refuse.
    LeaderNotAsked,
    /// Whatever runs out of time is said to be applied or not, nobody knows.
    NeverSure,
    /// A watch is resumed behind the revision of the latest header, which is ahead of the events while a server catches up.
    ResumesFromHeader,
    /// Fragments that a broken stream left are kept, and joined with what comes later.
    FragmentsKept,
    /// A watch is resumed at its last event, which is given again.
    RepeatsAfterResume,
    /// An answer to a request for progress is taken to include watches created after the request was sent.
    ProgressTooEarly,
    /// Answers to requests for progress are believed where they may overtake events: etcd 3.4.
    UntrustedProgress,
    /// The server is not told that a watch is given up.
    CancelLost,
    /// A watch that its user has cancelled is created again when its stream breaks before the server has confirmed.
    CancelledRevived,
    /// Ids of watches are used again.
    IdReused,
    /// The word of a member that is behind is taken for the proof that the history was replaced.
    LaggardBelieved,
    /// A parked watch is resumed one revision too late.
    ParkedSkips,
    /// A lease is said to live for its time from the receipt of an answer on.
    LeaseFromReceipt,
    /// A lease whose time has passed is said to be alive.
    LeaseUndead,
    /// The answer that there is no such lease counts as a renewal.
    LeaseZeroIgnored,
    /// A renewal that is not answered is not asked for again.
    LeaseStuck,
    /// The lease that ends a stream is asked for on the next shared one.
    LeaseSharedFate,
    /// Leases that nobody wants are not revoked.
    LeaseLeftBehind,
    /// A call that is over is kept, with what came of its answer.
    BytesKept,
    /// Timers of what is over are kept until they are due.
    TimersKept,
}

impl Planted {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::RetriedWrite,
        Self::ClaimedNotApplied,
        Self::BackoffKept,
        Self::LostAfterGoAway,
        Self::StaleRead,
        Self::DeadlineIgnored,
        Self::ToldTwice,
        Self::Spinning,
        Self::NeverRepeated,
        Self::RevisionStuck,
        Self::ClusterUntold,
        Self::SilenceIgnored,
        Self::BackoffFloor,
        Self::LeaderNotAsked,
        Self::NeverSure,
        Self::ResumesFromHeader,
        Self::FragmentsKept,
        Self::RepeatsAfterResume,
        Self::ProgressTooEarly,
        Self::UntrustedProgress,
        Self::CancelLost,
        Self::CancelledRevived,
        Self::IdReused,
        Self::LaggardBelieved,
        Self::ParkedSkips,
        Self::LeaseFromReceipt,
        Self::LeaseUndead,
        Self::LeaseZeroIgnored,
        Self::LeaseStuck,
        Self::LeaseSharedFate,
        Self::LeaseLeftBehind,
        Self::BytesKept,
        Self::TimersKept,
    ];

    /// Whether it bites watches.
    pub const fn is_of_watches(self) -> bool {
        matches!(
            self,
            Self::ResumesFromHeader
                | Self::FragmentsKept
                | Self::RepeatsAfterResume
                | Self::ProgressTooEarly
                | Self::UntrustedProgress
                | Self::CancelLost
                | Self::CancelledRevived
                | Self::IdReused
                | Self::LaggardBelieved
                | Self::ParkedSkips
        )
    }
}

impl Planted {
    /// Whether it bites those who keep leases alive.
    pub fn is_of_leases(self) -> bool {
        matches!(
            self,
            Self::LeaseFromReceipt
                | Self::LeaseUndead
                | Self::LeaseZeroIgnored
                | Self::LeaseStuck
                | Self::LeaseSharedFate
                | Self::LeaseLeftBehind
        )
    }
}

impl Config {
    /// Switches a bug on.
    #[must_use]
    pub fn planted(mut self, planted: Planted) -> Self {
        self.planted = Some(planted);
        self
    }

    pub(crate) fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    pub(crate) fn misjudge(&self, failure: &Failure, verdict: Verdict) -> Verdict {
        match (self.planted, failure) {
            (Some(Planted::RetriedWrite), Failure::Reset { .. }) => {
                Verdict { next: Next::Elsewhere, ..verdict }
            }
            (Some(Planted::ClaimedNotApplied), Failure::Reset { .. }) => {
                Verdict { applied: Applied::NotApplied, ..verdict }
            }
            (Some(Planted::NeverRepeated), _) => Verdict { next: Next::Fail, ..verdict },
            _ => verdict,
        }
    }

    /// The framed request, with `serializable` set if it is a range and that is the bug.
    pub(crate) fn make_stale(&self, method: &'static Method, framed: Bytes) -> Bytes {
        const SERIALIZABLE: [u8; 2] = [7 << 3, 1];
        if !self.has(Planted::StaleRead) || method.path() != methods::KV_RANGE.path() {
            return framed;
        }
        let mut stale = BytesMut::new();
        stale.put_u8(0);
        stale.put_u32((framed.len() - 5 + SERIALIZABLE.len()) as u32);
        stale.put_slice(&framed[5..]);
        stale.put_slice(&SERIALIZABLE);
        stale.freeze()
    }
}
