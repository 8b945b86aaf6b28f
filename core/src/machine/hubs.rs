//! The streams of watches: opened, filled with creations, read. One per hub at a time. How they are replaced stands in
//! `hub_loss`, what is asked on them of progress in `progress`.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchRequest as WatchMessage, WatchResponse,
};
use etcdium_proto::streams::Watch;

use super::streams::OwnSettings;
use super::{Core, Timer, after};
use crate::decode::decode;
use crate::key::HubKey;
use crate::revision::peek_watch_id;
use crate::stream::Reader;
use crate::trace::event;
use crate::watch::WatchErrorKind;
use crate::watch::hub::{ANSWER, Creation, Hub, HubPhase, Line};
use crate::watch::refusal::{self, Refusal};
use crate::watch::subscription::{Phase, Received, Subscription};
use crate::{Error, ErrorKind, Outcome, ProtocolError, Revision, StreamKey, WatchKey};

/// How many watches nobody knows a stream may name before it is given up.
const STRANGERS: usize = 1_024;

impl Core {
    /// Moves a hub on: opens its stream if it has something to say, and creates watches as far as the stream allows.
    pub(super) fn pump(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get(key) else { return };
        match &hub.phase {
            HubPhase::BackingOff(_) => {}
            HubPhase::Idle => self.open_hub(key),
            HubPhase::Open(_) => {
                while let Some((id, watch)) = self.next_creation(key) {
                    self.create(key, id, watch);
                }
            }
        }
        self.arm_hub(key);
    }

    /// Hubs that wait for a connection look for one.
    pub(super) fn open_waiting_hubs(&mut self) {
        for key in core::mem::take(&mut self.waiting_hubs) {
            self.pump(key);
        }
    }

    /// Opens a hub's stream with its first creation.
    fn open_hub(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get(key) else { return };
        if hub.queue.is_empty() {
            return;
        }
        let (pinned, avoid) = (hub.lane.endpoint, hub.avoid);
        let Some(connection) = self.pick(pinned, avoid) else {
            self.waiting_hubs.insert(key);
            return;
        };
        let Some(endpoint) = self.connections.get(connection).map(|connection| connection.endpoint) else {
            return;
        };
        while let Some((id, watch)) = self.next_creation(key) {
            let Some(message) = self.creation(id, watch) else { continue };
            let Some(hub) = self.hubs.get(key) else { return };
            let settings =
                OwnSettings { require_leader: hub.lane.require_leader, metadata: hub.lane.metadata.clone() };
            match self.open_own::<Watch>(connection, &message, Reader::Watch(key), settings) {
                Ok(stream) => {
                    let mut line = Line::new(stream, connection, endpoint, self.now);
                    line.creating.push_back(Creation {
                        id,
                        watch: Some(watch),
                        until: after(self.now, ANSWER),
                    });
                    if let Some(hub) = self.hubs.get_mut(key) {
                        hub.phase = HubPhase::Open(line);
                    }
                    if let Some(state) = self.watches.get_mut(watch) {
                        state.phase = Phase::Creating;
                    }
                    return;
                }
                Err(large) => self.watch_too_large(watch, large),
            }
        }
    }

