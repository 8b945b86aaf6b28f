//! How watches learn of revisions (`notify`, `syncWatchers` and `moveVictims` of mvcc/watchable_store.go).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcdium_proto::mvccpb::Event;

use super::WatchStore;
use super::engine::WatchEngine;
use super::group::Group;
use super::watcher::{Answer, Batch, Place, WatcherKey, is_deletion, mod_revision};

/// Between two rounds of the sync loop (`watchResyncPeriod`).
pub(super) const SYNC_PERIOD: Duration = Duration::from_millis(100);
/// Most watches served in one round (`maxWatchersPerSync`).
const SYNC_WATCHERS: usize = 512;
/// Between two rounds when the last one served all it could and left others: the time the last one took.
const SYNC_BUSY: Duration = Duration::from_millis(1);
/// Between two attempts to hand victims what they missed.
pub(super) const VICTIM_PERIOD: Duration = Duration::from_millis(10);

impl WatchEngine {
    /// Makes sure that the sync loop runs: at the next tick of its phase when it has been idle.
    pub(super) fn schedule_sync(&mut self, now: Instant) {
        if self.sync_at.is_none() {
            let past = now.saturating_duration_since(self.sync_phase).as_nanos();
            let into = Duration::from_nanos((past % SYNC_PERIOD.as_nanos()) as u64);
            let delay = self.rng.between(Duration::ZERO, self.config.disorder.sync_delay);
            self.sync_at = Some(now + (SYNC_PERIOD - into) + delay);
        }
    }

    /// Tells synced watches what `revision` did.
    pub(super) fn notify(&mut self, revision: i64, events: &[Event]) {
        let mut batches: BTreeMap<WatcherKey, Vec<Event>> = BTreeMap::new();
        for event in events {
            self.synced.wanting(event.kv.as_ref().map_or(&[], |kv| &kv.key), |key| {
                if self.watchers.get(&key).is_some_and(|watcher| watcher.next <= revision) {
                    batches.entry(key).or_default().push(event.clone());
                }
            });
        }
        for (key, events) in self.in_some_order(batches) {
            let batch = Batch { events, revisions: 1, more: 0 };
            let taken = self.tell(key, &batch, revision);
            let careless = self.config.rules.careless_sync;
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            if !taken || !careless {
                watcher.next = revision + 1;
            }
            if !taken {
                watcher.place = Place::Victim;
                self.synced.remove(key, &watcher.span);
                self.victims.insert(key, batch);
                self.new_victims = true;
            }
        }
    }

    /// One round for unsynced watches.
    pub(super) fn sync(&mut self, now: Instant, store: &dyn WatchStore) {
        self.sync_at = None;
        self.sync_phase = now;
        let before = self.unsynced.len();
        if before == 0 {
            return;
        }
        let all: Vec<WatcherKey> = self.unsynced.iter().copied().collect();
        let mut chosen = self.shuffled(all);
        let partly = chosen.len() >= SYNC_WATCHERS;
        chosen.truncate(SYNC_WATCHERS);
        self.sync_chosen(store, &chosen, partly);

        let left = self.unsynced.len();
        if left > 0 {
            let wait = if left < before { SYNC_BUSY } else { SYNC_PERIOD };
            self.sync_at =
                Some(now + wait + self.rng.between(Duration::ZERO, self.config.disorder.sync_delay));
        }
    }

    fn sync_chosen(&mut self, store: &dyn WatchStore, chosen: &[WatcherKey], partly: bool) {
        // Go's store says -1 where nothing was compacted.
        let compacted = Some(store.compact_revision()).filter(|revision| *revision != 0).unwrap_or(-1);
        let current = store.revision();
        let mut chosen: Vec<WatcherKey> = chosen.to_vec();
        chosen.retain(|key| !self.tell_compacted(*key, compacted, partly));
        let mut batches = self.history(store, &chosen, compacted);

        for key in chosen {
            let careless = self.config.rules.careless_sync;
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            if watcher.next < compacted && !careless {
                // Its stream was too full to tell it of the compaction; next time.
                continue;
            }
            watcher.next = if careless { current + 1 } else { watcher.next.max(current + 1) };
            let Some(batch) = batches.remove(&key) else {
                self.move_to_synced(key);
                continue;
            };
            if batch.more != 0 {
                watcher.next = batch.more;
            }
            if !self.tell(key, &batch, current) {
                self.unsynced.remove(&key);
                if let Some(watcher) = self.watchers.get_mut(&key) {
                    watcher.place = Place::Victim;
                }
                self.victims.insert(key, batch);
                self.new_victims = true;
            } else if batch.more == 0 {
                self.move_to_synced(key);
            }
        }
    }

