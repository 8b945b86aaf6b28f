//! What really happened between any two restores.

use super::Truth;
use crate::model::Cluster;

/// The truths of a cluster, one for each time between two restores, followed as it grows.
#[derive(Clone, Debug, Default)]
pub struct Truths {
    epochs: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    cluster: u64,
    truth: Truth,
}

impl Truths {
    /// Follows the cluster to where it is now. What was compacted has to be looked at before a restore.
    pub fn update(&mut self, cluster: &Cluster) {
        let known = self.epochs.len();
        for (number, epoch) in cluster.history().epochs().enumerate().skip(known.saturating_sub(1)) {
            if number == self.epochs.len() {
                self.epochs.push(Known { cluster: epoch.cluster_id(), truth: Truth::new() });
            }
            let truth = &mut self.epochs[number].truth;
            for event in epoch.events_between(truth.revision(), i64::MAX - 1) {
                let kv = event.kv();
                if event.is_delete() {
                    truth.delete(kv.mod_revision, kv.key.clone());
                } else {
                    truth.put(kv.mod_revision, kv.key.clone(), kv.value.clone(), kv.lease);
                }
            }
        }
        if let Some(current) = self.epochs.last_mut() {
            current.truth.compact(cluster.compact_revision());
        }
    }

    /// How many restores lie behind.
    pub fn epoch(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    /// The truth of an epoch.
    pub fn get(&self, epoch: usize) -> Option<&Truth> {
        self.epochs.get(epoch).map(|known| &known.truth)
    }

    /// The truth since the last restore.
    pub fn current(&self) -> Option<&Truth> {
        self.get(self.epoch())
    }

    /// The id of the cluster in an epoch.
    pub fn cluster(&self, epoch: usize) -> u64 {
        self.epochs.get(epoch).map_or(0, |known| known.cluster)
    }
}
