//! [`Core`]: the machine's state, its inputs and its outputs. What happens inside stands in the submodules:
//! [`dispatch`] carries operations through their attempts, [`streams`] carries streams, [`connections`] keeps endpoints
//! connected, [`silence`] finds dead ones, [`timers`] says when to look again.

mod connections;
mod dispatch;
mod grants;
mod hub_loss;
mod hubs;
mod inquiries;
mod leases;
mod progress;
mod renewals;
mod silence;
mod streams;
mod timers;
mod transmits;
mod watches;

pub use self::timers::TimerReason;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdium_proto::{Response, UnaryRequest};

use self::connections::{Connection, Endpoint};
use self::grants::Grant;
use self::inquiries::History;
use self::leases::Leases;
use self::timers::Timer;
use self::transmits::Transmits;
use crate::backoff::Backoff;
use crate::call::Call;
use crate::config::{CallOptions, Config};
use crate::frame::{Arena, Spares};
use crate::key::{HubKey, LeaseKey};
use crate::metadata::SharedHeaders;
use crate::op::{OpOwner, OpState, Phase, Reply};
use crate::revision::RevisionTracker;
use crate::rng::Rng;
use crate::slab::Slab;
use crate::stream::StreamState;
use crate::timer::TimerQueue;
use crate::watch::hub::Hub;
use crate::watch::subscription::Subscription;
use crate::{
    Address, CallInput, CallKey, ClusterId, ConnectionKey, EndpointInput, EndpointKey, EndpointStatus, Error,
    Event, Op, OpKey, Revision, Stats, StreamKey, Transmit, WatchKey,
};

/// The protocol machine of one client: everything an etcd client decides, and nothing it does. See the crate's
/// documentation for the contract with its driver.
///
/// All inputs take the time; a time earlier than the latest one seen counts as that one. Inputs cannot fail: what goes
/// wrong is told by the operation it belongs to.
#[derive(Debug)]
pub struct Core {
    config: Config,
    headers: Arc<SharedHeaders>,
    now: Instant,
    rng: Rng,
    life: Life,
    /// In configured order: what picking goes round.
    order: Vec<EndpointKey>,
    endpoints: Slab<EndpointKey, Endpoint>,
    connections: Slab<ConnectionKey, Connection>,
    ops: Slab<OpKey, OpState>,
    streams: Slab<StreamKey, StreamState>,
    leases: Leases,
    /// Leases that are being granted.
    grants: BTreeMap<LeaseKey, Grant>,
    calls: Slab<CallKey, Call>,
    /// Operations in [`Phase::Waiting`] with a request, oldest first.
    waiting: BTreeSet<OpKey>,
    /// Streams that wait for a connection, oldest first.
    waiting_streams: BTreeSet<StreamKey>,
    watches: Slab<WatchKey, Subscription>,
    hubs: Slab<HubKey, Hub>,
    /// Hubs of watches that wait for a connection, oldest first.
    waiting_hubs: BTreeSet<HubKey>,
    /// Whether the history of the cluster was replaced.
    history: History,
    /// Operations that wait for a ready endpoint and nothing else, with the value of `failures` at their start.
    connecting: BTreeMap<OpKey, u64>,
    /// Operations of the core's own.
    own_ops: usize,
    /// Those of them that nobody waits for.
    background: usize,
    /// How often any endpoint went down.
    failures: u64,
    /// Calls of operations that are open.
    in_flight: usize,
    /// Operations not done yet.
    live_ops: usize,
    /// Where the next pick starts looking.
    cursor: usize,
    arena: Arena,
    /// Buffers of large responses.
    spares: Spares,
    /// Whether a timer looks after them.
    spares_armed: bool,
    timers: TimerQueue<Timer>,
    transmits: Transmits,
    events: VecDeque<Event>,
    revisions: RevisionTracker,
    stats: Stats,
    /// Calls that are over and kept all the same.
    #[cfg(etcdium_planted)]
    hoard: Vec<Call>,
}

/// The life of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Nothing was asked yet: no connection is made.
    Lazy,
    /// Endpoints are kept connected.
    Active,
    /// The same, until nothing is left to do in the background.
    Retiring,
    /// Every operation is ended, every connection dropped.
    Closed,
}

