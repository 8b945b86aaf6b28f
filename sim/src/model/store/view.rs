//! What one member sees of the store.

use etcdium_proto::mvccpb::KeyValue;

use super::{Span, Store, Stored};

/// The store as of one revision, with older ones compacted.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) revision: i64,
    pub(super) compacted: i64,
}

impl<'a> View<'a> {
    pub(crate) fn new(store: &'a Store, revision: i64, compacted: i64) -> Self {
        Self { store, revision, compacted }
    }

    /// The latest revision seen.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Revisions below this one cannot be read. Below 1 if nothing was compacted.
    pub fn compact_revision(&self) -> i64 {
        self.compacted
    }

    /// The events of the revisions above `after` up to and including `up_to`, oldest first, as far as they are seen.
    pub fn events_between(&self, after: i64, up_to: i64) -> &'a [Stored] {
        self.store.events_between(after, up_to.min(self.revision))
    }

    /// What the key is.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&'a KeyValue> {
        self.store.at(key, self.revision)
    }

    /// What the key was at `revision`; `None` if it was not there, or the revision is compacted.
    pub(crate) fn get_at(&self, key: &[u8], revision: i64) -> Option<&'a KeyValue> {
        if revision < self.compacted {
            return None;
        }
        self.store.at(key, revision.min(self.revision))
    }

    /// What the keys of the span are, in the order of keys.
    pub(crate) fn span(&self, span: Span<'_>) -> impl Iterator<Item = &'a KeyValue> {
        self.store.span(span, self.revision)
    }

    /// The same view at an older revision.
    pub(super) fn at(&self, revision: i64) -> Self {
        Self { revision, ..*self }
    }
}