    /// The next watch to be created on a hub's stream, if one may be, and its id.
    fn next_creation(&mut self, key: HubKey) -> Option<(i64, WatchKey)> {
        let hub = self.hubs.get_mut(key)?;
        if hub.line().is_some_and(|line| !line.may_create()) {
            return None;
        }
        let watch = hub.queue.pop_first()?;
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::IdReused) {
            return Some((hub.new_id() % 3 + 1, watch));
        }
        Some((hub.new_id(), watch))
    }

    fn creation(&self, id: i64, watch: WatchKey) -> Option<WatchMessage> {
        let state = self.watches.get(watch)?;
        Some(message(RequestUnion::CreateRequest(state.request.creation(id, state.resume()))))
    }

    fn create(&mut self, key: HubKey, id: i64, watch: WatchKey) {
        let Some(message) = self.creation(id, watch) else { return };
        let Some(stream) = self.hubs.get(key).and_then(Hub::line).map(|line| line.stream) else { return };
        if let Err(large) = self.send_own::<Watch>(stream, &message, true) {
            return self.watch_too_large(watch, large);
        }
        let until = after(self.now, ANSWER);
        if let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) {
            line.creating.push_back(Creation { id, watch: Some(watch), until });
        }
        if let Some(state) = self.watches.get_mut(watch) {
            state.phase = Phase::Creating;
        }
    }

    /// Tells the server that the watch with this id is not wanted any more; `waiting` wants to know when it has heard.
    pub(super) fn cancel_id(&mut self, key: HubKey, id: i64, waiting: Option<WatchKey>) {
        let until = after(self.now, ANSWER);
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return };
        line.live.remove(&id);
        line.cancelling.insert(id, waiting);
        if waiting.is_some() {
            line.confirming.push_back((until, id));
        }
        let stream = line.stream;
        let cancel = message(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: id }));
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::CancelLost) {
            return;
        }
        // An id always fits, and unknown ones are not answered.
        let _fits = self.send_own::<Watch>(stream, &cancel, waiting.is_some());
        self.arm_hub(key);
    }

    /// A watch is not a hub's any more. A hub without watches ends, and its stream with it, which ends what the server
    /// still knows of them.
    pub(super) fn leave_hub(&mut self, key: HubKey, watch: WatchKey) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        hub.watches -= 1;
        hub.queue.remove(&watch);
        if hub.asking.remove(&watch) && hub.asking.is_empty() {
            if let Some(line) = hub.line_mut() {
                line.ask_at = None;
                line.ask_backoff.reset();
            }
        }
        if hub.watches == 0 {
            let stream = hub.line().map(|line| line.stream);
            self.hubs.remove(key);
            self.waiting_hubs.remove(&key);
            if let Some(stream) = stream {
                self.drop_stream(stream);
            }
        }
    }

    /// Messages came on a hub's stream.
    pub(super) fn hub_received(&mut self, key: HubKey, stream: StreamKey) {
        while let Some(encoded) = self.next_own(stream) {
            let response = match decode(self.own_copy(key, encoded)) {
                Ok(response) => response,
                Err(error) => {
                    let kind = ErrorKind::Protocol(ProtocolError::Message(error.to_string()));
                    return self.restart(key, Error::new(kind, Outcome::NotApplied));
                }
            };
            if self.hub_response(key, response).is_err() {
                return;
            }
            if self.hubs.get(key).and_then(Hub::line).is_none_or(|line| line.stream != stream) {
                return;
            }
        }
        self.arm_hub(key);
    }

    /// What is decoded of a message shares its memory, and that of whatever arrived with it. Behind a slow reader that
    /// would be kept for long: then the message is copied.
    fn own_copy(&self, key: HubKey, message: Bytes) -> Bytes {
        const SLOW: usize = 256 * 1024;
        const TINY: usize = 4 * 1024;
        let line = self.hubs.get(key).and_then(Hub::line);
        let watch = line.and_then(|line| line.live.get(&peek_watch_id(&message)?));
        let buffered = watch.and_then(|watch| self.watches.get(*watch)).map_or(0, Subscription::queued);
        match buffered {
            0 => message,
            _ if buffered > SLOW || message.len() < TINY => Bytes::copy_from_slice(&message),
            _ => message,
        }
    }

    /// One response. `Err`: the stream was given up.
    fn hub_response(&mut self, key: HubKey, response: WatchResponse) -> Result<(), ()> {
        if response.created {
            return self.created(key, response);
        }
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return Err(()) };
        if response.watch_id == -1 && !response.canceled && response.events.is_empty() {
            self.progress_answered(key, response.header.unwrap_or_default().revision);
            return Ok(());
        }
        let id = response.watch_id;
        if response.canceled {
            if let Some(waiting) = line.cancelling.remove(&id) {
                if let Some(watch) = waiting {
                    self.end_watch(watch, Ok(()));
                }
                return Ok(());
            }
            if let Some(watch) = line.live.remove(&id) {
                self.canceled(key, id, watch, &response);
            }
            return Ok(());
        }
        let Some(&watch) = line.live.get(&id) else {
            return self.stranger(key, id);
        };
        if response.events.is_empty() && !response.fragment {
            let revision = response.header.unwrap_or_default().revision;
            let known = self.revisions.revision();
            let Some(state) = self.watches.get_mut(watch) else { return Ok(()) };
            state.ask_no_more_than(known);
            if state.progress(revision) {
                self.hint_watch(watch);
            }
            return Ok(());
        }
        let Some(state) = self.watches.get_mut(watch) else { return Ok(()) };
        #[cfg(etcdium_planted)]
        {
            state.header = state.header.max(response.header.unwrap_or_default().revision);
        }
        match state.receive(response.events, response.fragment) {
            Received::Taken => {}
            Received::Full => self.park(key, id, watch),
            Received::Inconsistent(revision) => {
                self.end_live_watch(watch, WatchErrorKind::Inconsistent { revision });
            }
            Received::Disordered => {
                self.restart(key, unavailable("events came out of order"));
                return Err(());
            }
        }
        self.hint_watch(watch);
        Ok(())
    }

    /// Something came for an id that nobody knows: the server has a watch that was forgotten here.
    fn stranger(&mut self, key: HubKey, id: i64) -> Result<(), ()> {
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return Err(()) };
        if line.cancelling.contains_key(&id) {
            return Ok(());
        }
        line.strangers += 1;
        if line.strangers > STRANGERS {
            self.restart(key, unavailable("the server sends what nobody asked for"));
            return Err(());
        }
        self.cancel_id(key, id, None);
        Ok(())
    }

    /// The answer to the oldest creation under way.
    fn created(&mut self, key: HubKey, response: WatchResponse) -> Result<(), ()> {
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return Err(()) };
        let Some(creation) = line.creating.pop_front() else {
            self.restart(key, unavailable("a watch was confirmed that nobody asked for"));
            return Err(());
        };
        let header = response.header.unwrap_or_default();
        let watches = &self.watches;
        // Its user may have given it up meanwhile, or it may have ended.
        let wanted = creation
            .watch
            .filter(|watch| watches.get(*watch).is_some_and(|state| state.phase == Phase::Creating));
        if response.canceled {
            // It never began.
            match (wanted, creation.watch) {
                (Some(watch), _) => self.refused(watch, &response),
                (None, Some(cancelled)) => self.end_watch(cancelled, Ok(())),
                (None, None) => {}
            }
            self.pump(key);
            return Ok(());
        }
        let unasked = line.asked;
        let Some(id) = line.adopt(creation.id, response.watch_id) else {
            // Its watch waits for its turn again with the others.
            line.creating.push_front(creation);
            self.restart(key, unavailable("a watch was confirmed under a wrong id"));
            return Err(());
        };
        line.confirmed = true;
        match wanted {
            Some(watch) => {
                line.live.insert(id, watch);
                self.watch_created(watch, id, &header, unasked);
            }
            None => self.cancel_id(key, id, creation.watch),
        }
        self.pump(key);
        if wanted.is_some_and(|watch| self.watches.get(watch).is_some_and(Subscription::is_asking)) {
            self.ask_progress(key, false);
        }
        Ok(())
    }

    fn watch_created(&mut self, watch: WatchKey, id: i64, header: &ResponseHeader, unasked: u64) {
        let (now, revision) = (self.now, self.revisions.revision());
        let Some(state) = self.watches.get_mut(watch) else { return };
        if header.cluster_id != 0 {
            let known = core::mem::replace(&mut state.cluster, header.cluster_id);
            if known != 0 && known != header.cluster_id {
                state.phase = Phase::Live { id, unasked, since: now };
                let kind = WatchErrorKind::ClusterReset {
                    cluster_id: header.cluster_id.into(),
                    revision: header.revision.into(),
                };
                return self.end_live_watch(watch, kind);
            }
        }
        if state.created(now, id, header.revision, revision, unasked) {
            self.hint_watch(watch);
        }
        self.suspect(watch, header);
    }

    /// A creation failed.
    fn refused(&mut self, watch: WatchKey, response: &WatchResponse) {
        match refusal::of_reason(&response.cancel_reason) {
            Refusal::Passing => self.rest_watch(watch),
            Refusal::Final(kind) => self.end_watch(watch, Err(kind)),
        }
    }

    /// The server cancelled a watch.
    fn canceled(&mut self, key: HubKey, id: i64, watch: WatchKey, response: &WatchResponse) {
        let oldest = response.compact_revision;
        let next = self.watches.get(watch).and_then(Subscription::next);
        if oldest == 0 {
            return self.refused(watch, response);
        }
        // A compacted watch keeps its id, and keeps the stream from telling progress, until it is cancelled.
        self.cancel_id(key, id, None);
        // A proxy tells all watches of a range what is true of one of them.
        if next.is_none_or(|next| next.get() >= oldest) {
            return self.rest_watch(watch);
        }
        self.end_watch(watch, Err(WatchErrorKind::Compacted { oldest: Revision::new(oldest) }));
    }

    /// The buffer of a watch is full: it leaves the stream, so that nothing piles up and no other watch waits.
    fn park(&mut self, key: HubKey, id: i64, watch: WatchKey) {
        self.cancel_id(key, id, None);
        let Some(state) = self.watches.get_mut(watch) else { return };
        state.detach(Phase::Parked);
        if state.warn(self.now) {
            event!(WARN, "a watch is parked: its reader is slow", watch = watch, bytes = state.queued());
        }
    }

    /// Sees to it that a hub is looked at in time.
    pub(super) fn arm_hub(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let due = hub.due();
        // One that fires too early for what is due then is set anew.
        if due.is_some_and(|due| hub.armed.is_none_or(|armed| due < armed)) {
            hub.armed = due;
            if let Some(due) = due {
                self.timers.arm(due, Timer::Hub(key));
            }
        }
    }

    /// A hub's timer fired.
    pub(super) fn hub_due(&mut self, key: HubKey) {
        let now = self.now;
        let Some(hub) = self.hubs.get_mut(key) else { return };
        hub.armed = None;
        match &mut hub.phase {
            HubPhase::Idle => {}
            HubPhase::BackingOff(until) if *until <= now => {
                hub.phase = HubPhase::Idle;
                self.pump(key);
            }
            HubPhase::BackingOff(_) => {}
            HubPhase::Open(line) => {
                if line.creating.front().is_some_and(|creation| creation.until <= now) {
                    self.unanswered(key);
                } else if line.confirming.front().is_some_and(|(until, _)| *until <= now) {
                    self.unconfirmed(key);
                } else if line.ask_at.is_some_and(|at| at <= now) {
                    self.progress_unanswered(key);
                }
            }
        }
        self.arm_hub(key);
    }
}

pub(super) fn message(union: RequestUnion) -> WatchMessage {
    WatchMessage { request_union: Some(union) }
}

/// The error of a stream that is given up: nothing was applied, and there will be another.
pub(super) fn unavailable(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, Outcome::NotApplied).with_message(what)
}
