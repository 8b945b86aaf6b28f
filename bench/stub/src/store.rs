//! What all connections of the stub share: the revision, the leases, the prepared histories.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The revision of a stub that nobody has called yet. From here on, for 33 thousand million revisions, a varint of
/// [`VARINT`] bytes holds it, so that one can be written over another in a prebuilt answer.
const FIRST_REVISION: i64 = 1_000_000_000;
/// Bytes of a revision on the wire.
pub(crate) const VARINT: usize = 5;

/// The state of the stub.
pub(crate) struct Store {
    revision: AtomicI64,
    renewals: AtomicU64,
    next_lease: AtomicI64,
    /// TTL of every lease, in seconds. The stub's leases never expire.
    leases: Mutex<HashMap<i64, i64>>,
    histories: Mutex<HashMap<Vec<u8>, History>>,
}

/// The events of a key, which are made up when somebody watches it: one lies at every revision from `first` to `last`,
/// or `per_revision` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) first: i64,
    /// `None`: every revision that the store reaches has an event.
    pub(crate) last: Option<i64>,
    pub(crate) per_revision: usize,
    pub(crate) revisions_per_response: usize,
    pub(crate) value_len: usize,
}

/// Events in a full response of the histories that come in batches.
const BATCH: usize = 100;

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            revision: AtomicI64::new(FIRST_REVISION),
            renewals: AtomicU64::new(0),
            next_lease: AtomicI64::new(1),
            leases: Mutex::default(),
            histories: Mutex::default(),
        }
    }

    /// The revision that the last write made.
    pub(crate) fn revision(&self) -> i64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// A write: the revision it makes.
    pub(crate) fn raise(&self) -> i64 {
        self.revision.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a lease, under an id of its own choice for id 0, and says the id.
    pub(crate) fn grant(&self, id: i64, ttl: i64) -> i64 {
        let id = if id == 0 { self.next_lease.fetch_add(1, Ordering::Relaxed) } else { id };
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(id, ttl);
        id
    }

    /// Ends a lease.
    pub(crate) fn revoke(&self, id: i64) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Renews a lease: its TTL, 0 for one that does not exist.
    pub(crate) fn renew(&self, id: i64) -> i64 {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or(0)
    }

    /// Renewals asked for so far.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// The history of this key; `None` for a key that nothing ever happens to.
    ///
    /// `bench/feed/KIND/EVENTS/NONCE` has a history, which happens when the key is first named here: the revision rises
    /// by its length. Kinds: `batched`, values of 256 bytes, 100 events in each revision; `revisions`, the same with a
    /// revision for each event, 100 in a response; `tiny`, values of 16 bytes, one event in each revision and response.
    /// `puts` is as `tiny`, but has no end: every revision that any put makes is an event of it.
    pub(crate) fn history(&self, key: &[u8]) -> Option<History> {
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(history) = histories.get(key) {
            return Some(*history);
        }
        let mut parts = std::str::from_utf8(key).ok()?.strip_prefix("bench/feed/")?.split('/');
        let (kind, events) = (parts.next()?, parts.next()?.parse::<usize>().ok()?);
        let (per_revision, revisions_per_response, value_len) = match kind {
            "batched" => (BATCH, 1, 256),
            "revisions" => (1, BATCH, 256),
            "tiny" | "puts" => (1, 1, 16),
            _ => return None,
        };
        let revisions = if kind == "puts" { 0 } else { i64::try_from(events / per_revision).ok()? };
        let first = self.revision.fetch_add(revisions, Ordering::Relaxed) + 1;
        let last = (kind != "puts").then_some(first + revisions - 1);
        let history = History { first, last, per_revision, revisions_per_response, value_len };
        histories.insert(key.to_vec(), history);
        Some(history)
    }
}

/// A revision as a varint. It must lie in the range of [`FIRST_REVISION`].
pub(crate) fn varint(revision: i64) -> [u8; VARINT] {
    let group = |index: u32| (revision >> (7 * index)) as u8 & 0x7f;
    [group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3) | 0x80, group(4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_varints_of_one_length() {
        for revision in [FIRST_REVISION, FIRST_REVISION + 12_345, (1 << 35) - 1] {
            let mut wanted = Vec::new();
            prost::encoding::encode_varint(revision as u64, &mut wanted);
            assert_eq!(varint(revision), wanted[..]);
        }
    }

    #[test]
    fn histories_happen_once_and_raise_the_revision() {
        let store = Store::new();
        let before = store.revision();
        let history = store.history(b"bench/feed/batched/1000/a").expect("a feed");
        assert_eq!((history.first, history.last), (before + 1, Some(before + 10)));
        assert_eq!(store.history(b"bench/feed/batched/1000/a"), Some(history));
        assert_eq!(store.revision(), before + 10);
        assert_eq!(store.raise(), before + 11);
        let puts = store.history(b"bench/feed/puts/0/a").expect("a feed");
        assert_eq!((puts.first, puts.last), (before + 12, None));
        assert_eq!(store.history(b"bench/other"), None);
    }

    #[test]
    fn leases_are_renewed_until_they_are_revoked() {
        let store = Store::new();
        assert_eq!(store.grant(7, 10), 7);
        let other = store.grant(0, 20);
        assert_eq!((store.renew(7), store.renew(other), store.renew(8)), (10, 20, 0));
        store.revoke(7);
        assert_eq!((store.renew(7), store.renewals()), (0, 4));
    }
}
