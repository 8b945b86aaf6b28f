//! Backups, and restoring them.

use std::time::Instant;

use super::Cluster;
use crate::model::history::Past;
use crate::model::log::{Log, Position};
use crate::model::state::State;

/// The state of a cluster at some time.
#[derive(Debug, Clone)]
pub struct Backup {
    state: State,
}

impl Backup {
    /// The revision of the backup.
    pub fn revision(&self) -> i64 {
        self.state.store.revision()
    }
}

impl Cluster {
    /// Saves what is committed.
    pub fn backup(&self) -> Backup {
        Backup { state: self.state.clone() }
    }

    /// Replaces the cluster by one made from a backup, with the same or another id. All its processes are started anew, so
    /// every call is dropped as by [`kill`](Self::kill); those that were down stay down. Another cluster id means
    /// other member ids too.
    pub fn restore(&mut self, now: Instant, backup: &Backup, cluster_id: Option<u64>) {
        let now = self.advance(now);
        let past = Past {
            store: std::mem::replace(&mut self.state, backup.state.clone()).store,
            cluster_id: self.cluster_id,
            restored_at: self.restored_at,
        };
        self.past.push(past);
        self.restored_at = backup.revision();
        if let Some(cluster_id) = cluster_id {
            self.cluster_id = cluster_id;
        }
        for member in 0..self.members.len() {
            self.drop_calls(member);
        }
        self.in_flight.clear();
        self.blocked.clear();
        let start =
            Position { index: 0, revision: self.state.store.revision(), compacted: self.state.compacted };
        self.log = Log::new(start);
        for member in &mut self.members {
            member.position = start;
            member.started = now;
            member.elected = None;
        }
        self.elect_anew(now);
    }
}
