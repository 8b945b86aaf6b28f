//! The client's side: operations started, taken and cancelled, and what a driver has to do for its core.

use std::fmt;
use std::time::Duration;

use etcdium_core::{
    Address, CallOptions, Config, Event, Metadata, Op, OpKey, Outcome as Applied, Revision, Transmit,
};
use etcdium_proto::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse,
    LeaseTimeToLiveResponse, PutResponse, RangeResponse, StatusResponse, TxnResponse,
};

use super::network::{Happening, Place};
use super::records::{Answer, Asked, Failed, LinkStage, OpRecord, OpState, Outcome};
use super::script::{Options, Request, Script};
use super::{RunOptions, World};
use crate::check::Fact;

/// The header field that names the operation of a call.
pub(crate) const NAME: &str = "x-op";

/// What the application holds of an operation.
#[derive(Debug)]
pub(crate) struct Handle {
    op: Typed,
    request: Option<Request>,
    options: Options,
}

#[derive(Debug)]
enum Typed {
    Put(Op<PutResponse>),
    Range(Op<RangeResponse>),
    Delete(Op<DeleteRangeResponse>),
    Txn(Op<TxnResponse>),
    Grant(Op<LeaseGrantResponse>),
    Revoke(Op<LeaseRevokeResponse>),
    TimeToLive(Op<LeaseTimeToLiveResponse>),
    Compact(Op<CompactionResponse>),
    Status(Op<StatusResponse>),
    Connect(Op<()>),
}

impl Typed {
    fn key(&self) -> OpKey {
        match self {
            Self::Put(op) => op.key(),
            Self::Range(op) => op.key(),
            Self::Delete(op) => op.key(),
            Self::Txn(op) => op.key(),
            Self::Grant(op) => op.key(),
            Self::Revoke(op) => op.key(),
            Self::TimeToLive(op) => op.key(),
            Self::Compact(op) => op.key(),
            Self::Status(op) => op.key(),
            Self::Connect(op) => op.key(),
        }
    }
}

/// The client's settings.
pub(crate) fn config(script: &Script, places: &[Place], options: &RunOptions) -> Config {
    let setup = &script.setup;
    let config = Config::new(places.iter().map(|place| place.address.clone()))
        .timeout(setup.timeout)
        .max_in_flight(setup.max_in_flight);
    options.apply(config)
}

impl World {
    /// Starts the operation `id`.
    pub(crate) fn start(&mut self, id: u32, request: Request, options: &Options) {
        let asked = self.known.fill(id, request);
        self.start_asked(id, Some(request), asked, options);
    }

    pub(crate) fn start_asked(&mut self, id: u32, request: Option<Request>, asked: Asked, options: &Options) {
        // The core counts its own among them.
        let index = self.core.stats().ops_started as usize;
        let mut call = CallOptions::new();
        if let Ok(metadata) = Metadata::new().with(NAME, &index.to_string()) {
            call = call.metadata(metadata);
        }
        if let Some(timeout) = options.timeout {
            call = call.timeout(timeout);
        }
        let place = options.endpoint.and_then(|endpoint| self.places.get(usize::from(endpoint)));
        let pinned = place.and_then(|place| self.core.endpoint_key(&place.address));
        if let Some(pinned) = pinned {
            call = call.endpoint(pinned);
        }
        let (epoch, committed) = (self.ledger.epoch(), self.cluster.committed_revision());
        let (core, now) = (&mut self.core, self.now);
        let op = match &asked {
            Asked::Put(request) => Typed::Put(core.start(now, request, &call)),
            Asked::Range(request) => Typed::Range(core.start(now, request, &call)),
            Asked::Delete(request) => Typed::Delete(core.start(now, request, &call)),
            Asked::Txn(request) => Typed::Txn(core.start(now, request, &call)),
            Asked::Grant(request) => Typed::Grant(core.start(now, request, &call)),
            Asked::Revoke(request) => Typed::Revoke(core.start(now, request, &call)),
            Asked::TimeToLive(request) => Typed::TimeToLive(core.start(now, request, &call)),
            Asked::Compact(request) => Typed::Compact(core.start(now, request, &call)),
            Asked::Status(request) => Typed::Status(core.start(now, request, &call)),
            Asked::Connect => Typed::Connect(core.connect(now, &call)),
        };
        self.trace.add(self.now - self.start, &("start", id, &asked, options));
        let timeout = options.timeout.unwrap_or(self.script.setup.timeout);
        if op.key().serial() != index as u64 {
            self.violate("keys of operations are counted", format!("{:?} is not {index}", op.key()));
        }
        while self.ops.len() < index {
            self.ops.push(OpRecord::of_core(op.key(), self.now));
            self.handles.push(None);
        }
        self.ops.push(OpRecord {
            id,
            key: op.key(),
            asked,
            started: self.now,
            deadline: timeout.and_then(|timeout| self.now.checked_add(timeout)),
            pinned,
            epoch,
            committed,
            calls: Vec::new(),
            got: 0,
            state: OpState::Live,
        });
        self.handles.push(Some(Handle { op, request, options: *options }));
        self.counts.ops += 1;
        self.check(&Fact::Started(index));
        if let Some(wait) = options.cancel {
            self.queue.push(self.now + wait, Happening::Cancel(index));
        }
        self.touched();
    }

