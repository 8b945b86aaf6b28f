//! Operations: started, sent, tried again, ended. Each ends exactly once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::{RetryClass, UnaryRequest};

use super::connections::State;
use super::{Core, Life, Timer, after};
use crate::backoff::Backoff;
use crate::call::{Call, Owner, Progress};
use crate::etcd_error::Applied;
use crate::metadata::CallHeaders;
use crate::op::{Answer, OpOwner, OpState, Phase, Request};
use crate::retry::{Failure, Next, judge};
use crate::revision::{HeaderView, Observation, RevisionTracker, peek_header};
use crate::timer::TimerQueue;
use crate::trace::event;
use crate::transmit::Open;
use crate::{
    Address, CallInput, CallKey, CallOptions, ConnectionKey, EndpointKey, Error, ErrorKind, Event,
    InvalidRequest, OpKey, Outcome, ResetCause, Transmit, frame,
};

impl Core {
    pub(super) fn start_op<R: UnaryRequest>(
        &mut self,
        request: &R,
        options: &CallOptions,
        owner: OpOwner,
    ) -> OpKey {
        let encoded = frame::encode(request, self.config.max_request, &mut self.arena);
        let (message, refusal) = match encoded {
            Ok(message) => (message, None),
            Err(large) => {
                let kind = ErrorKind::RequestTooLarge { size: large.size, limit: large.limit };
                (Bytes::new(), Some(kind))
            }
        };
        #[cfg(etcdium_planted)]
        let message = self.config.make_stale(R::METHOD, message);
        let request = Request {
            method: R::METHOD,
            class: request.retry_class(),
            message,
            require_leader: options.require_leader.unwrap_or_else(|| request.needs_leader()),
            idempotent: options.idempotent,
            metadata: options.metadata.clone(),
        };
        #[cfg(etcdium_planted)]
        let request = Request {
            require_leader: request.require_leader && !self.config.has(crate::Planted::LeaderNotAsked),
            ..request
        };
        let method = request.method;
        let key = self.add_op(Some(request), options, owner);
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        let refusal = refusal.or_else(|| self.refusal(options, timeout));
        if let Some(kind) = refusal {
            let error = Error::new(kind, Outcome::NotApplied).with_method(method);
            self.end_op(key, Err(error));
            return key;
        }
        self.wake();
        // Those that wait already do so for the limit or for an endpoint that is not ready: none is overtaken.
        if self.in_flight < self.config.max_in_flight {
            if let Some(connection) = self.pick(options.endpoint, None) {
                self.open_call(key, connection);
                return key;
            }
        }
        self.waiting.insert(key);
        key
    }

    pub(super) fn start_connect(&mut self, options: &CallOptions) -> OpKey {
        let key = self.add_op(None, options, OpOwner::Application);
        if let Some(kind) = self.refusal(options, options.timeout.unwrap_or(self.config.timeout)) {
            self.end_op(key, Err(Error::new(kind, Outcome::NotApplied)));
            return key;
        }
        self.wake();
        if self.is_any_ready(options.endpoint) {
            self.connect_done(key);
        } else {
            self.connecting.insert(key, self.failures);
        }
        key
    }

    fn add_op(&mut self, request: Option<Request>, options: &CallOptions, owner: OpOwner) -> OpKey {
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        // A time-out beyond the clock's range is none.
        let deadline = timeout.and_then(|timeout| self.now.checked_add(timeout));
        let key = self.ops.insert(OpState {
            owner,
            sent: None,
            doubt: None,
            request,
            phase: Phase::Waiting,
            deadline,
            timeout: timeout.unwrap_or(Duration::MAX),
            pinned: options.endpoint,
            last: None,
            hops: 0,
            backoff: Backoff::new(self.config.retry),
            last_error: None,
        });
        self.live_ops += 1;
        self.own_ops += usize::from(owner != OpOwner::Application);
        if let Some(deadline) = deadline {
            self.timers.arm(deadline, Timer::Deadline(key));
        }
        key
    }

