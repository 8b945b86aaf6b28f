//! What the world keeps of operations, calls and connections: the material that checkers judge.

use std::time::{Duration, Instant};

use etcdium_core::{CallKey, ConnectionKey, EndpointKey, Error, OpKey};
use etcdium_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
    StatusRequest, StatusResponse, TxnRequest, TxnResponse,
};
use etcdium_proto::{RetryClass, UnaryRequest};

/// An operation of the client. Its index in [`View::ops`](crate::check::View::ops) is its key's serial number.
#[derive(Debug)]
pub struct OpRecord {
    /// The step that started it, or a number above all steps.
    pub id: u32,
    /// The core's key.
    pub key: OpKey,
    /// What was asked.
    pub asked: Asked,
    /// When it was started.
    pub started: Instant,
    /// When it has to be over.
    pub deadline: Option<Instant>,
    /// The only endpoint it may use.
    pub pinned: Option<EndpointKey>,
    /// How many restores lay behind when it started.
    pub epoch: usize,
    /// What was committed when it started.
    pub committed: i64,
    /// Its calls, oldest first, by their index.
    pub calls: Vec<usize>,
    /// Bytes that its last call that is over has got; none once it was taken or cancelled.
    pub got: usize,
    /// Where it stands.
    pub state: OpState,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpState {
    /// It has not ended.
    Live,
    /// The core told its end, which has not been looked at yet.
    Done,
    /// It was taken: well (`None`) or with an error.
    Taken(Option<Failed>),
    /// It was given up.
    Cancelled,
}

/// What is kept of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether the error says that nothing was changed.
    pub not_applied: bool,
}

/// A request with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Put.
    Put(PutRequest),
    /// Range.
    Range(RangeRequest),
    /// Delete.
    Delete(DeleteRangeRequest),
    /// Txn.
    Txn(TxnRequest),
    /// Lease grant.
    Grant(LeaseGrantRequest),
    /// Lease revoke.
    Revoke(LeaseRevokeRequest),
    /// Remaining life of a lease.
    TimeToLive(LeaseTimeToLiveRequest),
    /// Compaction.
    Compact(CompactionRequest),
    /// Status of a member.
    Status(StatusRequest),
    /// Nothing: a connection is waited for.
    Connect,
}

impl OpRecord {
    /// One of the core's own, which fills a place among the application's.
    pub(crate) fn of_core(key: OpKey, now: Instant) -> Self {
        Self {
            id: u32::MAX,
            key,
            asked: Asked::Connect,
            started: now,
            deadline: None,
            pinned: None,
            epoch: 0,
            committed: 0,
            calls: Vec::new(),
            got: 0,
            state: OpState::Cancelled,
        }
    }
}

impl Asked {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        let class = match self {
            Self::Put(request) => request.retry_class(),
            Self::Range(request) => request.retry_class(),
            Self::Delete(request) => request.retry_class(),
            Self::Txn(request) => request.retry_class(),
            Self::Grant(request) => request.retry_class(),
            Self::Revoke(request) => request.retry_class(),
            Self::TimeToLive(request) => request.retry_class(),
            Self::Compact(request) => request.retry_class(),
            Self::Status(request) => request.retry_class(),
            Self::Connect => RetryClass::Read,
        };
        class == RetryClass::Write
    }
}

/// A good answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Put.
    Put(PutResponse),
    /// Range.
    Range(RangeResponse),
    /// Delete.
    Delete(DeleteRangeResponse),
    /// Txn.
    Txn(TxnResponse),
    /// Lease grant.
    Grant(LeaseGrantResponse),
    /// Lease revoke.
    Revoke(LeaseRevokeResponse),
    /// Remaining life of a lease.
    TimeToLive(LeaseTimeToLiveResponse),
    /// Compaction.
    Compact(CompactionResponse),
    /// Status of a member.
    Status(StatusResponse),
    /// There is a connection.
    Connect,
}

impl Answer {
    /// Its header.
    pub fn header(&self) -> Option<&ResponseHeader> {
        match self {
            Self::Put(answer) => answer.header.as_ref(),
            Self::Range(answer) => answer.header.as_ref(),
            Self::Delete(answer) => answer.header.as_ref(),
            Self::Txn(answer) => answer.header.as_ref(),
            Self::Grant(answer) => answer.header.as_ref(),
            Self::Revoke(answer) => answer.header.as_ref(),
            Self::TimeToLive(answer) => answer.header.as_ref(),
            Self::Compact(answer) => answer.header.as_ref(),
            Self::Status(answer) => answer.header.as_ref(),
            Self::Connect => None,
        }
    }

    /// The revision its header tells; 0 without one.
    pub fn revision(&self) -> i64 {
        self.header().map_or(0, |header| header.revision)
    }
}

/// What an operation came to.
pub type Outcome = Result<Answer, Error>;

/// A call: one attempt of an operation, a stream, or a health probe. Its index is its key's serial number.
#[derive(Debug)]
pub struct CallRecord {
    /// The core's key.
    pub key: CallKey,
    /// The operation, by its index; `None` is a health probe, a stream, or a question of the core's own.
    pub op: Option<usize>,
    /// Whether it is a stream's.
    pub stream: bool,
    /// Whether the core asks it of its own accord.
    pub inquiry: bool,
    /// The connection, by its index.
    pub connection: usize,
    /// How far the request came.
    pub passage: Passage,
    /// What the member answered, whether or not it reached the client.
    pub answered: Option<Said>,
    /// Whether the driver is done with it: its end was told, or the core reset it, or its connection is gone.
    pub over: bool,
    /// Whether the core reset it.
    pub reset: bool,
    /// Whether the client was told, in time, that no server acted on it.
    pub given_back: bool,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is under way.
    Flying,
    /// The member has it.
    Arrived,
    /// It never will arrive.
    Lost,
}

/// What an answer of a member means for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was carried out.
    Success,
    /// It was not and will not be.
    Refusal,
    /// The member does not know.
    Doubt,
}

/// A connection. Its index is its key's serial number.
#[derive(Debug)]
pub struct ConnectionRecord {
    /// The core's key.
    pub key: ConnectionKey,
    /// Its endpoint.
    pub endpoint: EndpointKey,
    /// Where the endpoint leads.
    pub place: usize,
    /// What the driver has of it.
    pub stage: LinkStage,
    /// When the core was last told that something came, or that the driver itself gave a health probe back.
    pub heard: Option<Instant>,
}

/// What the driver has of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStage {
    /// It is being made.
    Dialling,
    /// It is made.
    Open,
    /// It failed or broke.
    Broken,
    /// The core had it dropped.
    Dropped,
}

/// A time in which the client did not run.
#[derive(Clone, Copy, Debug)]
pub struct PauseRecord {
    /// Since then.
    pub from: Instant,
    /// Until then.
    pub until: Instant,
}

/// When something due at `due` is done by a client that sleeps through `pauses` and acts up to `turn` late.
pub fn done_by(due: Instant, pauses: &[PauseRecord], turn: Duration) -> Instant {
    let mut due = due;
    for pause in pauses {
        if due + turn >= pause.from && due < pause.until {
            due = pause.until;
        }
    }
    due + turn
}
