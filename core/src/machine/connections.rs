//! Endpoints and their connections: dialling, backing off, letting go. How silence is noticed stands in `silence`.
//!
//! An endpoint goes `Idle -> Connecting -> Ready -> Down -> Connecting ...`. A connection is `Dialling`, `Open` or
//! `Draining`; a draining one takes no new calls and is dropped after its last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inquiries::Order;
use super::silence::Probe;
use super::{Core, Life, Timer, after};
use crate::backoff::Backoff;
use crate::call::{Call, Owner, Progress};
use crate::op::Phase;
use crate::retry::Failure;
use crate::trace::event;
use crate::transmit::Connect;
use crate::{
    Address, CallKey, Cause, CauseKind, ConnectionKey, EndpointCause, EndpointInput, EndpointKey,
    EndpointStatus, Error, Event, InvalidRequest, OpKey, ResetCause, Transmit,
};

/// An endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Arc<Address>,
    pub(super) state: State,
    backoff: Backoff,
    /// What was wrong last, until a connection is made.
    pub(super) cause: Option<Cause>,
    /// The value of the core's `failures` when it went down last, 0 if it never did.
    failed: u64,
    /// Doubled when the server complains of too many pings.
    ping_interval: Duration,
}

/// What an endpoint is doing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was asked of it.
    Idle,
    /// A connection is being made.
    Connecting(ConnectionKey),
    /// Calls go out on this connection.
    Ready(ConnectionKey),
    /// The next attempt is made then.
    Down { until: Instant, cause: Cause },
}

impl Endpoint {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    pub(super) fn status(&self) -> Option<EndpointStatus> {
        match &self.state {
            State::Idle => None,
            State::Connecting(_) => Some(EndpointStatus::Connecting),
            State::Ready(_) => Some(EndpointStatus::Ready),
            State::Down { cause, .. } => Some(EndpointStatus::Down(cause.clone())),
        }
    }
}

/// A connection or the attempt at one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) endpoint: EndpointKey,
    pub(super) address: Arc<Address>,
    pub(super) stage: Stage,
    /// When it was made; before that, when it was asked for.
    since: Instant,
    /// Open calls of operations and streams: they keep a leaving connection.
    pub(super) open_calls: usize,
    /// Those of them that wait for an answer.
    pub(super) outstanding: usize,
    /// Since when something was asked and nothing whatever came. Calls that end unanswered leave it set: their
    /// deadlines must not hide a dead server.
    pub(super) unanswered: Option<Instant>,
    pub(super) silence_armed: bool,
    pub(super) probe: Option<Probe>,
    pub(super) order: Order,
    /// Whether a call was ever answered: the proof that reconnecting is worth trying at once.
    proved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Dialling,
    Open,
    /// Takes no new calls: its endpoint was removed.
    Draining,
    /// The same, and takes no probes either: the server said so.
    GoingAway,
}

impl Connection {
    pub(super) fn is_dialling(&self) -> bool {
        self.stage == Stage::Dialling
    }

    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Draining | Stage::GoingAway)
    }
}

impl Core {
    /// Makes the set of endpoints be these, in this order.
    pub(super) fn replace_endpoints(&mut self, addresses: Vec<Address>) {
        let old = core::mem::take(&mut self.order);
        for address in addresses {
            let known = old.iter().chain(&self.order).copied();
            let known = known
                .into_iter()
                .find(|key| self.endpoints.get(*key).is_some_and(|endpoint| *endpoint.address == address));
            match known {
                Some(key) if self.order.contains(&key) => {}
                Some(key) => self.order.push(key),
                None => {
                    let key = self.endpoints.insert(Endpoint {
                        address: Arc::new(address),
                        state: State::Idle,
                        backoff: Backoff::new(self.config.reconnect),
                        cause: None,
                        failed: 0,
                        ping_interval: self.config.ping_interval,
                    });
                    self.order.push(key);
                    if matches!(self.life, Life::Active | Life::Retiring) {
                        self.dial(key);
                    }
                }
            }
        }
        for key in old.into_iter().filter(|key| !self.order.contains(key)).collect::<Vec<_>>() {
            self.remove_endpoint(key);
        }
    }