    /// Ends a watch whose next revision is compacted. True when it has been told.
    fn tell_compacted(&mut self, key: WatcherKey, compacted: i64, partly: bool) -> bool {
        let Some(watcher) = self.watchers.get_mut(&key) else { return true };
        if watcher.next >= compacted {
            return false;
        }
        let Some(stream) = self.streams.get_mut(&watcher.call) else { return true };
        self.busy.insert(watcher.call);
        let answer = Answer { id: watcher.id, events: Vec::new(), revision: 0, compact_revision: compacted };
        let told = stream.offer(answer);
        // With so many watches that only some are chosen, etcd removes it from those chosen alone: it is told again.
        if told && !partly {
            watcher.place = Place::Compacted;
            self.unsynced.remove(&key);
        }
        told
    }

    /// What the chosen watches have missed.
    fn history(
        &self,
        store: &dyn WatchStore,
        chosen: &[WatcherKey],
        compacted: i64,
    ) -> BTreeMap<WatcherKey, Batch> {
        let mut group = Group::default();
        let mut lowest = i64::MAX;
        for key in chosen {
            if let Some(watcher) = self.watchers.get(key) {
                group.add(*key, &watcher.span);
                if watcher.next >= compacted {
                    lowest = lowest.min(watcher.next);
                }
            }
        }
        let mut batches: BTreeMap<WatcherKey, Batch> = BTreeMap::new();
        // A negative revision sorts behind all others in the backend, so that nothing is found.
        if lowest < 0 || lowest > store.revision() {
            return batches;
        }
        let drops_deletion = self.config.rules.compaction_drops_deletion;
        store.events_since(lowest, &mut |event| {
            let revision = mod_revision(event);
            if drops_deletion && revision == compacted && is_deletion(event) {
                return;
            }
            group.wanting(event.kv.as_ref().map_or(&[], |kv| &kv.key), |key| {
                if self.watchers.get(&key).is_some_and(|watcher| watcher.next <= revision) {
                    batches.entry(key).or_default().add(event);
                }
            });
        });
        batches
    }

    /// Hands victims the batches that did not fit. How many were taken.
    pub(super) fn move_victims(&mut self, now: Instant, store: &dyn WatchStore) -> usize {
        let mut moved = 0;
        let victims = std::mem::take(&mut self.victims);
        for (key, batch) in self.in_some_order(victims) {
            let Some(next) = self.watchers.get(&key).map(|watcher| watcher.next) else { continue };
            if !self.tell(key, &batch, next - 1) {
                self.victims.insert(key, batch);
                continue;
            }
            moved += 1;
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            if batch.more != 0 {
                watcher.next = batch.more;
            }
            if watcher.next <= store.revision() {
                watcher.place = Place::Unsynced;
                self.unsynced.insert(key);
                self.schedule_sync(now);
            } else {
                self.move_to_synced(key);
            }
        }
        moved
    }

    /// The store of the member was replaced by a snapshot of the leader: what watches know is compared again.
    pub(super) fn unsync_all(&mut self, now: Instant) {
        for (key, watcher) in &mut self.watchers {
            if watcher.place == Place::Synced {
                watcher.place = Place::Unsynced;
                self.synced.remove(*key, &watcher.span);
                self.unsynced.insert(*key);
            }
        }
        if !self.unsynced.is_empty() {
            self.schedule_sync(now);
        }
    }

    fn move_to_synced(&mut self, key: WatcherKey) {
        self.unsynced.remove(&key);
        if let Some(watcher) = self.watchers.get_mut(&key) {
            watcher.place = Place::Synced;
            self.synced.add(key, &watcher.span);
        }
    }

    /// Queues a batch, less what the filters of the watch hold back. False when the queue of its stream is full.
    fn tell(&mut self, key: WatcherKey, batch: &Batch, revision: i64) -> bool {
        let Some(watcher) = self.watchers.get(&key) else { return true };
        let events: Vec<Event> = batch.events.iter().filter(|event| watcher.passes(event)).cloned().collect();
        if events.is_empty() {
            return true;
        }
        let Some(stream) = self.streams.get_mut(&watcher.call) else { return true };
        self.busy.insert(watcher.call);
        stream.offer(Answer { id: watcher.id, events, revision, compact_revision: 0 })
    }

    fn in_some_order<T>(&mut self, batches: BTreeMap<WatcherKey, T>) -> Vec<(WatcherKey, T)> {
        self.shuffled(batches.into_iter().collect())
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        if self.config.disorder.shuffle {
            for last in (1..items.len()).rev() {
                items.swap(last, self.rng.below(last as u64 + 1) as usize);
            }
        }
        items
    }
}
