//! One watch, and a batch of events for it (`watcher` and `eventBatch` of mvcc).

use etcdium_proto::mvccpb::{Event, event::EventType};

use super::span::Span;
use crate::model::CallId;

/// Names a watch within its engine. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatcherKey(pub(super) u64);

/// Where a watch is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Synced,
    Unsynced,
    /// With a batch that its stream did not take.
    Victim,
    /// Nowhere: it was told that its revisions are compacted. It keeps its id until it is cancelled.
    Compacted,
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) call: CallId,
    pub(super) id: i64,
    pub(super) span: Span,
    /// As asked for; 0: from now on.
    pub(super) start: i64,
    /// Lowest revision it has not been told yet.
    pub(super) next: i64,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    pub(super) place: Place,
}

impl Watcher {
    /// Whether its filters let the event pass.
    pub(super) fn passes(&self, event: &Event) -> bool {
        if is_deletion(event) { !self.no_delete } else { !self.no_put }
    }
}

/// What a watch is told at once (`mvcc.WatchResponse`).
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id: i64,
    pub(super) events: Vec<Event>,
    pub(super) revision: i64,
    /// Not 0: the watch is over.
    pub(super) compact_revision: i64,
}

/// Most revisions an unsynced watch is told at once.
pub(super) const BATCH_REVISIONS: usize = 1000;

/// Events of a watch, by rising revision.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) revisions: usize,
    /// The first revision that did not fit; 0 when all did.
    pub(super) more: i64,
}

impl Batch {
    pub(super) fn add(&mut self, event: &Event) {
        if self.more != 0 {
            return;
        }
        let revision = mod_revision(event);
        if self.events.last().is_none_or(|last| mod_revision(last) < revision) {
            self.revisions += 1;
            if self.revisions > BATCH_REVISIONS {
                self.more = revision;
                return;
            }
        }
        self.events.push(event.clone());
    }
}

pub(super) fn is_deletion(event: &Event) -> bool {
    event.r#type == EventType::Delete as i32
}

pub(super) fn mod_revision(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// The event made its key.
pub(super) fn is_creation(event: &Event) -> bool {
    !is_deletion(event) && event.kv.as_ref().is_some_and(|kv| kv.create_revision == kv.mod_revision)
}
