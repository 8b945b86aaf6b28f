//! One watch on the cluster that serves any number of clients (grpcproxy/watch_broadcast.go and watcher.go).

use std::collections::BTreeSet;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCreateRequest, WatchResponse, watch_create_request::FilterType,
};
use etcdium_proto::mvccpb::{Event, event::EventType};

use crate::model::CallId;

/// Key and range end, as the client wrote them.
pub(super) type Range = (Bytes, Bytes);

/// A client's watch.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) call: CallId,
    pub(super) id: i64,
    pub(super) range: Range,
    filters: Vec<i32>,
    progress: bool,
    prev_kv: bool,
    /// Lowest revision it wants; 0 until the first response says where "now" is.
    pub(super) next: i64,
    pub(super) last_header: ResponseHeader,
}

impl Watcher {
    pub(super) fn new(call: CallId, id: i64, create: WatchCreateRequest) -> Self {
        Self {
            call,
            id,
            range: (create.key, create.range_end),
            filters: create.filters,
            progress: create.progress_notify,
            prev_kv: create.prev_kv,
            next: create.start_revision,
            last_header: ResponseHeader::default(),
        }
    }

    /// What the client is told of a response of the cluster; `None`: nothing.
    pub(super) fn receive(&mut self, response: &WatchResponse) -> Option<WatchResponse> {
        let header = response.header.unwrap_or_default();
        let empty = response.events.is_empty();
        let final_or_first = response.created || response.canceled || response.compact_revision != 0;
        let progress = empty && !final_or_first && header.revision != 0;
        if progress && !self.progress || self.next > header.revision && !empty {
            return None;
        }
        if self.next == 0 {
            self.next = header.revision + 1;
        }
        let mut last = 0;
        let mut events = Vec::new();
        for event in &response.events {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            if revision < self.next {
                continue;
            }
            last = revision;
            if self.passes(event) {
                let prev_kv = if self.prev_kv { event.prev_kv.clone() } else { None };
                events.push(Event { prev_kv, kv: event.kv.clone(), ..*event });
            }
        }
        if last >= self.next {
            self.next = last + 1;
        }
        // A watch that the server ends without a compaction is not told so.
        if events.is_empty() && !progress && !response.created && response.compact_revision == 0 {
            return None;
        }
        self.last_header = header;
        Some(WatchResponse {
            header: Some(header),
            created: response.created,
            canceled: response.canceled,
            compact_revision: response.compact_revision,
            watch_id: self.id,
            events,
            ..Default::default()
        })
    }

    fn passes(&self, event: &Event) -> bool {
        let deletion = event.r#type == EventType::Delete as i32;
        let filter = if deletion { FilterType::Nodelete } else { FilterType::Noput };
        !self.filters.contains(&(filter as i32))
    }
}

/// A watch on the cluster.
#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) range: Range,
    /// Lowest revision still to come; 0 until the first response.
    pub(super) next: i64,
    /// The watches it serves.
    pub(super) receivers: BTreeSet<u64>,
    pub(super) responses: usize,
    /// Where it starts when it is created anew after a loss.
    resume: i64,
    /// It was compacted or refused: nothing comes any more, though it still takes receivers.
    pub(super) over: bool,
}

impl Broadcast {
    pub(super) fn new(range: Range, start: i64) -> Self {
        Self { range, next: start, receivers: BTreeSet::new(), responses: 0, resume: start, over: false }
    }

    /// Whether a watch from `next` on would miss nothing here.
    pub(super) fn suits(&self, next: i64) -> bool {
        self.next <= next && (self.next != 0 || next == 0)
    }

    /// How it is created, for the first time or again.
    pub(super) fn create(&self) -> WatchCreateRequest {
        WatchCreateRequest {
            key: self.range.0.clone(),
            range_end: self.range.1.clone(),
            start_revision: self.resume,
            progress_notify: true,
            prev_kv: true,
            ..Default::default()
        }
    }

    /// Follows a response of the cluster. False if receivers are not told: a creation anew.
    pub(super) fn receive(&mut self, response: &WatchResponse) -> bool {
        let revision = response.header.map_or(0, |header| header.revision);
        self.over |= response.canceled;
        if response.created && !response.canceled {
            if self.responses > 0 {
                return false;
            }
            if self.resume == 0 {
                self.resume = revision;
            }
        } else if !response.canceled {
            let last = response.events.last().and_then(|event| event.kv.as_ref());
            self.resume = last.map_or(revision, |kv| kv.mod_revision) + 1;
        }
        if self.responses > 0 || self.next == 0 {
            self.next = revision + 1;
        }
        self.responses += 1;
        true
    }
}
