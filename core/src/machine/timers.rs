//! What the core waits for, and what it does when the time comes.

use std::time::Instant;

use super::Core;
use super::connections::State;
use crate::op::Phase;
use crate::timer::TimerQueue;
use crate::{ConnectionKey, EndpointKey, OpKey};

/// One thing to look at later. Timers are never taken back: one that fires late or for nothing is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The operation's deadline.
    Deadline(OpKey),
    /// The end of the operation's back-off.
    Retry(OpKey),
    /// The connection attempt's time-out.
    Dial(ConnectionKey),
    /// The end of the endpoint's back-off.
    Reconnect(EndpointKey),
    /// The connection was silent for long, if nothing came since.
    Silence(ConnectionKey),
    /// The health probe's time-out.
    Probe(ConnectionKey),
}

/// Why the core wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerReason {
    /// An operation's deadline.
    Deadline,
    /// The next attempt of an operation.
    Retry,
    /// The time-out of a connection attempt.
    Dial,
    /// The next connection attempt.
    Reconnect,
    /// A connection may have fallen silent.
    Silence,
    /// The time-out of a health probe.
    Probe,
}

impl Timer {
    pub(super) fn reason(self) -> TimerReason {
        match self {
            Self::Deadline(_) => TimerReason::Deadline,
            Self::Retry(_) => TimerReason::Retry,
            Self::Dial(_) => TimerReason::Dial,
            Self::Reconnect(_) => TimerReason::Reconnect,
            Self::Silence(_) => TimerReason::Silence,
            Self::Probe(_) => TimerReason::Probe,
        }
    }
}

impl Core {
    pub(super) fn fire_timers(&mut self) {
        while let Some((at, timer)) = self.timers.pop_due(self.now) {
            if !self.is_live(at, timer) {
                continue;
            }
            match timer {
                Timer::Deadline(op) => self.deadline(op),
                Timer::Retry(op) => self.retry(op),
                Timer::Dial(connection) => self.dial_timeout(connection),
                Timer::Reconnect(endpoint) => self.dial(endpoint),
                Timer::Silence(connection) => self.check_silence(connection),
                Timer::Probe(connection) => self.probe_timeout(connection),
            }
        }
        self.sweep_timers();
    }

    /// Whether a timer still means something.
    fn is_live(&self, at: Instant, timer: Timer) -> bool {
        match timer {
            Timer::Deadline(op) => self.ops.get(op).is_some_and(|op| !op.is_done()),
            Timer::Retry(op) => {
                self.ops.get(op).is_some_and(|op| matches!(op.phase, Phase::Backoff(until) if until == at))
            }
            Timer::Reconnect(endpoint) => self
                .endpoints
                .get(endpoint)
                .is_some_and(|endpoint| matches!(endpoint.state, State::Down { until, .. } if until == at)),
            Timer::Dial(connection) => {
                self.connections.get(connection).is_some_and(|connection| connection.is_dialling())
            }
            Timer::Silence(connection) => self.connections.contains(connection),
            Timer::Probe(connection) => self
                .connections
                .get(connection)
                .is_some_and(|connection| connection.probe.is_some_and(|probe| probe.until == at)),
        }
    }

    /// Forgets timers of what is over: called whenever something is.
    pub(super) fn sweep_timers(&mut self) {
        // Each live operation has at most two timers, each connection three, each endpoint one.
        let live = 2 * self.live_ops + 3 * self.connections.len() + self.endpoints.len();
        let mut timers = core::mem::replace(&mut self.timers, TimerQueue::new());
        timers.sweep(live, |at, timer| self.is_live(at, timer));
        self.timers = timers;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etcdium_proto::etcdserverpb::PutRequest;

    use super::*;
    use crate::{CallInput, CallOptions, Config, EndpointInput, Transmit};

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be made by reading a clock")]
    fn epoch() -> Instant {
        Instant::now()
    }

    /// However many calls were made, timers are those of what lives now and a few more.
    #[test]
    fn timers_do_not_outgrow_what_lives() {
        let mut now = epoch();
        let mut core = Core::new(Config::new(["a:1".parse().unwrap()]), now, 1);
        let mut most = 0;
        for n in 0..20_000 {
            let op = core.start(now, &PutRequest::default(), &CallOptions::new());
            while let Some(transmit) = core.poll_transmit() {
                match transmit {
                    Transmit::Connect(connect) => {
                        core.handle_endpoint(now, connect.connection, EndpointInput::Connected);
                    }
                    Transmit::Open(open) if n % 2 == 0 => {
                        core.handle_call(now, open.call, CallInput::End(None));
                    }
                    _ => {}
                }
            }
            core.cancel(now, op.key());
            now += Duration::from_micros(100);
            core.handle_timeout(now);
            most = most.max(core.timers.len());
        }
        assert!(most < 100, "{most} timers for one operation at a time");
    }
}