    /// Gives an operation up, unless it was taken.
    pub(crate) fn cancel(&mut self, op: usize) {
        if !matches!(self.ops[op].state, OpState::Live | OpState::Done) {
            return;
        }
        self.check(&Fact::Cancelled { op, undrained: self.undrained || self.ops[op].state == OpState::Done });
        self.trace.add(self.since_start(), &("cancel", self.ops[op].key));
        self.core.cancel(self.now, self.ops[op].key);
        self.ops[op].state = OpState::Cancelled;
        self.counts.ops -= 1;
        self.counts.bytes -= std::mem::take(&mut self.ops[op].got);
        if let Some(handle) = self.handles[op].take() {
            if let Some(outcome) = self.redeem(&handle.op) {
                self.violate(
                    "a cancelled operation is gone",
                    format!("step {}: {outcome:?}", self.ops[op].id),
                );
            }
        }
        self.touched();
    }

    /// Takes an operation that has ended.
    pub(crate) fn take(&mut self, op: usize) {
        if self.ops[op].state != OpState::Done {
            return;
        }
        let Some(handle) = self.handles[op].take() else { return };
        let Some(outcome) = self.redeem(&handle.op) else {
            self.violate("an operation told as done can be taken", format!("step {}", self.ops[op].id));
            return;
        };
        if self.redeem(&handle.op).is_some() {
            self.violate("an operation is taken once", format!("step {}", self.ops[op].id));
        }
        self.trace.add(self.since_start(), &("take", self.ops[op].key, &outcome));
        self.counts.ops -= 1;
        self.counts.bytes -= std::mem::take(&mut self.ops[op].got);
        let failed = outcome.as_ref().err();
        let failed = failed.map(|error| Failed { not_applied: error.outcome() == Applied::NotApplied });
        self.ops[op].state = OpState::Taken(failed);
        if let Ok(answer) = &outcome {
            self.known.learn(handle.request, &self.ops[op].asked, answer);
        }
        self.ledger.update(&self.cluster);
        self.check(&Fact::Ended(op, &outcome));
    }

    fn redeem(&mut self, op: &Typed) -> Option<Outcome> {
        let core = &mut self.core;
        Some(match op {
            Typed::Put(op) => core.take(op)?.map(Answer::Put),
            Typed::Range(op) => core.take(op)?.map(Answer::Range),
            Typed::Delete(op) => core.take(op)?.map(Answer::Delete),
            Typed::Txn(op) => core.take(op)?.map(Answer::Txn),
            Typed::Grant(op) => core.take(op)?.map(Answer::Grant),
            Typed::Revoke(op) => core.take(op)?.map(Answer::Revoke),
            Typed::TimeToLive(op) => core.take(op)?.map(Answer::TimeToLive),
            Typed::Compact(op) => core.take(op)?.map(Answer::Compact),
            Typed::Status(op) => core.take(op)?.map(Answer::Status),
            Typed::Connect(op) => core.take(op)?.map(|()| Answer::Connect),
        })
    }

