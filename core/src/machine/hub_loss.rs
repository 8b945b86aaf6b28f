//! Streams of watches that are over, or given up: what becomes of their watches, and when there is another stream.

use super::hubs::unavailable;
use super::{Core, after};
use crate::backoff::Backoff;
use crate::key::HubKey;
use crate::trace::event;
use crate::watch::hub::{Hub, HubPhase, Ids, Lane};
use crate::watch::refusal::{self, Refusal};
use crate::watch::subscription::Phase;
use crate::{ConnectionKey, Error, StreamKey, WatchKey};

/// What becomes of the stream of a hub that is cut off from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is reset.
    Reset,
    /// It is over already.
    Over,
}

impl Core {
    /// The stream of a hub is over.
    pub(super) fn hub_lost(&mut self, key: HubKey, stream: StreamKey, result: Result<(), Error>) {
        if self.hubs.get(key).and_then(Hub::line).is_none_or(|line| line.stream != stream) {
            return;
        }
        let error = match result {
            Err(error) => error,
            Ok(()) => unavailable("the server ended the stream"),
        };
        event!(DEBUG, "a stream of watches is over", hub = key, error = error);
        self.cut_hub(key, &error, Cut::Over);
        match refusal::of_error(&error) {
            Refusal::Final(kind) => self.end_all(key, &kind),
            Refusal::Passing => self.back_off_hub(key),
        }
    }

    /// Gives up the stream of a hub, since the server broke the protocol on it or does not answer, and opens another
    /// one after a while.
    pub(super) fn restart(&mut self, key: HubKey, error: Error) {
        event!(WARN, "a stream of watches is given up", hub = key, error = error);
        self.cut_hub(key, &error, Cut::Reset);
        self.back_off_hub(key);
    }

    /// Hubs leave a connection that goes away, before it breaks under them.
    pub(super) fn hubs_leave(&mut self, connection: ConnectionKey) {
        let on_it = |hub: &Hub| hub.line().is_some_and(|line| line.connection == connection);
        let hubs: Vec<HubKey> = self.hubs.iter().filter(|(_, hub)| on_it(hub)).map(|(key, _)| key).collect();
        for key in hubs {
            self.restart(key, unavailable("the connection is going away"));
        }
        self.forget_version(connection);
    }

    /// Takes a hub off its stream: its watches wait to be created again.
    pub(super) fn cut_hub(&mut self, key: HubKey, error: &Error, cut: Cut) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let line = match core::mem::replace(&mut hub.phase, HubPhase::Idle) {
            HubPhase::Open(line) => line,
            other => {
                hub.phase = other;
                return;
            }
        };
        hub.avoid = Some(line.endpoint);
        if line.confirmed && self.now.saturating_duration_since(line.since) >= self.config.retry.cap {
            // It lasted. One that breaks as soon as it is open is no success.
            hub.backoff.reset();
        }
        if cut == Cut::Reset {
            self.drop_stream(line.stream);
        }
        let creating = line.creating.iter().filter_map(|creation| creation.watch);
        for watch in line.live.values().copied().chain(creating) {
            let Some(state) = self.watches.get_mut(watch) else { continue };
            let over = match state.phase {
                Phase::Creating | Phase::Live { .. } => false,
                Phase::Cancelling => true,
                // Ended while its creation was under way.
                Phase::Queued | Phase::Parked | Phase::Resting(_) | Phase::Over(_) => continue,
            };
            #[cfg(etcdium_planted)]
            let over = over && !self.config.has(crate::Planted::CancelledRevived);
            if over {
                self.end_watch(watch, Ok(()));
                continue;
            }
            let told = state.lost(error);
            if let Some(hub) = self.hubs.get_mut(key) {
                hub.queue.insert(watch);
            }
            if told {
                self.hint_watch(watch);
            }
        }
        for watch in line.cancelling.into_values().flatten() {
            #[cfg(etcdium_planted)]
            if let (true, Some(state), Some(hub)) = (
                self.config.has(crate::Planted::CancelledRevived),
                self.watches.get_mut(watch),
                self.hubs.get_mut(key),
            ) {
                state.lost(error);
                hub.queue.insert(watch);
                continue;
            }
            self.end_watch(watch, Ok(()));
        }
    }

    pub(super) fn back_off_hub(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let until = after(self.now, hub.backoff.next_delay(&mut self.rng));
        hub.phase = HubPhase::BackingOff(until);
        self.arm_hub(key);
    }

    /// The oldest cancellation that a watch waits for may not be confirmed: then the end of the stream confirms it.
    pub(super) fn unconfirmed(&mut self, key: HubKey) {
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return };
        let Some((_, id)) = line.confirming.pop_front() else { return };
        let waiting = line.cancelling.get(&id).copied().flatten();
        if waiting.is_some_and(|watch| self.watches.contains(watch)) {
            self.restart(key, unavailable("the server does not confirm a cancellation"));
        }
    }

    /// The oldest creation is not answered. etcd answers each, but behind a grpc-proxy those that etcd refuses never are:
    /// that watch goes on by itself, so that the others need not wait for it.
    pub(super) fn unanswered(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let crowded = hub.watches > 1;
        let Some(line) = hub.line_mut() else { return };
        let culprit = line.creating.front().and_then(|creation| creation.watch);
        let ours = line.ids == Ids::Ours;
        self.restart(key, unavailable("the server does not answer a creation"));
        let waits =
            |watch: &WatchKey| self.watches.get(*watch).is_some_and(|state| state.phase == Phase::Queued);
        let Some(watch) = culprit.filter(|watch| crowded && !ours && waits(watch)) else { return };
        if let Some(own) = self.set_apart(key, watch) {
            self.back_off_hub(own);
        }
    }

    /// A watch that waits to be created will have a stream of its own.
    pub(super) fn set_apart(&mut self, key: HubKey, watch: WatchKey) -> Option<HubKey> {
        let lane = Lane { alone: Some(watch), ..self.hubs.get(key)?.lane.clone() };
        let own = self.hubs.insert(Hub::new(lane, Backoff::new(self.config.retry)));
        self.leave_hub(key, watch);
        let (state, hub) = (self.watches.get_mut(watch)?, self.hubs.get_mut(own)?);
        state.hub = own;
        hub.watches = 1;
        hub.queue.insert(watch);
        if state.is_asking() {
            hub.asking.insert(watch);
        }
        Some(own)
    }
}
