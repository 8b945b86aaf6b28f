//! How far a watch has come, told on request and by interval (`progressIfSync` of mvcc/watchable_store.go).

use std::time::{Duration, Instant};

use etcdium_proto::etcdserverpb::WatchResponse;

use super::engine::WatchEngine;
use super::watcher::{Answer, Place, WatcherKey};
use super::{WatchConfig, WatchStore};
use crate::model::CallId;
use crate::rng::Rng;

/// Shortest interval etcd accepts.
const SHORTEST: Duration = Duration::from_millis(100);

/// Time between the ticks of one stream: up to a tenth above the interval, so that streams opened together part.
pub(super) fn period(config: &WatchConfig, rng: &mut Rng) -> Duration {
    let interval = config.progress_interval.max(SHORTEST);
    interval + rng.between(Duration::ZERO, interval / 10)
}

impl WatchEngine {
    /// A progress request: answered once for all watches of the stream, or not at all.
    pub(super) fn progress_requested(&mut self, store: &dyn WatchStore, call: CallId) {
        let Some(stream) = self.streams.get_mut(&call) else { return };
        if self.config.rules.progress_overtakes {
            let header = Some(store.header(store.revision()));
            stream.control(WatchResponse { header, watch_id: -1, ..Default::default() });
            return;
        }
        let watches: Vec<WatcherKey> = stream.watches.values().copied().collect();
        self.tell_progress(store, call, &watches, -1);
    }

    /// The interval of a stream is over: every watch that had no event since the last tick is told.
    pub(super) fn progress_tick(&mut self, now: Instant, store: &dyn WatchStore, call: CallId) {
        let Some(stream) = self.streams.get_mut(&call) else { return };
        if stream.is_blocked() || stream.tick > now {
            return;
        }
        while stream.tick <= now {
            stream.tick += stream.period;
        }
        let mut idle = Vec::new();
        for (id, wanted) in &mut stream.progress {
            if std::mem::replace(wanted, true) {
                idle.extend(stream.watches.get(id).map(|watcher| (*id, *watcher)));
            }
        }
        for (id, watcher) in idle {
            self.tell_progress(store, call, &[watcher], id);
        }
    }

    /// Tells `id` the revision unless one of the watches still has something to come. Lost when the queue is full.
    fn tell_progress(&mut self, store: &dyn WatchStore, call: CallId, watches: &[WatcherKey], id: i64) {
        let revision = store.revision();
        let ready = watches.iter().filter_map(|watcher| self.watchers.get(watcher)).all(|watcher| {
            let started = watcher.start <= revision || self.config.rules.progress_before_start;
            watcher.place == Place::Synced && started
        });
        if let Some(stream) = self.streams.get_mut(&call).filter(|_| ready && !watches.is_empty()) {
            stream.offer(Answer { id, events: Vec::new(), revision, compact_revision: 0 });
        }
    }
}