impl Core {
    /// A core that has not connected yet: it does with the first operation. `seed` decides all jitter and the first
    /// pick; equal seeds and equal inputs give equal outputs.
    pub fn new(mut config: Config, now: Instant, seed: u64) -> Self {
        // None at all would be looked for without end.
        config.silence = config.silence.max(Duration::from_millis(1));
        let mut core = Self {
            headers: Arc::new(SharedHeaders::new(&config)),
            now,
            rng: Rng::new(seed),
            life: Life::Lazy,
            order: Vec::new(),
            endpoints: Slab::default(),
            connections: Slab::default(),
            ops: Slab::default(),
            streams: Slab::default(),
            leases: Leases::new(now, config.retry),
            grants: BTreeMap::new(),
            calls: Slab::default(),
            waiting: BTreeSet::new(),
            waiting_streams: BTreeSet::new(),
            watches: Slab::default(),
            hubs: Slab::default(),
            waiting_hubs: BTreeSet::new(),
            history: History::new(Backoff::new(config.retry)),
            connecting: BTreeMap::new(),
            own_ops: 0,
            background: 0,
            failures: 0,
            in_flight: 0,
            live_ops: 0,
            cursor: 0,
            arena: Arena::default(),
            spares: Spares::default(),
            spares_armed: false,
            timers: TimerQueue::new(),
            transmits: Transmits::default(),
            events: VecDeque::new(),
            revisions: RevisionTracker::default(),
            stats: Stats::default(),
            #[cfg(etcdium_planted)]
            hoard: Vec::new(),
            config,
        };
        let endpoints = core.config.endpoints.clone();
        core.cursor = core.rng.below(endpoints.len().max(1) as u64) as usize;
        core.replace_endpoints(endpoints);
        core
    }

    /// Starts an operation. Its end is told by [`Event::OpDone`], also when it cannot be sent at all.
    pub fn start<R: UnaryRequest>(
        &mut self,
        now: Instant,
        request: &R,
        options: &CallOptions,
    ) -> Op<R::Response> {
        self.advance(now);
        Op::new(self.start_op(request, options, OpOwner::Application))
    }

    /// Starts an operation that sends nothing: it succeeds as soon as an endpoint is ready, and fails as soon as
    /// every endpoint has failed at least once since its start, or at its deadline, telling each endpoint's cause.
    /// With [`CallOptions::endpoint`] only that endpoint counts.
    pub fn connect(&mut self, now: Instant, options: &CallOptions) -> Op<()> {
        self.advance(now);
        Op::new(self.start_connect(options))
    }

    /// Redeems an operation that ended. `None` if it has not, or if it was taken or cancelled before.
    ///
    /// # Errors
    /// The operation's, or [`ProtocolError::Message`](crate::ProtocolError::Message) if the response is no message
    /// of its type.
    pub fn take<T: Response>(&mut self, op: &Op<T>) -> Option<Result<T, Error>> {
        Some(self.take_reply(op)?.and_then(Reply::decode))
    }

    /// As [`take`](Self::take), leaving the decoding to [`Reply::decode`]: for drivers that guard the core with a lock
    /// and do not want to hold it for that long.
    pub fn take_reply<T>(&mut self, op: &Op<T>) -> Option<Result<Reply<T>, Error>> {
        if !self.ops.get(op.key())?.is_done() {
            return None;
        }
        let mut state = self.ops.remove(op.key())?;
        match core::mem::replace(&mut state.phase, Phase::Waiting) {
            Phase::Done(result) => Some(result.map(|answer| Reply::new(state.request.as_ref(), answer))),
            Phase::Waiting | Phase::Backoff(_) | Phase::Running(_) => None,
        }
    }

    /// Gives an operation up, whether it ended or not. A call on the wire is reset; a write may have been applied.
    pub fn cancel(&mut self, now: Instant, op: OpKey) {
        self.advance(now);
        self.cancel_op(op);
    }

    /// Replaces the endpoints. Endpoints that stay keep their key and their connection; calls open on those that go
    /// are finished there. Operations and streams that wait for an endpoint which goes fail with
    /// [`InvalidRequest::UnknownEndpoint`](crate::InvalidRequest::UnknownEndpoint).
    pub fn set_endpoints(&mut self, now: Instant, endpoints: impl IntoIterator<Item = Address>) {
        self.advance(now);
        if self.life != Life::Closed {
            self.replace_endpoints(endpoints.into_iter().collect());
            self.settle_after_replacement();
        }
    }

