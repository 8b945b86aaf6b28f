//! The multi-version store: every event, in the order of revisions.
//!
//! One store serves all members. A [`View`] is what one of them sees of it: the revision it has applied and the one it has
//! compacted. As in etcd (server/storage/mvcc), a fresh store is at revision 1, and each transaction that changes
//! anything adds one revision.

mod index;
mod range;
mod view;
mod write;

use std::collections::BTreeMap;

use bytes::Bytes;
use etcdium_proto::mvccpb::KeyValue;

pub(crate) use index::Span;
pub(crate) use range::{has_filters, is_key_order};
pub use view::View;
pub(crate) use write::Writer;

/// What etcd says is compacted before anything was (kvstore.go): reads below it are refused.
pub(crate) const NOTHING_COMPACTED: i64 = -1;

/// One change of one key.
#[derive(Debug, Clone)]
pub struct Stored {
    kv: KeyValue,
    deleted: bool,
    /// The change of the same key before this one.
    older: Option<u32>,
}

impl Stored {
    /// The key and what was written; of a deletion only key and `mod_revision`.
    pub fn kv(&self) -> &KeyValue {
        &self.kv
    }

    /// The key was deleted.
    pub fn is_delete(&self) -> bool {
        self.deleted
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        self.kv.mod_revision
    }

    fn size(&self) -> u64 {
        // What bbolt needs beyond key and value, roughly.
        (self.kv.key.len() + self.kv.value.len() + 64) as u64
    }
}

/// Every change ever made.
#[derive(Debug, Clone, Default)]
pub struct Store {
    events: Vec<Stored>,
    /// Where the events of revision `n + 2` begin.
    starts: Vec<u32>,
    /// The last event of each key.
    index: BTreeMap<Bytes, u32>,
    in_use: u64,
}

impl Store {
    /// The latest revision; 1 for an empty store.
    pub fn revision(&self) -> i64 {
        self.starts.len() as i64 + 1
    }

    /// Every event, oldest first.
    pub fn events(&self) -> &[Stored] {
        &self.events
    }

    /// The events of the revisions above `after` up to and including `up_to`, oldest first.
    pub fn events_between(&self, after: i64, up_to: i64) -> &[Stored] {
        let end = self.start(up_to.saturating_add(1));
        let begin = self.start(after.saturating_add(1)).min(end);
        self.events.get(begin..end).unwrap_or_default()
    }

    /// Bytes that the versions not yet compacted take.
    pub(crate) fn in_use(&self) -> u64 {
        self.in_use
    }

    /// Counts what a compaction sets free; nothing is forgotten.
    pub(crate) fn compacted(&mut self, before: i64, now: i64) {
        let mut freed = 0;
        for event in self.events_between(before, now) {
            freed += event.older.and_then(|older| self.event(older)).map_or(0, Stored::size);
            if event.deleted {
                freed += event.size();
            }
        }
        self.in_use = self.in_use.saturating_sub(freed);
    }

    fn start(&self, revision: i64) -> usize {
        if revision <= 2 {
            return 0;
        }
        self.starts.get((revision - 2) as usize).map_or(self.events.len(), |&start| start as usize)
    }

    fn event(&self, number: u32) -> Option<&Stored> {
        self.events.get(number as usize)
    }

    fn push(&mut self, event: Stored) {
        self.in_use += event.size();
        let number = self.events.len() as u32;
        self.index.insert(event.kv.key.clone(), number);
        self.events.push(event);
    }
}