    /// Why an operation or stream cannot even wait.
    pub(super) fn refusal(&self, options: &CallOptions, timeout: Option<Duration>) -> Option<ErrorKind> {
        if self.life == Life::Closed {
            Some(ErrorKind::Closed)
        } else if self.order.is_empty() {
            Some(ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints))
        } else if options.endpoint.is_some_and(|endpoint| !self.endpoints.contains(endpoint)) {
            Some(ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint))
        } else if timeout == Some(Duration::ZERO) {
            Some(ErrorKind::Timeout { after: Duration::ZERO })
        } else {
            None
        }
    }

    /// The connection for the next call: ready endpoints take turns; `avoid` is used only if no other is ready.
    pub(super) fn pick(
        &mut self,
        pinned: Option<EndpointKey>,
        avoid: Option<EndpointKey>,
    ) -> Option<ConnectionKey> {
        let ready = |key: EndpointKey| match self.endpoints.get(key)?.state {
            State::Ready(connection) => Some(connection),
            State::Idle | State::Connecting(_) | State::Down { .. } => None,
        };
        if let Some(pinned) = pinned {
            return ready(pinned);
        }
        let count = self.order.len();
        let turn = (0..count).map(|step| (self.cursor + step) % count);
        let mut fallback = None;
        for index in turn {
            let key = self.order[index];
            let Some(connection) = ready(key) else { continue };
            if avoid == Some(key) {
                fallback = Some(connection);
            } else {
                self.cursor = index + 1;
                return Some(connection);
            }
        }
        fallback
    }

    fn open_call(&mut self, key: OpKey, connection: ConnectionKey) {
        let Some(op) = self.ops.get_mut(key) else { return };
        let Some(request) = &op.request else { return };
        let call = self.calls.insert(Call::new(Owner::Op(key), connection, self.config.max_response));
        op.phase = Phase::Running(call);
        op.sent = Some(self.now);
        if op.last.is_some() {
            self.stats.retries += 1;
        }
        let headers = CallHeaders {
            shared: self.headers.clone(),
            own: request.metadata.clone(),
            require_leader: request.require_leader,
            timeout: op.deadline.map(|deadline| deadline.saturating_duration_since(self.now)),
        };
        self.transmits.push_back(Transmit::Open(Open {
            call,
            connection,
            method: request.method,
            message: request.message.clone(),
            more: false,
            headers,
        }));
        self.in_flight += 1;
        self.call_opened(connection);
    }

    /// Opens calls for what waits: streams, which know no limit, then operations, oldest first, as far as endpoints and
    /// the limit allow.
    pub(super) fn open_waiting(&mut self) {
        if !self.waiting_streams.is_empty() {
            self.open_waiting_streams();
        }
        if !self.waiting_hubs.is_empty() {
            self.open_waiting_hubs();
        }
        self.renew_waiting();
        let mut next = self.waiting.first().copied();
        while let Some(key) = next {
            if self.in_flight >= self.config.max_in_flight {
                return;
            }
            let Some(op) = self.ops.get(key) else { return };
            let (pinned, last) = (op.pinned, op.last);
            // One that is too late is left to its deadline: it was not applied.
            let late = op.deadline.is_some_and(|deadline| deadline <= self.now);
            match self.pick(pinned, last) {
                Some(_) if late => {}
                Some(connection) => {
                    self.waiting.remove(&key);
                    self.open_call(key, connection);
                }
                // One that may go anywhere cannot go: nor can those after it, but for none or few.
                None if pinned.is_none() => return,
                None => {}
            }
            next = self
                .waiting
                .range((core::ops::Bound::Excluded(key), core::ops::Bound::Unbounded))
                .next()
                .copied();
        }
    }

    pub(super) fn call_input(&mut self, key: CallKey, input: CallInput<'_>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (owner, connection) = (call.owner, call.connection);
        // Other resets come from the server.
        let answered = !matches!(input, CallInput::Reset(ResetCause::NotSent | ResetCause::Connection(_)));
        let inbox = match owner {
            Owner::Stream(stream) => self.streams.get_mut(stream).map(|stream| &mut stream.inbox),
            Owner::Op(_) | Owner::Probe | Owner::Version | Owner::History => None,
        };
        let progress = call.handle(input, inbox, &mut self.spares);
        if let Owner::Stream(stream) = owner {
            self.stream_received(stream, key, connection);
            if !self.calls.contains(key) {
                // Its reader has given it up.
                self.heard(connection);
                self.open_waiting();
                return;
            }
        }
        if matches!(progress, Progress::Open) {
            if let Owner::Stream(_) = owner {
                self.stream_answered(key);
            }
            self.heard(connection);
            return;
        }
        if let Progress::Failed { open: true, .. } = progress {
            self.transmits.push_back(Transmit::Reset(key));
        }
        let place = self.connections.get(connection).map(|c| (c.endpoint, c.address.clone()));
        let _call = self.forget_call(key);
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::BytesKept) {
            self.hoard.extend(_call);
        }
        if owner == Owner::Probe {
            self.probe_ended(connection, key);
        }
        if answered {
            self.heard(connection);
        }
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LostAfterGoAway)
            && matches!(
                &progress,
                Progress::Failed { failure: Failure::Reset { cause: ResetCause::GoAway, .. }, .. }
            )
        {
            return;
        }
        let Some((endpoint, address)) = place else { return };
        if matches!(progress, Progress::Done(_) | Progress::Failed { failure: Failure::Etcd(..), .. }) {
            self.proved(connection);
        }
        match (owner, progress) {
            (Owner::Op(op), Progress::Done(message)) => {
                if self.history.speaks_of(key) {
                    observe(&mut self.revisions, &mut self.events, &message);
                }
                self.watch_spares();
                self.end_op(op, Ok(Answer { message, endpoint: Some(address) }));
            }
            (Owner::Op(op), Progress::Failed { failure, .. }) => {
                self.attempt_failed(op, endpoint, &address, failure);
            }
            (Owner::Stream(stream), Progress::Done(_)) => self.end_stream(stream, Ok(())),
            (Owner::Stream(stream), Progress::Failed { failure, .. }) => self.stream_failed(stream, failure),
            (Owner::Probe, _) => return,
            (Owner::Version | Owner::History, progress) => self.inquiry_ended(owner, connection, progress),
            (_, Progress::Open) => {}
        }
        self.open_waiting();
    }

    /// A call of the operation failed on `endpoint`: end the operation, or plan its next attempt.
    pub(super) fn attempt_failed(
        &mut self,
        key: OpKey,
        endpoint: EndpointKey,
        address: &Arc<Address>,
        failure: Failure,
    ) {
        let Some(op) = self.ops.get_mut(key) else { return };
        let Some(request) = &op.request else { return };
        let verdict = judge(request.class, request.idempotent, &failure);
        #[cfg(etcdium_planted)]
        let verdict = self.config.misjudge(&failure, verdict);
        if request.class == RetryClass::Write && verdict.applied == Applied::Unknown {
            op.doubt = op.doubt.or(op.sent);
        }
        let applied = if op.doubt.is_some() { Applied::Unknown } else { verdict.applied };
        let error =
            attempt_error(failure, applied).with_method(request.method).with_endpoint(address.clone());
        op.phase = Phase::Waiting;
        op.last = Some(endpoint);
        // The endpoints may have been replaced while the call was open.
        let stranded = match op.pinned {
            Some(pinned) => !self.endpoints.contains(pinned),
            None => self.order.is_empty(),
        };
        if verdict.next == Next::Fail || stranded {
            self.end_op(key, Err(error));
            return;
        }
        event!(DEBUG, "a call failed and is repeated", op = key, error = error);
        op.last_error = Some(error);
        let (pinned, hops) = (op.pinned, op.hops);
        // Each ready endpoint is tried once before the operation backs off.
        let others = self.endpoints.iter().filter(|(k, e)| *k != endpoint && e.is_ready()).count();
        if verdict.next == Next::Elsewhere && pinned.is_none() && (hops as usize) < others {
            if let Some(op) = self.ops.get_mut(key) {
                op.hops += 1;
            }
            self.waiting.insert(key);
        } else {
            self.back_off(key);
        }
    }

    fn back_off(&mut self, key: OpKey) {
        let Some(op) = self.ops.get_mut(key) else { return };
        let until = after(self.now, op.backoff.next_delay(&mut self.rng));
        op.phase = Phase::Backoff(until);
        op.hops = 0;
        self.timers.arm(until, Timer::Retry(key));
    }

    /// The operation's back-off is over.
    pub(super) fn retry(&mut self, key: OpKey) {
        let Some(op) = self.ops.get_mut(key) else { return };
        op.phase = Phase::Waiting;
        self.waiting.insert(key);
        self.open_waiting();
    }

    /// The operation's time is up.
    pub(super) fn deadline(&mut self, key: OpKey) {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::DeadlineIgnored) && !self.is_any_ready(None) {
            return;
        }
        self.take_back_op(key);
        let Some(op) = self.ops.get_mut(key) else { return };
        let outcome = op.outcome_if_ended();
        #[cfg(etcdium_planted)]
        let outcome = if self.config.has(crate::Planted::NeverSure) { Outcome::Unknown } else { outcome };
        let kind = ErrorKind::Timeout { after: op.timeout };
        let (pinned, phase) = (op.pinned, core::mem::replace(&mut op.phase, Phase::Waiting));
        let method = op.request.as_ref().map(|request| request.method);
        let source = op.last_error.take();
        let mut error = Error::new(kind, outcome).with_source(source);
        if let Some(method) = method {
            error = error.with_method(method);
        }
        let mut running = None;
        if let Phase::Running(call) = phase {
            let connection = self.calls.get(call).and_then(|call| self.connections.get(call.connection));
            if let Some(connection) = connection {
                running = Some(connection.endpoint);
                error = error.with_endpoint(connection.address.clone());
            }
            self.transmits.push_back(Transmit::Reset(call));
            self.forget_call(call);
        }
        error = error.with_causes(self.causes(pinned, running));
        self.end_op(key, Err(error));
        self.open_waiting();
    }

    /// Lets an operation wait again whose call the driver has not been told of.
    pub(super) fn take_back_op(&mut self, key: OpKey) {
        let Some(op) = self.ops.get_mut(key) else { return };
        let Phase::Running(call) = op.phase else { return };
        if self.transmits.take_back(call) {
            op.phase = Phase::Waiting;
            self.forget_call(call);
        }
    }

    pub(super) fn connect_done(&mut self, key: OpKey) {
        self.end_op(key, Ok(Answer { message: Bytes::new(), endpoint: None }));
    }

    pub(super) fn connect_failed(&mut self, key: OpKey, pinned: Option<EndpointKey>) {
        let causes = self.causes(pinned, None);
        self.end_op(key, Err(Error::new(ErrorKind::Unavailable, Outcome::NotApplied).with_causes(causes)));
    }

    /// Ends an operation that has no call open any more.
    pub(super) fn end_op(&mut self, key: OpKey, result: Result<Answer, Error>) {
        let Some(op) = self.ops.get_mut(key) else { return };
        match &result {
            Ok(_) => self.stats.ops_succeeded += 1,
            Err(_) => self.stats.ops_failed += 1,
        }
        let op_owner = op.owner;
        if let Phase::Waiting = core::mem::replace(&mut op.phase, Phase::Done(result)) {
            self.waiting.remove(&key);
            self.connecting.remove(&key);
        }
        self.live_ops -= 1;
        if op_owner != OpOwner::Application {
            self.own_op_done(key);
            return;
        }
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::ToldTwice) {
            self.events.push_back(Event::OpDone(key));
        }
        self.events.push_back(Event::OpDone(key));
        self.sweep_timers();
    }

    pub(super) fn cancel_op(&mut self, key: OpKey) {
        let Some(op) = self.ops.remove(key) else { return };
        self.own_ops -= usize::from(op.owner != OpOwner::Application);
        if op.is_done() {
            return;
        }
        self.stats.ops_cancelled += 1;
        self.live_ops -= 1;
        self.waiting.remove(&key);
        self.connecting.remove(&key);
        if let Phase::Running(call) = op.phase {
            self.transmits.push_back(Transmit::Reset(call));
            self.forget_call(call);
        }
        self.sweep_timers();
        self.open_waiting();
    }

    pub(super) fn close_all(&mut self) {
        if self.life == Life::Closed {
            return;
        }
        self.life = Life::Closed;
        self.close_leases();
        let calls = &self.calls;
        let is_op = |call| calls.get(call).is_some_and(|call| matches!(call.owner, Owner::Op(_)));
        let unsent = self.transmits.take_back_all(|open| is_op(open.call));
        let live: Vec<OpKey> = self.ops.iter().filter(|(_, op)| !op.is_done()).map(|(key, _)| key).collect();
        for key in live {
            let Some(op) = self.ops.get_mut(key) else { continue };
            if let Phase::Running(call) = op.phase {
                if unsent.contains(&call) {
                    op.phase = Phase::Waiting;
                    self.forget_call(call);
                }
            }
            let Some(op) = self.ops.get_mut(key) else { continue };
            let outcome = op.outcome_if_ended();
            let phase = core::mem::replace(&mut op.phase, Phase::Waiting);
            let mut error = Error::new(ErrorKind::Closed, outcome).with_source(op.last_error.take());
            if let Some(request) = &op.request {
                error = error.with_method(request.method);
            }
            if let Phase::Running(call) = phase {
                self.transmits.push_back(Transmit::Reset(call));
                self.forget_call(call);
            }
            self.end_op(key, Err(error));
        }
        self.close_watches();
        self.close_inquiries();
        self.close_streams();
        self.drop_connections();
        self.timers = TimerQueue::new();
        self.events.push_back(Event::Drained);
    }
}

