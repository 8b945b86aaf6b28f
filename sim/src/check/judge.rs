//! The registry of checkers, and what they get to see.

use std::time::Instant;

use etcdium_core::{Core, Event, ProgressError, Revision, Transmit, WatchError, WatchItem};

use super::{Ledger, Truths, unary, watching};
use crate::model::Cluster;
use crate::world::{
    CallRecord, ConnectionRecord, OpRecord, Outcome, PauseRecord, ProgressRecord, Setup, WatchRecord,
};

/// One rule that must hold at all times. A type of its own in a file of its own; its documentation says the rule.
pub trait Check {
    /// Its name, as violations print it.
    fn name(&self) -> &'static str;

    /// Looks at what just happened.
    ///
    /// # Errors
    /// How the rule was broken.
    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String>;
}

/// The world as it is when a fact is seen.
#[derive(Debug)]
pub struct View<'a> {
    /// The time.
    pub now: Instant,
    /// The client.
    pub core: &'a Core,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What really happened.
    pub ledger: &'a Ledger,
    /// What the world is like.
    pub setup: &'a Setup,
    /// All operations, by the serial numbers of their keys.
    pub ops: &'a [OpRecord],
    /// All calls, by the serial numbers of their keys.
    pub calls: &'a [CallRecord],
    /// All connections, by the serial numbers of their keys.
    pub connections: &'a [ConnectionRecord],
    /// How much the driver keeps.
    pub counts: Counts,
    /// The times in which the client did not run.
    pub pauses: &'a [PauseRecord],
    /// All watches of the core, by the serial numbers of their keys.
    pub watches: &'a [WatchRecord],
    /// What really happened, as watches have to tell it.
    pub truths: &'a Truths,
}

/// How much the driver keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Operations neither taken nor cancelled.
    pub ops: usize,
    /// Connections made or in the making.
    pub connections: usize,
    /// Calls of operations that are not over.
    pub calls: usize,
    /// Streams that are not over.
    pub streams: usize,
    /// Health probes that are not over.
    pub probes: usize,
    /// Bytes of answers that the core was given and may keep: of calls that are not over, and of the last call of each
    /// operation neither taken nor cancelled.
    pub bytes: usize,
    /// Calls of the core's own that are not over.
    pub inquiries: usize,
    /// Grants and revocations of the core's own that are not over.
    pub leasing: usize,
}

/// Something that just happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// An operation was started.
    Started(usize),
    /// An operation is about to be cancelled. `undrained`: the core may have ended it and not told yet.
    Cancelled {
        /// Which one.
        op: usize,
        /// Whether the driver had something left to drain.
        undrained: bool,
    },
    /// The core wants this done.
    Sent(&'a Transmit),
    /// The core told this.
    Told(&'a Event),
    /// An operation was taken.
    Ended(usize, &'a Outcome),
    /// The driver carried out everything the core wants.
    Drained,
    /// The same, when nothing was told to the core since it was woken at this time.
    Woken(Instant),
    /// A watch was asked for.
    WatchStarted(usize),
    /// The core says that a watch is confirmed; nothing of it was taken yet.
    WatchOpened(usize),
    /// The client's endpoints became so many.
    Endpoints(usize),
    /// An item of a watch was taken.
    WatchItem(usize, &'a WatchItem),
    /// The end of a watch was taken; its record does not say so yet.
    WatchEnded(usize, &'a Result<(), WatchError>),
    /// A request for progress was answered.
    ProgressAnswered(usize, ProgressRecord, &'a Result<Revision, ProgressError>),
    /// After all faults the watches had time to tell everything.
    Settled,
    /// Then they were given up, and there was time for that too.
    Emptied,
    /// The client was closed, and everything carried out.
    Closed,
    /// All faults were mended so long ago that whatever can end has ended.
    Quiet,
    /// The run is over; what was under way has arrived.
    Over,
}

/// All checkers, fresh.
pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(unary::EndsOnce::default()),
        Box::new(unary::Transcript::default()),
        Box::new(unary::Resent),
        Box::new(unary::AppliedOnce),
        Box::new(unary::NotApplied),
        Box::new(unary::Written),
        Box::new(unary::Reads),
        Box::new(unary::RevisionGrows::default()),
        Box::new(unary::Deadlines::default()),
        Box::new(unary::Timers),
        Box::new(unary::Picking::default()),
        Box::new(unary::Bounds),
        Box::new(unary::Memory::default()),
        Box::new(unary::Reconnects::default()),
        Box::new(unary::Leases::default()),
        Box::new(unary::Alive),
        Box::new(unary::Certain),
        Box::new(unary::ClusterTold::default()),
        Box::new(unary::HasLeader),
        Box::new(unary::Served::default()),
        Box::new(unary::Silence::default()),
        Box::new(unary::Storms::default()),
        Box::new(watching::Histories::default()),
        Box::new(watching::Ends::default()),
        Box::new(watching::Notices::default()),
        Box::new(watching::Progress::default()),
        Box::new(watching::Buffers::default()),
        Box::new(watching::CaughtUp),
        Box::new(watching::LeftOver),
    ]
}
