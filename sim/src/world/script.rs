//! Scripts: all that happens to one client and its cluster, as a plain list that can be printed, shortened and run
//! again.

use std::fmt;
use std::time::Duration;

use super::leasing::LeasePlan;
use super::watching::WatchPlan;
use crate::model::Disorder;

/// One simulated life of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// What the script was made from; also decides everything that no step says, such as latencies.
    pub seed: u64,
    /// What the world is like.
    pub setup: Setup,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// What the world is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// How many members the cluster has.
    pub members: usize,
    /// How many of them, the last ones, are learners.
    pub learners: usize,
    /// Minor version of etcd.
    pub minor: u8,
    /// How long a proposal takes to be committed.
    pub commit_latency: Duration,
    /// Limits of the cluster.
    pub limits: Limits,
    /// Endpoints that lead to no member.
    pub decoys: Vec<Decoy>,
    /// The client's limit on open calls.
    pub max_in_flight: usize,
    /// The client's time-out.
    pub timeout: Option<Duration>,
    /// One way through the network, at least and at most.
    pub latency: (Duration, Duration),
    /// How late the driver does what the core wants, at most; zero does it at once.
    pub turn: Duration,
    /// How many answers in a thousand come in pieces, with time between them.
    pub pieces: u64,
    /// Whether the driver tells of received bytes before it tells what they were.
    pub tells_received: bool,
    /// Whether the driver tells news before it wakes the core's timers when both are due, or the other way round.
    pub news_first: bool,
    /// Whether the client is closed while it is busy; else when all is done.
    pub abrupt_close: bool,
    /// A grpc-proxy stands between the client and the cluster: all places of members lead to it.
    pub proxied: bool,
    /// How the cluster serves watches; `None`: as etcd does.
    pub streams: Option<StreamSetup>,
}

/// What a world of watches and leases is like.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSetup {
    /// What the goroutines of a busy server do to the order of watch responses.
    pub disorder: Disorder,
    /// Where responses are cut into fragments, in bytes.
    pub fragment_bytes: usize,
    /// How often an idle watch is told the revision.
    pub progress_interval: Duration,
    /// A scripted client, in place of the core.
    pub scripted: Option<Scripted>,
}

/// What a scripted client has.
#[derive(Clone, Debug, PartialEq)]
pub struct Scripted {
    /// How many watches each of its streams has.
    pub watches: Vec<usize>,
    /// How many leases it keeps.
    pub leases: usize,
}

/// What a script is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// Unary operations of the core.
    #[default]
    Unary,
    /// Watches of the core, among its unary operations.
    Watch,
    /// Watches and leases of a scripted client.
    Scripted,
    /// Leases of the core, among its unary operations.
    Lease,
}

/// Limits of the cluster so low that they are met, until the faults are over; `None` is etcd's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Largest proposal in bytes.
    pub request_bytes: Option<usize>,
    /// How many entries a member may be behind and yet take proposals.
    pub gap: Option<u64>,
    /// Size of the store in bytes at which writes are refused.
    pub quota: Option<u64>,
}

/// An endpoint that leads to no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoy {
    /// Nobody listens.
    Refuses,
    /// Nothing answers at all.
    Hangs,
    /// Something else than etcd listens.
    Wrong,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Names the step for ever: what chance decides about it is drawn from the seed and this.
    pub id: u32,
    /// When it happens, counted from the start.
    pub at: Duration,
    /// What happens.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The client starts an operation. Where the client is scripted somebody else does.
    Start(Request, Options),
    /// The client watches.
    Watch(WatchPlan),
    /// The client asks for the progress of one of the watches that live then; the scripted client, on this stream.
    AskProgress(usize),
    /// The client grants a lease that keeps itself alive, or keeps one alive.
    Lease(LeasePlan),
    /// Renewals of one of the latest leases are refused from now on.
    DenyRenewals(u8),
    /// Somebody else revokes one of the latest leases.
    RevokeLease(u8),
    /// The client's endpoints become these: bit `n` stands for endpoint `n`.
    SetEndpoints(u8),
    /// The client does not run for this long: nothing is told, no timer fires.
    Pause(Duration),
    /// Something goes wrong with this member and is mended after this time.
    Fault(Fault, usize, Duration),
    /// A connection to this member breaks, or all of them do.
    Cut(usize, Cut),
    /// This member asks its clients to leave; it still serves so many streams that are under way.
    GoAway(usize, u8),
    /// The leadership moves to this member.
    MoveLeader(usize),
    /// Somebody else compacts all but so many revisions.
    Compact(u8),
    /// Somebody else takes a backup.
    Backup,
    /// The latest backup is restored, as the same cluster or as another.
    Restore {
        /// Whether the cluster id changes.
        other: bool,
    },
}

