//! Watches: asked for, read, given up. What happens on their streams stands in `hubs`.

use std::time::Instant;

use super::hub_loss::Cut;
use super::{Core, Life, Timer};
use crate::backoff::Backoff;
use crate::frame::MessageTooLarge;
use crate::key::HubKey;
use crate::watch::hub::{Hub, Lane};
use crate::watch::subscription::{Phase, Subscription};
use crate::watch::{ProgressError, WatchErrorKind, WatchNext, WatchRequest, WatchRun};
use crate::{Error, ErrorKind, Event, InvalidRequest, Outcome, Revision, WatchKey};

impl Core {
    /// Watches keys. The watch goes on until it is dropped, whatever happens to connections and members; see
    /// [`WatchErrorKind`] for what ends it. Whatever goes wrong is told by its end, also when it cannot be asked for at
    /// all.
    ///
    /// Watches with the same endpoint, metadata and wish for a leader share one stream.
    pub fn watch(&mut self, now: Instant, request: WatchRequest) -> WatchKey {
        self.advance(now);
        let refusal = self.watch_refusal(&request);
        let lane = Lane {
            endpoint: request.endpoint,
            require_leader: request.require_leader,
            metadata: request.metadata.clone(),
            alone: None,
        };
        let key = self.hub_of(lane);
        let watch = self.watches.insert(Subscription::new(request, key, Backoff::new(self.config.retry)));
        #[cfg(etcdium_planted)]
        if let Some(state) = self.watches.get_mut(watch) {
            state.planted = self.config.planted;
        }
        if let Some(hub) = self.hubs.get_mut(key) {
            hub.watches += 1;
            hub.queue.insert(watch);
        }
        match refusal {
            Some(kind) => self.end_watch(watch, Err(kind)),
            None => {
                self.wake();
                self.pump(key);
            }
        }
        watch
    }

    fn watch_refusal(&self, request: &WatchRequest) -> Option<WatchErrorKind> {
        let invalid = if self.life == Life::Closed {
            return Some(WatchErrorKind::Closed);
        } else if let Err(invalid) = request.check() {
            invalid
        } else if self.order.is_empty() {
            InvalidRequest::NoEndpoints
        } else if request.endpoint.is_some_and(|endpoint| !self.endpoints.contains(endpoint)) {
            InvalidRequest::UnknownEndpoint
        } else {
            return None;
        };
        Some(WatchErrorKind::Invalid(invalid))
    }

    fn hub_of(&mut self, lane: Lane) -> HubKey {
        let known = self.hubs.iter().find(|(_, hub)| hub.lane == lane).map(|(key, _)| key);
        match known {
            Some(key) => key,
            None => self.hubs.insert(Hub::new(lane, Backoff::new(self.config.retry))),
        }
    }

    /// Takes the next item of a watch, or its end, after which there is nothing more. `None` when there is nothing now;
    /// [`Event::WatchReadable`] tells when there is.
    pub fn watch_next(&mut self, now: Instant, watch: WatchKey) -> Option<WatchNext> {
        self.advance(now);
        let state = self.watches.get_mut(watch)?;
        let next = state.take();
        match next {
            Some(WatchNext::Item(_)) => {}
            Some(WatchNext::End(_)) => {
                self.watches.remove(watch);
                self.sweep_timers();
                return next;
            }
            None => state.unhint(),
        }
        self.resume_drained(watch);
        next
    }

    /// Takes the events that are next, if such are: what [`watch_next`](Self::watch_next) would give item by item, for
    /// readers who hand them on one by one. What it gives counts for the buffer until it is read, which
    /// [`watch_run_read`](Self::watch_run_read) tells, or the next call of this or of `watch_next`; the events of a single
    /// revision count as read at once.
    pub fn watch_next_run(&mut self, now: Instant, watch: WatchKey) -> Option<WatchRun> {
        self.advance(now);
        let run = self.watches.get_mut(watch)?.take_run();
        self.resume_drained(watch);
        run
    }

    /// What [`watch_next_run`](Self::watch_next_run) gave last is read.
    pub fn watch_run_read(&mut self, now: Instant, watch: WatchKey) {
        self.advance(now);
        if let Some(state) = self.watches.get_mut(watch) {
            state.run_read();
            self.resume_drained(watch);
        }
    }