    /// Makes the endpoints be those at these places.
    pub(crate) fn set_endpoints(&mut self, set: u8) {
        let chosen = self.places.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1);
        let chosen: Vec<Address> = chosen.map(|(_, place)| place.address.clone()).collect();
        self.trace.add(self.since_start(), &("set_endpoints", &chosen));
        let count = chosen.len();
        self.core.set_endpoints(self.now, chosen);
        self.check(&Fact::Endpoints(count));
        self.touched();
    }

    /// Closes the client; everything has to end at once.
    pub(crate) fn close(&mut self) {
        self.trace.add(self.since_start(), &"close");
        self.core.close(self.now);
        self.drain();
        for op in 0..self.ops.len() {
            self.take(op);
        }
        self.close_watches();
        self.check(&Fact::Closed);
    }

    // The driver.

    /// The core got news: it is drained now or soon.
    pub(crate) fn touched(&mut self) {
        let turn = self.script.setup.turn;
        if turn.is_zero() {
            self.drain();
        } else if !self.undrained {
            self.undrained = true;
            let wait = self.rng.between(Duration::ZERO, turn);
            self.queue.push(self.now + wait, Happening::Turn);
        }
    }

    /// Wakes the core.
    pub(crate) fn wake(&mut self) {
        self.trace.add(self.since_start(), &("wake", self.core.timeout_reason()));
        self.core.handle_timeout(self.now);
        self.woken = Some(self.now);
        self.touched();
    }

    /// Carries out what the core wants, then fetches what it tells.
    pub(crate) fn drain(&mut self) {
        self.undrained = false;
        while let Some(transmit) = self.core.poll_transmit() {
            self.count();
            if self.violation.is_some() {
                return;
            }
            self.trace.add(self.since_start(), &Shown(&transmit));
            match &transmit {
                Transmit::Open(open) => {
                    self.open(open);
                    self.check(&Fact::Sent(&transmit));
                }
                Transmit::Connect(connect) => {
                    self.check(&Fact::Sent(&transmit));
                    self.dial(connect);
                }
                Transmit::Send { call, message } => {
                    self.check(&Fact::Sent(&transmit));
                    self.send(call.serial() as usize, message);
                }
                Transmit::Finish(call) => {
                    self.check(&Fact::Sent(&transmit));
                    self.finish(call.serial() as usize);
                }
                Transmit::Reset(call) => {
                    self.check(&Fact::Sent(&transmit));
                    self.reset(call.serial() as usize);
                }
                Transmit::Disconnect(connection) => {
                    self.check(&Fact::Sent(&transmit));
                    self.hang_up(connection.serial() as usize);
                }
                other => self.violate("the driver knows what to do", format!("{other:?}")),
            }
        }
        while let Some(event) = self.core.poll_event() {
            self.count();
            if self.violation.is_some() {
                return;
            }
            self.trace.add(self.since_start(), &event);
            self.check(&Fact::Told(&event));
            match event {
                Event::OpDone(key) => self.done(key.serial() as usize),
                Event::WatchReadable(key) => self.watch_told(key),
                Event::ClusterReset { revision, .. } => self.history_replaced(revision),
                // What was known of another cluster means nothing.
                Event::ClusterChanged { .. } => self.history_replaced(Revision::ZERO),
                _ => {}
            }
        }
        if self.is_watching() {
            self.look_at_truth();
        }
        if self.is_leasing() {
            self.look_at_leases();
        }
        self.check(&Fact::Drained);
        if let Some(at) = self.woken.take() {
            self.check(&Fact::Woken(at));
        }
    }

    fn done(&mut self, op: usize) {
        if self.ops[op].state != OpState::Live {
            return;
        }
        self.ops[op].state = OpState::Done;
        match self.handles[op].as_ref().and_then(|handle| handle.options.late) {
            Some(wait) => self.queue.push(self.now + wait, Happening::Take(op)),
            None => self.take(op),
        }
    }

    /// Whether nothing of the client's is left to end.
    pub(crate) fn is_idle(&self) -> bool {
        self.counts.ops == 0
    }

    /// Gives up the operations that nothing in the world makes end: those that wait without limit for an endpoint
    /// that is no voting member.
    pub(crate) fn give_up_hopeless(&mut self) {
        let setup = &self.script.setup;
        let good: Vec<_> = self.places[..setup.members - setup.learners]
            .iter()
            .filter_map(|place| self.core.endpoint_key(&place.address))
            .collect();
        for op in 0..self.ops.len() {
            let hopeless = self.ops[op].pinned.is_some_and(|pinned| !good.contains(&pinned));
            if hopeless && self.ops[op].deadline.is_none() {
                self.cancel(op);
            }
        }
    }

    /// Whether the driver can still use the connection.
    pub(crate) fn is_open(&self, connection: usize) -> bool {
        self.connections[connection].stage == LinkStage::Open
    }
}

/// What of a transmit belongs into a transcript: the shared header maps do not.
struct Shown<'a>(&'a Transmit);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Transmit::Open(open) => {
                let (call, on, name) = (open.call, open.connection, open.method.name());
                write!(f, "Open {call:?} on {on:?} {name} {:?} {:?}", open.timeout(), open.message)
            }
            other => other.fmt(f),
        }
    }
}