impl Action {
    /// Whether something goes wrong: what the client wants, and what somebody else wants of the cluster, is no fault.
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Pause(_)
                | Self::Fault(..)
                | Self::Cut(..)
                | Self::GoAway(..)
                | Self::MoveLeader(_)
                | Self::Restore { .. }
        )
    }
}

/// An operation of the client. Keys, leases and compaction revisions are made concrete when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Puts a value never put before, with the lease in this slot if there is one.
    Put(u8, Option<u8>),
    /// Reads one key.
    Get(u8, Reading),
    /// Reads all keys.
    List(Reading),
    /// Deletes one key.
    Delete(u8),
    /// Writes a key if it is as last seen; reads it if not.
    CompareAndSet(u8),
    /// Writes so many keys in one transaction, from this one on, or deletes those of them whose bits are set.
    Many {
        /// The first.
        first: u8,
        /// How many.
        count: u8,
        /// Bit `n` stands for the `n`-th of them.
        deletions: u8,
    },
    /// Reads two keys in a transaction.
    ReadTxn(u8, u8),
    /// Grants a lease for this many seconds, to be found in this slot.
    Grant(u8, u8),
    /// Revokes the lease in this slot.
    Revoke(u8),
    /// Asks for the remaining life of the lease in this slot.
    TimeToLive(u8),
    /// Compacts all but so many revisions, as far as the client knows.
    Compact(u8),
    /// Asks a member for its status.
    Status,
    /// Waits for a connection.
    Connect,
}

/// How a read reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// What is committed when it starts, or later.
    Linearizable,
    /// What the member has.
    Serializable,
    /// What was there so many revisions ago, as far as the client knows.
    Past(u8),
}

/// Options of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Not the client's time-out but this one.
    pub timeout: Option<Option<Duration>>,
    /// This endpoint and no other, if it is configured then.
    pub endpoint: Option<u8>,
    /// Cancelled so long after the start, if it has not ended.
    pub cancel: Option<Duration>,
    /// Taken so long after its end.
    pub late: Option<Duration>,
}

/// Something that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The member's process is gone.
    Kill,
    /// Cut off from its peers.
    Isolate,
    /// Applies what is committed so much later.
    Lag(Duration),
    /// The whole cluster has no leader.
    NoLeader,
    /// Says that it is not capable.
    NotCapable,
    /// Answers so much later.
    Slow(Duration),
    /// Nothing passes between client and member; it is not lost but late.
    Blackhole,
    /// Nothing passes from the client to the member.
    CutThere,
    /// Nothing passes from the member to the client.
    CutBack,
    /// Nobody listens.
    RefuseDials,
    /// Connections are never made.
    HangDials,
    /// Something else listens.
    WrongServer,
    /// Half of the streams are refused before anything is done.
    RefuseStreams,
    /// Half of the requests are given back by the connection.
    NotSent,
    /// Half of the streams are reset after the request was received.
    ResetStreams,
    /// Half of the requests are answered by a proxy, with status 503, before or after etcd saw them.
    Proxy503,
    /// Half of the answers break the protocol.
    Garbage,
}

/// How connections break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Requests under way are lost with the connection.
    BeforeArrival,
    /// Requests under way arrive, answers are lost.
    AfterArrival,
    /// As the network has it, request by request.
    Mixed,
    /// The same, and the client is never told.
    Silent,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4} {:>10.3} s  {:?}", self.id, self.at.as_secs_f64(), self.action)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "{:?}", self.setup)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

impl Script {
    /// How many steps make something go wrong.
    pub fn faults(&self) -> usize {
        self.steps.iter().filter(|step| step.action.is_fault()).count()
    }

    /// When the last step is done and the last fault mended.
    pub fn quiet_at(&self) -> Duration {
        let end = |step: &Step| match step.action {
            Action::Fault(_, _, lasting) | Action::Pause(lasting) => step.at + lasting,
            _ => step.at,
        };
        self.steps.iter().map(end).max().unwrap_or_default()
    }
}