    /// Ends every operation and stream with [`ErrorKind::Closed`](crate::ErrorKind::Closed) and drops every connection.
    /// Further ones fail at once. Closing twice is harmless.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.close_all();
    }

    /// Closes the core as [`close`](Self::close) does, but no earlier than what it does in the background is done: leases
    /// that nobody holds any more are being revoked. To be called when nobody uses the core any more.
    pub fn retire(&mut self, now: Instant) {
        self.advance(now);
        if self.life == Life::Active && self.background > 0 {
            self.life = Life::Retiring;
        } else if self.life != Life::Retiring {
            self.close_all();
        }
    }

    /// Whether the core was closed and its driver has been told everything.
    pub fn is_drained(&self) -> bool {
        self.life == Life::Closed && self.transmits.is_empty()
    }

    /// Whether the core was closed.
    pub fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// News of a connection. A key the core has let go of is ignored.
    pub fn handle_endpoint(&mut self, now: Instant, connection: ConnectionKey, input: EndpointInput) {
        self.advance(now);
        self.endpoint_input(connection, input);
    }

    /// News of a call. A key the core has let go of is ignored.
    pub fn handle_call(&mut self, now: Instant, call: CallKey, input: CallInput<'_>) {
        self.advance(now);
        self.call_input(call, input);
    }

    /// Does what is due. Early and spurious calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.fire_timers();
    }

    /// The next thing to do. Anything that is done to the core may add to it.
    #[must_use = "what the core wants sent has to be sent"]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has anything.
    pub fn has_transmit(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// The next hint. Anything that is done to the core may add to it.
    #[must_use = "an event tells which operation to take"]
    pub fn poll_event(&mut self) -> Option<Event> {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::ClusterUntold) {
            self.events.retain(|event| !matches!(event, Event::ClusterChanged { .. }));
        }
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest, if nothing happens before. Any input may
    /// change it.
    #[must_use = "the core needs to be woken then"]
    pub fn poll_timeout(&self) -> Option<Instant> {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::Spinning) && self.live_ops > 0 {
            return Some(self.now);
        }
        self.timers.next().map(|(at, _)| at)
    }

    /// What [`poll_timeout`](Self::poll_timeout) waits for.
    pub fn timeout_reason(&self) -> Option<TimerReason> {
        self.timers.next().map(|(_, timer)| timer.reason())
    }

    /// The highest revision seen in any response of the current cluster, zero before the first.
    pub fn revision(&self) -> Revision {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::RevisionStuck) {
            return Revision::ZERO;
        }
        self.revisions.revision()
    }

    /// The cluster of the latest response that named one.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.revisions.cluster()
    }

    /// The configured endpoints in order, with their state; `None` is an endpoint not yet asked for.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointKey, &Address, Option<EndpointStatus>)> {
        self.order.iter().filter_map(|key| {
            let endpoint = self.endpoints.get(*key)?;
            Some((*key, &*endpoint.address, endpoint.status()))
        })
    }

    /// The key of the configured endpoint with this address.
    pub fn endpoint_key(&self, address: &Address) -> Option<EndpointKey> {
        self.endpoints.iter().find(|(_, endpoint)| *endpoint.address == *address).map(|(key, _)| key)
    }

    /// The limit on open calls.
    pub fn max_in_flight(&self) -> usize {
        self.config.max_in_flight
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            ops_started: self.ops.made(),
            calls_opened: self.calls.made(),
            connects: self.connections.made(),
            ops: self.ops.len() - self.own_ops,
            leases: self.leases.keepers.len(),
            streams: self.streams.len(),
            watches: self.watches.len(),
            watch_streams: self.hubs.len(),
            waiting: self.waiting.len() + self.connecting.len() + self.waiting_streams.len(),
            in_flight: self.calls.len(),
            connections: self.connections.len(),
            ready_endpoints: self.endpoints.iter().filter(|(_, endpoint)| endpoint.is_ready()).count(),
            timers: self.timers.len(),
            buffered_bytes: self.kept_bytes(),
            queued_bytes: self.streams.iter().map(|(_, stream)| stream.inbox.bytes()).sum::<usize>()
                + self.watches.iter().map(|(_, watch)| watch.buffered()).sum::<usize>(),
            spare_bytes: self.spares.size(),
            ..self.stats
        }
    }

    /// Bytes of what came on calls and belongs to no stream or watch yet.
    fn kept_bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|(_, call)| call.kept_bytes()).sum();
        #[cfg(etcdium_planted)]
        let calls = calls + self.hoard.iter().map(Call::kept_bytes).sum::<usize>();
        calls + self.ops.iter().map(|(_, op)| op.kept_bytes()).sum::<usize>()
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The time this far from now; beyond the clock's range, a time that never comes.
    fn later(&self, wait: Duration) -> Instant {
        after(self.now, wait)
    }
}

/// `wait` after `start`, or thirty years after it where a clock cannot say that.
pub(crate) fn after(start: Instant, wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start.checked_add(wait).unwrap_or_else(|| start + NEVER)
}