    fn remove_endpoint(&mut self, key: EndpointKey) {
        let Some(endpoint) = self.endpoints.remove(key) else { return };
        self.events.push_back(Event::Endpoint { endpoint: key, status: EndpointStatus::Removed });
        match endpoint.state {
            State::Idle | State::Down { .. } => {}
            State::Connecting(connection) => self.drop_connection(connection),
            State::Ready(connection) => self.drain_connection(connection, Stage::Draining),
        }
    }

    /// Connects to everything on the first demand.
    pub(super) fn wake(&mut self) {
        if self.life == Life::Lazy {
            self.life = Life::Active;
            for key in self.order.clone() {
                self.dial(key);
            }
        }
    }

    /// Makes an attempt at an endpoint that has no connection.
    pub(super) fn dial(&mut self, key: EndpointKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        let connection = self.connections.insert(Connection {
            endpoint: key,
            address: endpoint.address.clone(),
            stage: Stage::Dialling,
            since: self.now,
            open_calls: 0,
            outstanding: 0,
            unanswered: None,
            silence_armed: false,
            probe: None,
            order: Order::default(),
            proved: false,
        });
        endpoint.state = State::Connecting(connection);
        self.transmits.push_back(Transmit::Connect(Connect {
            connection,
            endpoint: key,
            address: endpoint.address.clone(),
            ping_interval: endpoint.ping_interval,
            ping_timeout: self.config.ping_timeout,
        }));
        event!(DEBUG, "connecting", endpoint = endpoint.address.as_str());
        self.events.push_back(Event::Endpoint { endpoint: key, status: EndpointStatus::Connecting });
        self.timers.arm(self.later(self.config.dial_timeout), Timer::Dial(connection));
    }

    pub(super) fn dial_timeout(&mut self, key: ConnectionKey) {
        self.transmits.push_back(Transmit::Disconnect(key));
        let timeout = format!("{:?}", self.config.dial_timeout);
        self.lose(key, &Cause::new(CauseKind::DialTimeout, timeout));
    }

