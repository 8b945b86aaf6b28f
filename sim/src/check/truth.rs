//! What really happened, as the watch checkers need it: every event with what was there before it.
//!
//! The truth replays puts and deletions itself, so that versions, creation revisions and previous values are computed
//! a second time, independently of the model that served them.

use std::collections::BTreeMap;

use bytes::Bytes;
use etcdium_proto::mvccpb;
use etcdium_proto::mvccpb::KeyValue;

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was written.
    Put,
    /// The key was deleted, by a request or with its lease.
    Delete,
}

/// One change of one key, delivered or true.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it did.
    pub kind: EventKind,
    /// The key as it is now. Of a deletion only the key and the revision.
    pub kv: KeyValue,
    /// The key as it was before. In a truth always there unless the key did not exist; in a delivery only if asked for.
    pub previous: Option<KeyValue>,
}

impl Event {
    /// The revision that made it.
    pub fn revision(&self) -> i64 {
        self.kv.mod_revision
    }

    /// Whether it says that it made the key.
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision == self.kv.mod_revision
    }
}

impl From<mvccpb::Event> for Event {
    fn from(event: mvccpb::Event) -> Self {
        let kind = match event.r#type() {
            mvccpb::event::EventType::Put => EventKind::Put,
            mvccpb::event::EventType::Delete => EventKind::Delete,
        };
        Self { kind, kv: event.kv.unwrap_or_default(), previous: event.prev_kv }
    }
}

/// Every event of a cluster since it was empty, never compacted.
#[derive(Clone, Debug)]
pub struct Truth {
    events: Vec<Event>,
    keys: BTreeMap<Bytes, KeyValue>,
    revision: i64,
    compacted: i64,
}

impl Default for Truth {
    fn default() -> Self {
        Self { events: Vec::new(), keys: BTreeMap::new(), revision: 1, compacted: 0 }
    }
}

impl Truth {
    /// A cluster that holds nothing yet: revision 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key was written. Revisions never decrease from call to call; the events of one transaction share one.
    pub fn put(&mut self, revision: i64, key: Bytes, value: Bytes, lease: i64) {
        let previous = self.keys.get(&key).cloned();
        let (create_revision, version) =
            previous.as_ref().map_or((revision, 1), |kv| (kv.create_revision, kv.version + 1));
        let kv = KeyValue { key, value, create_revision, mod_revision: revision, version, lease };
        self.keys.insert(kv.key.clone(), kv.clone());
        self.push(Event { kind: EventKind::Put, kv, previous });
    }

    /// A key was deleted.
    pub fn delete(&mut self, revision: i64, key: Bytes) {
        let previous = self.keys.remove(&key);
        let kv = KeyValue { key, mod_revision: revision, ..Default::default() };
        self.push(Event { kind: EventKind::Delete, kv, previous });
    }

    /// Repeats what an event says was done, and no more of it than that.
    pub fn repeat(&mut self, event: &Event) {
        let kv = &event.kv;
        match event.kind {
            EventKind::Put => self.put(kv.mod_revision, kv.key.clone(), kv.value.clone(), kv.lease),
            EventKind::Delete => self.delete(kv.mod_revision, kv.key.clone()),
        }
    }

    /// The history was compacted at `revision`. The truth forgets nothing, but a server may now refuse older reads.
    pub fn compact(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
    }

    /// The newest revision; 1 while nothing has happened.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision of the last compaction; 0 without one.
    pub fn compact_revision(&self) -> i64 {
        self.compacted
    }

    /// All events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events of the revisions `first..=last`.
    pub fn between(&self, first: i64, last: i64) -> &[Event] {
        let begin = self.events.partition_point(|event| event.revision() < first);
        let end = self.events.partition_point(|event| event.revision() <= last);
        self.events.get(begin..end).unwrap_or_default()
    }

    fn push(&mut self, event: Event) {
        debug_assert!(event.revision() >= self.revision, "history runs forward");
        self.revision = event.revision();
        self.events.push(event);
    }
}
