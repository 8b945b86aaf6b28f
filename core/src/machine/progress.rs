//! Requests for progress, and their answers.
//!
//! One request speaks for all watches of a stream. etcd drops it while any of them is behind, and while any starts behind all
//! that the store has (`progressIfSync`, mvcc/watchable_store.go): the former passes, unless their readers are slow, the latter may
//! last for ever.

use etcdium_proto::etcdserverpb::WatchProgressRequest;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::streams::Watch;

use super::hubs::message;
use super::{Core, after};
use crate::WatchKey;
use crate::key::HubKey;
use crate::watch::ProgressError;
use crate::watch::hub::{Hub, Ids, PATIENT};
use crate::watch::subscription::{Phase, Subscription};

impl Core {
    /// Sends a request for progress, if any watch wants one, the server's answers can be believed, and none was sent a
    /// moment ago.
    pub(super) fn ask_progress(&mut self, key: HubKey, at_once: bool) {
        let watches = &self.watches;
        let Some(hub) = self.hubs.get_mut(key) else { return };
        if hub.line().is_none_or(|line| !at_once && line.ask_at.is_some()) {
            return;
        }
        hub.asking.retain(|watch| watches.get(*watch).is_some_and(Subscription::is_asking));
        let live = |watch: &WatchKey| {
            watches.get(*watch).is_some_and(|watch| matches!(watch.phase, Phase::Live { .. }))
        };
        let wanted = hub.asking.iter().any(live);
        let Some(line) = hub.line_mut() else { return };
        if !wanted {
            line.ask_at = None;
            return;
        }
        if line.ids == Ids::Theirs {
            return self.refuse_progress(key);
        }
        if at_once {
            line.ask_backoff.reset();
        }
        let (stream, connection) = (line.stream, line.connection);
        line.ask_at = Some(after(self.now, line.ask_backoff.next_delay(&mut self.rng)));
        match self.keeps_order(connection) {
            Some(true) => {
                let ask = message(RequestUnion::ProgressRequest(WatchProgressRequest {}));
                if let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) {
                    line.asked += 1;
                }
                let _fits = self.send_own::<Watch>(stream, &ask, false);
            }
            Some(false) => self.refuse_progress(key),
            // Asked, and looked at again when that is answered.
            None => {}
        }
        self.arm_hub(key);
    }

    /// It is time to ask again.
    pub(super) fn progress_unanswered(&mut self, key: HubKey) {
        if let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) {
            line.ask_at = None;
            line.unanswered = line.unanswered.saturating_add(1);
        }
        self.part_askers(key);
        self.doubt_history(key);
        self.ask_progress(key, false);
    }

    /// A server says nothing of a stream on which a watch begins behind its last revision. If that is below what is known,
    /// either it lags, or the history is another one: then there is nothing to wait for, neither for that watch nor for
    /// those beside it that ask.
    fn doubt_history(&mut self, key: HubKey) {
        let (watches, known) = (&self.watches, self.revisions.revision());
        let state = |watch: &WatchKey| watches.get(*watch);
        let below = |watch: &&WatchKey| state(watch).is_some_and(|state| state.waits_below(known));
        let Some(line) = self.hubs.get(key).and_then(Hub::line) else { return };
        if !line.live.values().any(|watch| state(watch).is_some_and(Subscription::is_asking)) {
            return;
        }
        if let Some(watch) = line.live.values().find(below).copied() {
            self.suspect_behind(watch);
        }
    }

    /// Requests for progress may be dropped since a watch of the stream waits for what has not happened yet: then those that
    /// ask are created anew, each on a stream of its own. One that waits itself learns from that how far the server is. Where
    /// there is always one that is behind, they part one by one: thousands may ask, and most are answered in time.
    fn part_askers(&mut self, key: HubKey) {
        let (watches, known) = (&self.watches, self.revisions.revision());
        let Some(hub) = self.hubs.get(key) else { return };
        let Some(line) = hub.line().filter(|line| line.asked > line.answered) else { return };
        let waits = |watch: &WatchKey| watches.get(*watch).is_some_and(|state| state.starts_behind(known));
        let part = match (line.live.values().any(waits), hub.watches > 1 && line.unanswered >= PATIENT) {
            (true, _) => usize::MAX,
            (false, true) => 1,
            (false, false) => return,
        };
        let asks = |watch: &WatchKey| watches.get(*watch).is_some_and(Subscription::is_asking);
        let askers = line.live.iter().filter(|(_, watch)| asks(watch)).take(part);
        for (id, watch) in askers.map(|(id, watch)| (*id, *watch)).collect::<Vec<_>>() {
            self.cancel_id(key, id, None);
            if let Some(state) = self.watches.get_mut(watch) {
                state.detach(Phase::Queued);
            }
            if self.hubs.get(key).is_some_and(|hub| hub.watches > 1) {
                self.set_apart(key, watch);
            }
            self.requeue(watch);
        }
    }

    /// The answer to a request for progress: it speaks of the watches that were created before that was sent. Requests
    /// may be dropped, so it may be the answer to any of them from the first one not answered on; only the first counts.
    pub(super) fn progress_answered(&mut self, key: HubKey, revision: i64) {
        let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) else { return };
        if line.answered >= line.asked || line.ids != Ids::Ours {
            // Nobody asked.
            return;
        }
        line.answered += 1;
        line.unanswered = 0;
        let (answered, connection) = (line.answered, line.connection);
        let watches: Vec<WatchKey> = line.live.values().copied().collect();
        let known = self.revisions.revision();
        let mut behind = None;
        if self.keeps_order(connection) == Some(true) {
            #[cfg(etcdium_planted)]
            let answered =
                if self.config.has(crate::Planted::ProgressTooEarly) { u64::MAX } else { answered };
            for watch in watches {
                let Some(state) = self.watches.get_mut(watch) else { continue };
                if !matches!(state.phase, Phase::Live { unasked, .. } if unasked < answered) {
                    continue;
                }
                state.ask_no_more_than(known);
                let told = state.progress(revision);
                if state.is_asking() {
                    behind = Some(watch);
                }
                if told {
                    self.hint_watch(watch);
                }
            }
        }
        if let Some(watch) = behind {
            // The member is behind what is known, or the history is not the one that is known. It is asked again in time.
            return self.suspect_behind(watch);
        }
        if let Some(line) = self.hubs.get_mut(key).and_then(Hub::line_mut) {
            line.ask_backoff.reset();
            line.ask_at = None;
        }
        // Those that it did not speak of.
        self.ask_progress(key, false);
    }

    /// Requests for progress have no answer here.
    fn refuse_progress(&mut self, key: HubKey) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        if let Some(line) = hub.line_mut() {
            line.ask_at = None;
            line.ask_backoff.reset();
        }
        for watch in core::mem::take(&mut hub.asking) {
            if let Some(state) = self.watches.get_mut(watch) {
                state.answer(Err(ProgressError::Unsupported));
                self.hint_watch(watch);
            }
        }
    }
}