/// Reads the response header for the revision it tells.
pub(super) fn observe(revisions: &mut RevisionTracker, events: &mut VecDeque<Event>, message: &[u8]) {
    if let Some(header) = peek_header(message) {
        observe_header(revisions, events, header);
    }
}

/// Takes note of the revision that a response's header tells.
pub(super) fn observe_header(
    revisions: &mut RevisionTracker,
    events: &mut VecDeque<Event>,
    header: HeaderView,
) {
    if let Observation::ClusterChanged { from, to } = revisions.observe(header) {
        event!(WARN, "responses come from another cluster", from = from, to = to);
        events.push_back(Event::ClusterChanged { from, to });
    }
}

/// The error of one failed call.
pub(super) fn attempt_error(failure: Failure, applied: Applied) -> Error {
    let outcome = Outcome::from(applied);
    match failure {
        Failure::Etcd(error, text) => Error::new(ErrorKind::Etcd(error), outcome).with_message(text),
        Failure::Status(code, text) => Error::new(ErrorKind::Status(code), outcome).with_message(text),
        Failure::Protocol(error) => Error::new(ErrorKind::Protocol(error), outcome),
        Failure::TooLarge { size, limit } => Error::new(ErrorKind::ResponseTooLarge { size, limit }, outcome),
        Failure::Reset { cause, .. } => {
            Error::new(ErrorKind::Unavailable, outcome).with_message(match cause {
                ResetCause::NotSent => "the request was not sent: its connection was closing".to_owned(),
                ResetCause::Refused => "the server refused the request".to_owned(),
                ResetCause::GoAway => "the server was going away".to_owned(),
                ResetCause::Stream(code) => format!("the server reset the stream with HTTP/2 error {code}"),
                ResetCause::Connection(cause) => format!("the connection was lost: {cause}"),
            })
        }
    }
}
