//! The cluster: its public face and what its parts share.

mod admin;
mod backup;
mod calls;
mod proposals;
mod raft;
mod reads;
mod timers;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;

use super::history::{Epoch, History, Past};
use super::lease::{Asks, KeepAlive, Lessor};
use super::log::{Log, Position};
use super::member::Member;
use super::rpc::{Answerer, Rpc};
use super::state::State;
use super::store::{NOTHING_COMPACTED, View};
use super::{CallId, ClusterConfig, Output, Status};
use crate::rng::Rng;

pub use backup::Backup;
pub(crate) use calls::Asked;
pub(crate) use proposals::{Blocked, InFlight};
pub(crate) use raft::Raft;
pub(crate) use reads::Read;
pub(crate) use timers::{Timer, Timers};
use watching::Watching;

/// A cluster of etcd members as a state machine.
///
/// Feed it with [`open`](Self::open), [`message`](Self::message), [`finish`](Self::finish),
/// [`cancel`](Self::cancel), faults and [`handle_timeout`](Self::handle_timeout); after any of them drain
/// [`poll_output`](Self::poll_output) and look at [`poll_timeout`](Self::poll_timeout) again. Time never runs
/// backwards: an earlier `now` counts as the latest one seen.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: ClusterConfig,
    pub(crate) rng: Rng,
    now: Instant,
    cluster_id: u64,
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) members: Vec<Member>,
    /// The watches of each member.
    watches: Vec<Watching>,
    pub(crate) raft: Raft,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) lessor: Lessor,
    pub(crate) asks: Asks,
    /// Leases that may not be renewed.
    pub(crate) denied: BTreeSet<i64>,
    /// Proposals made to a leader and not committed yet.
    in_flight: VecDeque<InFlight>,
    /// Proposals of members without a leader.
    blocked: Vec<Blocked>,
    output: VecDeque<Output>,
    pub(crate) timers: Timers,
    past: Vec<Past>,
    restored_at: i64,
}

/// A call that is not over.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) member: usize,
    pub(crate) require_leader: bool,
    /// When the client's patience ends.
    pub(crate) deadline: Option<Instant>,
    pub(crate) stage: Stage,
}

impl Call {
    /// It goes on until somebody ends it.
    fn is_stream(&self) -> bool {
        matches!(self.stage, Stage::KeepAlive(_) | Stage::Watch)
    }
}

/// What a call waits for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its request.
    Request(Rpc),
    /// The log: its proposal is made.
    Proposed { since: Instant },
    /// A leader: its proposal is not even made.
    Blocked,
    /// The position up to which it may read, and then for the log to be applied so far.
    Reading(Read),
    /// More requests, and events: a watch stream.
    Watch,
    /// The leader: it knows how long a lease has to live.
    TimeToLive { keys: bool },
    /// More requests: it is a stream.
    KeepAlive(KeepAlive),
}

impl Cluster {
    /// A cluster that is up and has a leader. `seed` decides everything that may go either way.
    pub fn new(config: ClusterConfig, now: Instant, seed: u64) -> Self {
        let start = Position { index: 0, revision: 1, compacted: NOTHING_COMPACTED };
        let count = config.members.max(1);
        let voters = count - config.learners.min(count - 1);
        let members = (0..count).map(|member| Member::new(now, member >= voters, start)).collect();
        let mut rng = Rng::new(seed);
        let cluster_id = rng.next_u64();
        let watches = (0..count).map(|_| Watching::new(&config, now, rng.next_u64())).collect();
        let mut cluster = Self {
            config,
            rng,
            now,
            cluster_id,
            state: State::default(),
            log: Log::new(start),
            members,
            watches,
            raft: Raft::default(),
            calls: BTreeMap::new(),
            lessor: Lessor::default(),
            asks: Asks::default(),
            denied: BTreeSet::new(),
            in_flight: VecDeque::new(),
            blocked: Vec::new(),
            output: VecDeque::new(),
            timers: Timers::default(),
            past: Vec::new(),
            restored_at: 1,
        };
        cluster.elect_at_once(now);
        cluster.note_leaders(now);
        cluster
    }

    /// The next thing that a client receives, in the order of sending.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. `None`: nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The latest committed revision.
    pub fn committed_revision(&self) -> i64 {
        self.state.store.revision()
    }

    /// Revisions below this one are compacted; 0 if none is.
    pub fn compact_revision(&self) -> i64 {
        self.state.compacted.max(0)
    }

    /// The cluster's id as headers tell it.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// A member's id as headers tell it; 0 if there is no such member.
    pub fn member_id(&self, member: usize) -> u64 {
        if member >= self.members.len() {
            return 0;
        }
        Rng::new(self.cluster_id.wrapping_add(member as u64)).next_u64()
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Every committed event ever, never compacted.
    pub fn history(&self) -> History<'_> {
        let now =
            Epoch { store: &self.state.store, cluster_id: self.cluster_id, restored_at: self.restored_at };
        History { past: &self.past, now }
    }

    /// What the member sees of the store.
    pub(crate) fn view(&self, member: usize) -> View<'_> {
        let position = self.members.get(member).map_or_else(|| self.log.base(), |member| member.position);
        View::new(&self.state.store, position.revision, position.compacted)
    }

    /// What the member's headers say.
    pub(crate) fn answerer(&self, member: usize) -> Answerer {
        Answerer {
            cluster_id: self.cluster_id,
            member_id: self.member_id(member),
            raft_term: self.raft.term(),
            revision: self.members.get(member).map_or(0, |member| member.position.revision),
        }
    }

    /// Sends one message of a call.
    pub(crate) fn send(&mut self, call: CallId, message: Bytes) {
        self.output.push_back(Output::Message { call, message });
    }

    /// Sends the only message of a call and ends it.
    pub(crate) fn answer(&mut self, call: CallId, message: &impl Message) {
        self.send(call, message.encode_to_vec().into());
        self.end(call, Status::OK);
    }

    /// Ends a call.
    pub(crate) fn end(&mut self, call: CallId, status: Status) {
        self.forget(call);
        self.output.push_back(Output::End { call, status });
    }

    /// Forgets a call and the timers it has.
    fn forget(&mut self, call: CallId) -> Option<Call> {
        let known = self.calls.remove(&call)?;
        if let Some(deadline) = known.deadline {
            self.timers.remove(deadline, Timer::Deadline(call));
        }
        if let Stage::Proposed { since } = known.stage {
            self.timers.remove(since + self.config.request_timeout(), Timer::Request(call));
        }
        match known.stage {
            Stage::Watch => self.forget_watch(known.member, call),
            Stage::TimeToLive { .. } | Stage::KeepAlive(_) => self.forget_ask(call),
            _ => {}
        }
        Some(known)
    }

    /// Time as the cluster sees it: it does not run backwards.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// A length of time between one and two election time-outs.
    fn election_delay(&mut self) -> Duration {
        self.rng.between(self.config.election_timeout, 2 * self.config.election_timeout)
    }
}