    pub(super) fn endpoint_input(&mut self, key: ConnectionKey, input: EndpointInput) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match (input, connection.stage) {
            (EndpointInput::Connected, Stage::Dialling) => self.connected(key),
            (EndpointInput::Received, Stage::Open | Stage::Draining | Stage::GoingAway) => self.heard(key),
            (EndpointInput::GoingAway, Stage::Open | Stage::Draining) => {
                self.heard(key);
                self.endpoint_down(key, &Cause::from(CauseKind::GoAway(0)));
                self.drain_connection(key, Stage::GoingAway);
            }
            (EndpointInput::ConnectFailed(cause) | EndpointInput::Closed(cause), _) => self.lose(key, &cause),
            // Told twice, or out of order: nothing new.
            (EndpointInput::Connected | EndpointInput::Received | EndpointInput::GoingAway, _) => {}
        }
    }

    fn connected(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.stage = Stage::Open;
        connection.since = self.now;
        let endpoint_key = connection.endpoint;
        let Some(endpoint) = self.endpoints.get_mut(endpoint_key) else { return };
        endpoint.state = State::Ready(key);
        endpoint.cause = None;
        event!(INFO, "connected", endpoint = endpoint.address.as_str());
        self.events.push_back(Event::Endpoint { endpoint: endpoint_key, status: EndpointStatus::Ready });
        self.endpoints_changed();
        self.open_waiting();
        self.sweep_timers();
    }

    /// Notes that a call was answered: the endpoint works.
    pub(super) fn proved(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::BackoffKept) {
            return;
        }
        if !connection.proved {
            connection.proved = true;
            if let Some(endpoint) = self.endpoints.get_mut(connection.endpoint) {
                endpoint.backoff.reset();
            }
        }
    }

    /// Forgets a call whatever its state; `None` if it is gone already.
    pub(super) fn forget_call(&mut self, call: CallKey) -> Option<Call> {
        let call = self.calls.remove(call)?;
        if call.owner == Owner::Probe {
            return Some(call);
        }
        if let Owner::Op(_) = call.owner {
            self.in_flight -= 1;
        }
        if let Some(connection) = self.connections.get_mut(call.connection) {
            connection.open_calls -= 1;
            connection.outstanding -= usize::from(call.awaiting);
            if connection.open_calls == 0 && connection.is_leaving() {
                self.drop_connection(call.connection);
            }
        }
        Some(call)
    }

    /// Takes the endpoint of this connection out of use, if it uses this connection, and plans the next attempt.
    fn endpoint_down(&mut self, key: ConnectionKey, cause: &Cause) {
        let Some(connection) = self.connections.get(key) else { return };
        let endpoint_key = connection.endpoint;
        let Some(endpoint) = self.endpoints.get_mut(endpoint_key) else { return };
        if !matches!(endpoint.state, State::Connecting(k) | State::Ready(k) if k == key) {
            return;
        }
        if endpoint.is_ready() {
            self.stats.connections_lost += 1;
            if self.now.duration_since(connection.since) >= self.config.reconnect.cap {
                // It lasted: a success, whether calls were made or not.
                endpoint.backoff.reset();
            }
        }
        self.failures += 1;
        endpoint.failed = self.failures;
        let until = after(self.now, endpoint.backoff.next_delay(&mut self.rng));
        #[cfg(etcdium_planted)]
        let floor = self.config.has(crate::Planted::BackoffFloor);
        #[cfg(etcdium_planted)]
        let until = if floor { after(self.now, Duration::from_millis(1)) } else { until };
        event!(WARN, "endpoint down", endpoint = endpoint.address.as_str(), cause = cause);
        endpoint.cause = Some(cause.clone());
        endpoint.state = State::Down { until, cause: cause.clone() };
        self.timers.arm(until, Timer::Reconnect(endpoint_key));
        let status = EndpointStatus::Down(cause.clone());
        self.events.push_back(Event::Endpoint { endpoint: endpoint_key, status });
        self.endpoints_changed();
    }

    /// A connection is gone: its endpoint is down and its calls are lost.
    pub(super) fn lose(&mut self, key: ConnectionKey, cause: &Cause) {
        if *cause.kind() == CauseKind::TooManyPings {
            // Told after GOAWAY mostly, when the endpoint is down already.
            let connection = self.connections.get(key);
            if let Some(endpoint) = connection.and_then(|c| self.endpoints.get_mut(c.endpoint)) {
                endpoint.ping_interval = endpoint.ping_interval.saturating_mul(2);
            }
        }
        self.endpoint_down(key, cause);
        let unsent = self.transmits.take_back_all(|open| open.connection == key);
        let lost: Vec<(CallKey, Owner, bool)> = self
            .calls
            .iter()
            .filter(|(_, call)| call.connection == key)
            .map(|(call_key, call)| (call_key, call.owner, call.is_answered()))
            .collect();
        let Some(connection) = self.connections.remove(key) else { return };
        for (call, owner, answered) in lost {
            self.forget_call(call);
            let reset = if unsent.contains(&call) {
                ResetCause::NotSent
            } else {
                ResetCause::Connection(cause.clone())
            };
            let failure = Failure::Reset { cause: reset, answered };
            match owner {
                Owner::Op(op) => self.attempt_failed(op, connection.endpoint, &connection.address, failure),
                Owner::Stream(stream) => self.stream_failed(stream, failure),
                Owner::Version | Owner::History => {
                    self.inquiry_ended(owner, key, Progress::Failed { failure, open: false });
                }
                Owner::Probe => {}
            }
        }
        self.open_waiting();
        self.sweep_timers();
    }

    /// No new calls on this connection; it is dropped with its last.
    fn drain_connection(&mut self, key: ConnectionKey, stage: Stage) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.stage = stage;
        self.hubs_leave(key);
        self.leave_connection(key);
        if self.connections.get(key).is_some_and(|connection| connection.open_calls == 0) {
            self.drop_connection(key);
        }
    }

    /// Drops a connection that no operation or stream has a call on. A probe may be open: it ends with the connection.
    fn drop_connection(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.remove(key) else { return };
        if let Some(probe) = connection.probe {
            self.calls.remove(probe.call);
        }
        self.transmits.push_back(Transmit::Disconnect(key));
    }

    /// Drops every connection and endpoint attempt: the core closes.
    pub(super) fn drop_connections(&mut self) {
        for key in self.connections.keys().collect::<Vec<_>>() {
            self.drop_connection(key);
        }
        for (_, endpoint) in self.endpoints.iter_mut() {
            endpoint.state = State::Idle;
        }
    }

    /// Whether an operation could be sent, with `pinned` as the only endpoint allowed if there is one.
    pub(super) fn is_any_ready(&self, pinned: Option<EndpointKey>) -> bool {
        match pinned {
            Some(key) => self.endpoints.get(key).is_some_and(Endpoint::is_ready),
            None => self.endpoints.iter().any(|(_, endpoint)| endpoint.is_ready()),
        }
    }

    /// Ends the operations that wait for an endpoint to be ready, if one is or all have failed since.
    fn endpoints_changed(&mut self) {
        if self.connecting.is_empty() {
            return;
        }
        for (key, started) in self.connecting.clone() {
            let pinned = self.ops.get(key).and_then(|op| op.pinned);
            let concerned = |k: EndpointKey| pinned.is_none_or(|pinned| pinned == k);
            if self.is_any_ready(pinned) {
                self.connect_done(key);
            } else if self.endpoints.iter().all(|(k, endpoint)| !concerned(k) || endpoint.failed > started) {
                self.connect_failed(key, pinned);
            }
        }
    }

    /// After the set of endpoints was replaced: operations that can never be sent now end.
    pub(super) fn settle_after_replacement(&mut self) {
        let stranded: Vec<(OpKey, InvalidRequest)> = self
            .ops
            .iter()
            .filter(|(_, op)| !op.is_done() && !matches!(op.phase, Phase::Running(_)))
            .filter_map(|(key, op)| match op.pinned {
                Some(endpoint) if !self.endpoints.contains(endpoint) => {
                    Some((key, InvalidRequest::UnknownEndpoint))
                }
                _ if self.order.is_empty() => Some((key, InvalidRequest::NoEndpoints)),
                _ => None,
            })
            .collect();
        for (key, invalid) in stranded {
            let mut error = Error::from(invalid);
            if let Some(op) = self.ops.get_mut(key) {
                error = error.with_source(op.last_error.take());
                if let Some(request) = &op.request {
                    error = error.with_method(request.method);
                }
            }
            self.end_op(key, Err(error));
        }
        self.streams_after_replacement();
        self.watches_after_replacement();
        self.leases_after_replacement();
        self.sweep_timers();
        self.endpoints_changed();
    }

    /// What is wrong with each endpoint an operation may use. `running` is the endpoint that owes it an answer.
    pub(super) fn causes(
        &self,
        pinned: Option<EndpointKey>,
        running: Option<EndpointKey>,
    ) -> Vec<EndpointCause> {
        let concerned = self.order.iter().filter(|key| pinned.is_none_or(|pinned| pinned == **key));
        let causes = concerned.filter_map(|key| {
            let endpoint = self.endpoints.get(*key)?;
            let cause = if running == Some(*key) {
                Cause::from(CauseKind::NoAnswer)
            } else if let Some(cause) = &endpoint.cause {
                cause.clone()
            } else if matches!(endpoint.state, State::Connecting(_)) {
                Cause::from(CauseKind::StillConnecting)
            } else {
                return None;
            };
            Some(EndpointCause { endpoint: endpoint.address.clone(), cause })
        });
        causes.collect()
    }
}
