//! What really happened, in the form in which answers are judged: who wrote what when, and what the keys held at each
//! revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::RangeRequest;
use etcdium_proto::mvccpb::KeyValue;

use crate::model::Cluster;

/// The committed history of a cluster, followed as it grows.
#[derive(Debug, Default)]
pub struct Ledger {
    epochs: Vec<Epoch>,
    /// By operation: where what it wrote stands.
    marks: BTreeMap<u32, Vec<Mark>>,
}

/// The time between two restores.
#[derive(Debug, Default)]
struct Epoch {
    cluster: u64,
    seen: usize,
    keys: BTreeMap<Bytes, Vec<Version>>,
}

/// What a key became at a revision.
#[derive(Debug)]
struct Version {
    revision: i64,
    kv: Option<KeyValue>,
}

/// Where something written stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many restores lay behind.
    pub epoch: usize,
    /// The revision of the change.
    pub revision: i64,
}

/// The value that marks what this operation wrote.
pub fn mark(id: u32) -> Bytes {
    format!("v{id}").into()
}

/// Whose mark a value is.
fn owner(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value.strip_prefix(b"v")?).ok()?.parse().ok()
}

impl Ledger {
    /// Follows the cluster to where it is now.
    pub fn update(&mut self, cluster: &Cluster) {
        let history = cluster.history();
        for (number, epoch) in history.epochs().enumerate().skip(self.epochs.len().saturating_sub(1)) {
            if number == self.epochs.len() {
                self.epochs.push(Epoch { cluster: epoch.cluster_id(), ..Epoch::default() });
            }
            let known = &mut self.epochs[number];
            let events = epoch.events();
            for event in &events[known.seen..] {
                let kv = event.kv();
                let versions = known.keys.entry(kv.key.clone()).or_default();
                versions.push(Version {
                    revision: event.revision(),
                    kv: (!event.is_delete()).then(|| kv.clone()),
                });
                // What a restore brought back was counted when it was written.
                if number > 0 && event.revision() <= epoch.restored_at() {
                    continue;
                }
                if let Some(id) = owner(&kv.value).filter(|_| !event.is_delete()) {
                    let mark = Mark { epoch: number, revision: event.revision() };
                    let marks = self.marks.entry(id).or_default();
                    // A transaction may mark several keys.
                    if marks.last() != Some(&mark) {
                        marks.push(mark);
                    }
                }
            }
            known.seen = events.len();
        }
    }

    /// How many restores lie behind.
    pub fn epoch(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    /// The cluster's id in this epoch.
    pub fn cluster(&self, epoch: usize) -> u64 {
        self.epochs.get(epoch).map_or(0, |epoch| epoch.cluster)
    }

    /// Where the operation's mark stands; more than one place means that it was applied more than once.
    pub fn marks(&self, id: u32) -> &[Mark] {
        self.marks.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The operations that wrote something, with where it stands.
    pub fn all_marks(&self) -> impl Iterator<Item = (u32, &[Mark])> {
        self.marks.iter().map(|(id, marks)| (*id, marks.as_slice()))
    }

    /// What a key held at a revision.
    pub fn at(&self, epoch: usize, key: &[u8], revision: i64) -> Option<&KeyValue> {
        latest(self.epochs.get(epoch)?.keys.get(key)?, revision)
    }

    /// Whether a key changed at exactly this revision, and what it became.
    pub fn changed(&self, epoch: usize, key: &[u8], revision: i64) -> Option<Option<&KeyValue>> {
        let versions = self.epochs.get(epoch)?.keys.get(key)?;
        let found = versions.iter().rfind(|version| version.revision == revision)?;
        Some(found.kv.as_ref())
    }

    /// What a range held at a revision, in the order of keys; limits and sorting are left out.
    pub fn range(&self, epoch: usize, request: &RangeRequest, revision: i64) -> Vec<&KeyValue> {
        let Some(epoch) = self.epochs.get(epoch) else { return Vec::new() };
        if request.range_end.is_empty() {
            let versions = epoch.keys.get(&request.key);
            return versions.and_then(|versions| latest(versions, revision)).into_iter().collect();
        }
        let keys = epoch.keys.range(request.key.clone()..request.range_end.clone());
        keys.filter_map(|(_, versions)| latest(versions, revision)).collect()
    }
}

fn latest(versions: &[Version], revision: i64) -> Option<&KeyValue> {
    let index = versions.partition_point(|version| version.revision <= revision);
    versions.get(index.checked_sub(1)?)?.kv.as_ref()
}