    /// A parked watch goes on when its reader has read everything.
    fn resume_drained(&mut self, watch: WatchKey) {
        if self.watches.get(watch).is_some_and(|state| state.phase == Phase::Parked && state.is_drained()) {
            self.requeue(watch);
        }
    }

    /// Whether the server has confirmed the watch at least once; `None` if it never did and the watch is over.
    pub fn is_watch_open(&mut self, watch: WatchKey) -> Option<bool> {
        let state = self.watches.get_mut(watch)?;
        state.unhint();
        (state.opened || !state.is_over()).then_some(state.opened)
    }

    /// The first revision of which the reader of a watch has taken nothing, alone or in a run: from where another watch
    /// would go on. `None`
    /// before the watch has begun.
    pub fn watch_position(&self, watch: WatchKey) -> Option<Revision> {
        self.watches.get(watch)?.told()
    }

    /// Gives a watch up. What is buffered is dropped. [`watch_next`](Self::watch_next) gives the end when the server has
    /// confirmed, or its stream is gone.
    pub fn cancel_watch(&mut self, now: Instant, watch: WatchKey) {
        self.advance(now);
        let Some(state) = self.watches.get_mut(watch) else { return };
        let hub = state.hub;
        match state.phase {
            Phase::Live { id, .. } => {
                state.cancelling();
                self.cancel_id(hub, id, Some(watch));
            }
            // Cancelled when its id is known.
            Phase::Creating => state.cancelling(),
            Phase::Queued | Phase::Parked | Phase::Resting(_) => self.end_watch(watch, Ok(())),
            Phase::Cancelling => {}
            // Whatever ended it, the user wants no more of it.
            Phase::Over(_) => state.end(Ok(())),
        }
    }

    /// Forgets a watch: it is cancelled on the server, and nothing more is told of it.
    pub fn drop_watch(&mut self, now: Instant, watch: WatchKey) {
        self.advance(now);
        let Some(state) = self.watches.remove(watch) else { return };
        if let Phase::Over(_) = state.phase {
            return;
        }
        // One that is being created is cancelled when its id is known.
        if let Phase::Live { id, .. } = state.phase {
            self.cancel_id(state.hub, id, None);
        }
        self.leave_hub(state.hub, watch);
        self.sweep_timers();
    }

    /// Asks how far a watch has come. The answer, from [`watch_progress`](Self::watch_progress), is the first revision at
    /// or above the highest one the core knows now of which the server says that everything before has been sent. It is
    /// also given in-band, unless the watch begins with what has not happened yet.
    ///
    /// The server is asked again until it answers, since it drops such requests while any watch of the stream is behind.
    /// Watches that begin with what has not happened yet would keep it silent until that happens: who asks beside them goes
    /// on with a stream of its own.
    ///
    /// A further request replaces one that waits.
    pub fn request_progress(&mut self, now: Instant, watch: WatchKey) {
        self.advance(now);
        let known = self.revisions.revision();
        let Some(state) = self.watches.get_mut(watch) else { return };
        state.ask(known);
        if !state.is_asking() {
            return self.hint_watch(watch);
        }
        let (key, live) = (state.hub, matches!(state.phase, Phase::Live { .. }));
        if let Some(hub) = self.hubs.get_mut(key) {
            hub.asking.insert(watch);
        }
        if live {
            self.ask_progress(key, false);
        }
    }

    /// Takes the answer to [`request_progress`](Self::request_progress). `None` while there is none;
    /// [`Event::WatchReadable`] tells when there is.
    pub fn watch_progress(&mut self, watch: WatchKey) -> Option<Result<Revision, ProgressError>> {
        let Some(state) = self.watches.get_mut(watch) else { return Some(Err(ProgressError::Ended)) };
        state.unhint();
        state.take_answer()
    }

    /// How many bytes are buffered for the reader of a watch.
    pub fn watch_buffered(&self, watch: WatchKey) -> usize {
        self.watches.get(watch).map_or(0, Subscription::buffered)
    }

    /// How many events of a watch were dropped since they had been given before, or are older than what was asked for.
    pub fn watch_repeated(&self, watch: WatchKey) -> u64 {
        self.watches.get(watch).map_or(0, Subscription::repeated)
    }

