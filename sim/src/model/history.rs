//! What really happened, for those who check what clients were told.

use super::store::{Store, Stored};

/// A time between two restores.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    pub(super) store: &'a Store,
    pub(super) cluster_id: u64,
    pub(super) restored_at: i64,
}

impl<'a> Epoch<'a> {
    /// The cluster's id in this time.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The revision of the backup this time began with; 1 for the first.
    pub fn restored_at(&self) -> i64 {
        self.restored_at
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.store.revision()
    }

    /// Every event, oldest first; up to [`restored_at`](Self::restored_at) they are the backup's.
    pub fn events(&self) -> &'a [Stored] {
        self.store.events()
    }

    /// The events of the revisions above `after` up to and including `up_to`, oldest first.
    pub fn events_between(&self, after: i64, up_to: i64) -> &'a [Stored] {
        self.store.events_between(after, up_to)
    }
}

/// Every committed event ever; compaction takes nothing from it.
#[derive(Debug)]
pub struct History<'a> {
    pub(super) past: &'a [Past],
    pub(super) now: Epoch<'a>,
}

impl<'a> History<'a> {
    /// The time since the last restore.
    pub fn current(&self) -> Epoch<'a> {
        self.now
    }

    /// All times, oldest first; a restore lies between any two.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch<'a>> + use<'a> {
        let past = self.past.iter().map(|past| Epoch {
            store: &past.store,
            cluster_id: past.cluster_id,
            restored_at: past.restored_at,
        });
        past.chain([self.now])
    }
}

/// An epoch that a restore ended.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) store: Store,
    pub(super) cluster_id: u64,
    pub(super) restored_at: i64,
}
