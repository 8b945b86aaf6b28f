//! Silence: what a connection owes, and whether its server lives.
//!
//! A connection that delivers nothing while answers are due is probed, and lost when nothing comes then either. A stream
//! is owed an answer only from a message it sent until something comes on it: an idle one is guarded by HTTP/2 pings,
//! which are the driver's.

use std::time::{Duration, Instant};

use etcdium_proto::UnaryRequest;
use etcdium_proto::healthpb::HealthCheckRequest;

use super::connections::Stage;
use super::{Core, Timer, after};
use crate::call::{Call, Owner};
use crate::metadata::CallHeaders;
use crate::trace::event;
use crate::transmit::Open;
use crate::{CallKey, Cause, CauseKind, ConnectionKey, Transmit, frame};

/// A health probe under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) call: CallKey,
    pub(super) until: Instant,
    /// Whether `until` is the end of a last chance.
    pub(super) last_chance: bool,
}

/// How long what came before a probe's time-out may lie unread: a probe ends with a last chance of this length. A client
/// that was itself stopped, by its machine or by other work, wakes to timers that are due and to answers nobody has read.
const LAST_CHANCE: Duration = Duration::from_millis(100);

impl Core {
    /// Notes that the server sent something.
    pub(super) fn heard(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.unanswered = (connection.outstanding > 0).then_some(self.now);
        if let Some(probe) = connection.probe.take() {
            // Any sign of life answers the probe.
            self.transmits.push_back(Transmit::Reset(probe.call));
            self.calls.remove(probe.call);
        }
    }

    /// Counts an opened call, whose first message waits for an answer.
    pub(super) fn call_opened(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.open_calls += 1;
        self.asked(key);
    }

    /// Counts a call that waits for an answer, and starts to listen for silence.
    fn asked(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.outstanding += 1;
        if connection.unanswered.is_none() {
            connection.unanswered = Some(self.now);
        }
        if !connection.silence_armed {
            connection.silence_armed = true;
            self.timers.arm(self.later(self.config.silence), Timer::Silence(key));
        }
    }

    /// Something was sent on the call of a stream: an answer is due.
    pub(super) fn stream_asked(&mut self, call: CallKey) {
        let Some(call) = self.calls.get_mut(call) else { return };
        if !core::mem::replace(&mut call.awaiting, true) {
            let connection = call.connection;
            self.asked(connection);
        }
    }

    /// Something came on the call of a stream. Until more is sent on it, its silence means nothing.
    pub(super) fn stream_answered(&mut self, call: CallKey) {
        let Some(call) = self.calls.get_mut(call) else { return };
        if core::mem::take(&mut call.awaiting) {
            if let Some(connection) = self.connections.get_mut(call.connection) {
                connection.outstanding -= 1;
            }
        }
    }

    pub(super) fn check_silence(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.silence_armed = false;
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::SilenceIgnored) {
            return;
        }
        let Some(since) = connection.unanswered else { return };
        connection.silence_armed = true;
        let mut due = after(since, self.config.silence);
        if due <= self.now {
            // A server that goes away refuses new calls, so its silence proves nothing: pings guard the last ones.
            if connection.probe.is_none() && connection.stage != Stage::GoingAway {
                self.send_probe(key);
            }
            due = self.later(self.config.silence);
        }
        self.timers.arm(due, Timer::Silence(key));
    }

    fn send_probe(&mut self, key: ConnectionKey) {
        let request = HealthCheckRequest::default();
        let Ok(message) = frame::encode(&request, usize::MAX, &mut self.arena) else { return };
        let call = self.calls.insert(Call::new(Owner::Probe, key, self.config.max_response));
        let until = self.later(self.config.probe_timeout.saturating_sub(LAST_CHANCE));
        if let Some(connection) = self.connections.get_mut(key) {
            connection.probe = Some(Probe { call, until, last_chance: false });
        }
        self.stats.probes += 1;
        event!(DEBUG, "the server is silent: probing it", connection = key);
        self.timers.arm(until, Timer::Probe(key));
        self.transmits.push_back(Transmit::Open(Open {
            call,
            connection: key,
            method: HealthCheckRequest::METHOD,
            message,
            more: false,
            headers: CallHeaders {
                shared: self.headers.clone(),
                own: None,
                require_leader: false,
                timeout: Some(self.config.probe_timeout),
            },
        }));
    }

    /// The probe's call ended by itself. An answer was noted when it came; a call that was reset says nothing.
    pub(super) fn probe_ended(&mut self, key: ConnectionKey, call: CallKey) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.probe = connection.probe.filter(|probe| probe.call != call);
        }
    }

    pub(super) fn probe_timeout(&mut self, key: ConnectionKey) {
        let last = self.later(LAST_CHANCE.min(self.config.probe_timeout));
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(probe) = &mut connection.probe else { return };
        let late = self.now.saturating_duration_since(probe.until) > LAST_CHANCE / 2;
        if late || !probe.last_chance {
            (probe.until, probe.last_chance) = (last, true);
            self.timers.arm(last, Timer::Probe(key));
            return;
        }
        self.transmits.push_back(Transmit::Disconnect(key));
        let silence = self.config.silence.saturating_add(self.config.probe_timeout);
        let silence = format!("no byte for {silence:?}");
        self.lose(key, &Cause::new(CauseKind::Silent, silence));
    }
}