    /// Tells the application to look at a watch.
    pub(super) fn hint_watch(&mut self, watch: WatchKey) {
        if self.watches.get_mut(watch).is_some_and(Subscription::hint) {
            self.events.push_back(Event::WatchReadable(watch));
        }
    }

    /// Ends a watch that is on no stream any more.
    pub(super) fn end_watch(&mut self, watch: WatchKey, result: Result<(), WatchErrorKind>) {
        let Some(state) = self.watches.get_mut(watch) else { return };
        if state.is_over() {
            return;
        }
        // Who gave it up has dropped what it had to say.
        let result = if state.phase == Phase::Cancelling { Ok(()) } else { result };
        let hub = state.hub;
        state.end(result);
        self.leave_hub(hub, watch);
        self.hint_watch(watch);
    }

    /// Ends a watch that is on a stream: the server is told.
    pub(super) fn end_live_watch(&mut self, watch: WatchKey, kind: WatchErrorKind) {
        let Some(state) = self.watches.get(watch) else { return };
        if let Phase::Live { id, .. } = state.phase {
            self.cancel_id(state.hub, id, None);
        }
        self.end_watch(watch, Err(kind));
    }

    /// A watch can never be sent.
    pub(super) fn watch_too_large(&mut self, watch: WatchKey, large: MessageTooLarge) {
        let kind = WatchErrorKind::TooLarge { size: large.size, limit: large.limit };
        self.end_watch(watch, Err(kind));
    }

    /// Lets a watch wait for its turn to be created.
    pub(super) fn requeue(&mut self, watch: WatchKey) {
        let Some(state) = self.watches.get_mut(watch) else { return };
        state.phase = Phase::Queued;
        let hub = state.hub;
        if let Some(hub) = self.hubs.get_mut(hub) {
            hub.queue.insert(watch);
        }
        self.pump(hub);
    }

    /// Creates a watch again after a while.
    pub(super) fn rest_watch(&mut self, watch: WatchKey) {
        let until = {
            let Some(state) = self.watches.get_mut(watch) else { return };
            let wait = state.next_rest(self.now, self.config.retry.cap, &mut self.rng);
            let until = super::after(self.now, wait);
            state.detach(Phase::Resting(until));
            until
        };
        self.timers.arm(until, Timer::Rested(watch));
    }

    /// The set of endpoints was replaced: watches that can go nowhere end.
    pub(super) fn watches_after_replacement(&mut self) {
        for (hub, state) in self.hubs.iter().map(|(key, hub)| (key, hub.lane.endpoint)).collect::<Vec<_>>() {
            let invalid = match state {
                Some(endpoint) if !self.endpoints.contains(endpoint) => InvalidRequest::UnknownEndpoint,
                _ if self.order.is_empty() => InvalidRequest::NoEndpoints,
                _ => continue,
            };
            let error = Error::from(invalid.clone());
            self.cut_hub(hub, &error, Cut::Reset);
            self.end_all(hub, &WatchErrorKind::Invalid(invalid));
        }
    }

    /// Ends all watches of a hub that has no stream.
    pub(super) fn end_all(&mut self, hub: HubKey, kind: &WatchErrorKind) {
        let watches: Vec<WatchKey> = self.watches_of(hub);
        for watch in watches {
            self.end_watch(watch, Err(kind.clone()));
        }
    }

    /// The live watches of a hub, in the order of their slots.
    pub(super) fn watches_of(&self, hub: HubKey) -> Vec<WatchKey> {
        self.watches
            .iter()
            .filter(|(_, watch)| watch.hub == hub && !watch.is_over())
            .map(|(key, _)| key)
            .collect()
    }

    /// The core closes: every watch ends, with an error only if nobody has been told that it began.
    pub(super) fn close_watches(&mut self) {
        let error = Error::new(ErrorKind::Closed, Outcome::NotApplied);
        for hub in self.hubs.keys().collect::<Vec<_>>() {
            self.cut_hub(hub, &error, Cut::Reset);
        }
        let live = self.watches.iter().filter(|(_, watch)| !watch.is_over());
        for (watch, opened) in live.map(|(key, watch)| (key, watch.opened)).collect::<Vec<_>>() {
            let result = if opened { Ok(()) } else { Err(WatchErrorKind::Closed) };
            self.end_watch(watch, result);
        }
    }
}
