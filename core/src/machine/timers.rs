//! What the core waits for, and what it does when the time comes.

use std::time::{Duration, Instant};

use super::Core;
use super::connections::State;
use crate::key::HubKey;
use crate::op::Phase;
use crate::timer::TimerQueue;
use crate::watch::subscription::Phase as WatchPhase;
use crate::{ConnectionKey, EndpointKey, OpKey, StreamKey, WatchKey};

/// After this long without large responses their spare buffers are given back; it may take twice as long.
const SPARES_REST: Duration = Duration::from_secs(1);

/// One thing to look at later. Timers are never taken back: one that fires late or for nothing is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The operation's deadline.
    Deadline(OpKey),
    /// The end of the stream's wait for a connection.
    Opening(StreamKey),
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
    /// A hub of watches has something to do.
    Hub(HubKey),
    /// The end of the watch's rest.
    Rested(WatchKey),
    /// The question where the history stands.
    History,
    /// A lease is to be looked at.
    Leases,
    /// Spare buffers are looked at.
    Spares,
}

/// Why the core wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerReason {
    /// An operation's deadline, or that of a stream that waits for a connection.
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
    /// A watch or the stream of watches has something to do.
    Watch,
    /// The renewal of a lease, or its expiry.
    Lease,
    /// Memory may be given back.
    Spares,
}

impl Timer {
    pub(super) fn reason(self) -> TimerReason {
        match self {
            Self::Deadline(_) | Self::Opening(_) => TimerReason::Deadline,
            Self::Retry(_) => TimerReason::Retry,
            Self::Dial(_) => TimerReason::Dial,
            Self::Reconnect(_) => TimerReason::Reconnect,
            Self::Silence(_) => TimerReason::Silence,
            Self::Probe(_) => TimerReason::Probe,
            Self::Hub(_) | Self::Rested(_) | Self::History => TimerReason::Watch,
            Self::Leases => TimerReason::Lease,
            Self::Spares => TimerReason::Spares,
        }
    }
}

impl Core {
    pub(super) fn fire_timers(&mut self) {
        let mut fired = false;
        while let Some((at, timer)) = self.timers.pop_due(self.now) {
            fired = true;
            if !self.is_live(at, timer) {
                continue;
            }
            match timer {
                Timer::Deadline(op) => self.deadline(op),
                Timer::Opening(stream) => self.opening_timeout(stream),
                Timer::Retry(op) => self.retry(op),
                Timer::Dial(connection) => self.dial_timeout(connection),
                Timer::Reconnect(endpoint) => self.dial(endpoint),
                Timer::Silence(connection) => self.check_silence(connection),
                Timer::Probe(connection) => self.probe_timeout(connection),
                Timer::Hub(hub) => self.hub_due(hub),
                Timer::Rested(watch) => self.requeue(watch),
                Timer::History => self.history_due(),
                Timer::Leases => self.leases_due(),
                Timer::Spares => self.rest_spares(),
            }
        }
        if fired {
            self.sweep_timers();
        }
    }

    /// Whether a timer still means something.
    fn is_live(&self, at: Instant, timer: Timer) -> bool {
        match timer {
            Timer::Deadline(op) => self.ops.get(op).is_some_and(|op| !op.is_done()),
            Timer::Opening(stream) => self.waiting_streams.contains(&stream),
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
            Timer::Hub(hub) => self.hubs.get(hub).is_some_and(|hub| hub.armed == Some(at)),
            Timer::Rested(watch) => {
                self.watches.get(watch).is_some_and(|watch| watch.phase == WatchPhase::Resting(at))
            }
            Timer::History => self.history.is_due(at),
            Timer::Leases => self.leases.is_armed(at),
            Timer::Spares => true,
        }
    }

    /// Sees to it that spare buffers are given back when they were not used for a while.
    pub(super) fn watch_spares(&mut self) {
        if !self.spares_armed && !self.spares.is_empty() {
            self.spares_armed = true;
            self.timers.arm(self.later(SPARES_REST), Timer::Spares);
        }
    }

    fn rest_spares(&mut self) {
        self.spares.rest();
        self.spares_armed = false;
        self.watch_spares();
    }

    /// Forgets timers of what is over: called whenever something is.
    pub(super) fn sweep_timers(&mut self) {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::TimersKept) {
            return;
        }
        // Each live operation has at most two timers, each stream that waits one, each connection three, each endpoint
        // one, each hub of watches and each watch one, the history, all leases and the buffers one.
        let live = 2 * self.live_ops
            + self.waiting_streams.len()
            + 3 * self.connections.len()
            + self.endpoints.len()
            + self.hubs.len()
            + self.watches.len()
            + 3;
        let mut timers = core::mem::replace(&mut self.timers, TimerQueue::new());
        timers.sweep(live, |at, timer| self.is_live(at, timer));
        self.timers = timers;
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn spare_buffers_are_given_back_after_a_rest_and_nothing_wakes_the_core_then() {
        let start = epoch();
        let mut core = Core::new(Config::new([]), start, 1);
        drop(core.spares.lend(vec![0; 100_000]));
        core.watch_spares();
        core.watch_spares();
        assert_eq!((core.timers.len(), core.timeout_reason()), (1, Some(TimerReason::Spares)));
        core.handle_timeout(start + SPARES_REST);
        assert!(!core.spares.is_empty(), "it was used since the timer was set");
        assert_eq!(core.poll_timeout(), Some(start + 2 * SPARES_REST));
        core.handle_timeout(start + 2 * SPARES_REST);
        assert!(core.spares.is_empty());
        assert_eq!(core.poll_timeout(), None);
    }
}
