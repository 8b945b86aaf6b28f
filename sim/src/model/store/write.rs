//! One transaction's writes (server/storage/mvcc/kvstore_txn.go).

use bytes::Bytes;
use etcdium_proto::mvccpb::KeyValue;

use super::{Span, Store, Stored, View};
use crate::model::lease::Leases;

/// Writes of one transaction; all get one revision. Dropped, it is done.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    store: &'a mut Store,
    leases: &'a mut Leases,
    compacted: i64,
    begin: i64,
    first: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a mut Store, leases: &'a mut Leases, compacted: i64) -> Self {
        let (begin, first) = (store.revision(), store.events.len());
        Self { store, leases, compacted, begin, first }
    }

    pub(crate) fn leases(&self) -> &Leases {
        self.leases
    }

    /// The store with this transaction's writes so far.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self.store, self.revision(), self.compacted)
    }

    /// The revision as of the writes so far.
    pub(crate) fn revision(&self) -> i64 {
        self.begin + i64::from(self.changed())
    }

    pub(crate) fn put(&mut self, key: Bytes, value: Bytes, lease: i64) -> i64 {
        let revision = self.begin + 1;
        let older = self.store.index.get(&key).copied();
        let live = older.and_then(|older| self.store.event(older)).filter(|older| !older.deleted);
        let (create_revision, version, old_lease) =
            live.map_or((revision, 1, 0), |old| (old.kv.create_revision, old.kv.version + 1, old.kv.lease));
        if old_lease != lease {
            self.leases.detach(old_lease, &key);
            self.leases.attach(lease, &key);
        }
        let kv = KeyValue { key, value, create_revision, mod_revision: revision, version, lease };
        self.change(Stored { kv, deleted: false, older });
        revision
    }

    /// How many keys were deleted.
    pub(crate) fn delete(&mut self, span: Span<'_>) -> i64 {
        if let Span::One(key) = span {
            let found = self.view().get(key).map(|kv| (kv.key.clone(), kv.lease));
            return found.map_or(0, |(key, lease)| self.delete_one(key, lease));
        }
        let found: Vec<(Bytes, i64)> = self.view().span(span).map(|kv| (kv.key.clone(), kv.lease)).collect();
        found.into_iter().map(|(key, lease)| self.delete_one(key, lease)).sum()
    }

    fn delete_one(&mut self, key: Bytes, lease: i64) -> i64 {
        self.leases.detach(lease, &key);
        let older = self.store.index.get(&key).copied();
        let kv = KeyValue { key, mod_revision: self.begin + 1, ..KeyValue::default() };
        self.change(Stored { kv, deleted: true, older });
        1
    }

    fn change(&mut self, event: Stored) {
        if !self.changed() {
            self.store.starts.push(self.first as u32);
        }
        self.store.push(event);
    }

    fn changed(&self) -> bool {
        self.store.events.len() > self.first
    }
}
