//! Which leases there are and which keys hang on them (server/lease/lessor.go).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// One lease.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// Granted time to live in seconds.
    pub(crate) ttl: i64,
    pub(crate) keys: BTreeSet<Bytes>,
}

/// The leases granted and not revoked, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    leases: BTreeMap<i64, Lease>,
}

impl Leases {
    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(&id, lease)| (id, lease))
    }

    pub(crate) fn insert(&mut self, id: i64, ttl: i64) {
        self.leases.insert(id, Lease { ttl, keys: BTreeSet::new() });
    }

    pub(crate) fn remove(&mut self, id: i64) -> Option<Lease> {
        self.leases.remove(&id)
    }

    pub(crate) fn attach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key.clone());
        }
    }

    pub(crate) fn detach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }
}
