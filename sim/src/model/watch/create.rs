//! What a client asks for (`recvLoop` of api/v3rpc/watch.go, `watchStream` of mvcc/watcher.go).

use std::time::{Duration, Instant};

use etcdium_proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType,
    watch_request::RequestUnion,
};

use super::engine::WatchEngine;
use super::span::Span;
use super::stream::{CreateStep, Creating};
use super::watcher::{Place, Watcher, WatcherKey};
use super::{Refusal, WatchStore};
use crate::model::CallId;

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";

impl WatchEngine {
    /// Reads requests until none is left or the stream is busy. True when something was done.
    pub(super) fn read_requests(&mut self, now: Instant, store: &dyn WatchStore, call: CallId) -> bool {
        let mut moved = false;
        while let Some(stream) = self.streams.get_mut(&call).filter(|stream| !stream.is_control_full()) {
            if let Some(creating) = &stream.creating {
                if creating.until > now {
                    break;
                }
                if let Some(creating) = stream.creating.take() {
                    self.create_step(now, store, call, creating.step);
                }
            } else if let Some(request) = stream.inbox.pop_front() {
                self.request(now, store, call, request);
            } else {
                break;
            }
            moved = true;
        }
        moved
    }

    fn request(&mut self, now: Instant, store: &dyn WatchStore, call: CallId, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(now, store, call, create),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel_watch(store, call, cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.progress_requested(store, call),
            None => {}
        }
    }

    fn create(&mut self, now: Instant, store: &dyn WatchStore, call: CallId, create: WatchCreateRequest) {
        let rules = self.config.rules;
        if create.start_revision < 0 && !rules.negative_start {
            self.refuse(store, call, -1, COMPACTED);
            return;
        }
        if let Some(refusal) = self.refusal {
            if rules.refusal_takes_id {
                self.refuse(store, call, create.watch_id, Refusal::PermissionDenied.reason());
            } else {
                self.refuse(store, call, -1, refusal.reason());
            }
            return;
        }
        let step = if rules.created_header_before {
            CreateStep::Register { header: store.header(store.revision()), create }
        } else {
            match self.register(now, store, call, create) {
                Ok(id) => CreateStep::Answer { id, reason: "" },
                Err(reason) => CreateStep::Answer { id: -1, reason },
            }
        };
        let until = now + self.rng.between(Duration::ZERO, self.config.disorder.create_delay);
        if let Some(stream) = self.streams.get_mut(&call) {
            stream.creating = Some(Creating { until, step });
        }
    }

    /// Goes on with a creation when its delay is over.
    fn create_step(&mut self, now: Instant, store: &dyn WatchStore, call: CallId, step: CreateStep) {
        let (header, id, reason) = match step {
            CreateStep::Answer { id, reason } => (store.header(store.revision()), id, reason),
            CreateStep::Register { header, mut create } => {
                if create.start_revision == 0 {
                    create.start_revision = header.revision + 1;
                }
                match self.register(now, store, call, create) {
                    Ok(id) => (header, id, ""),
                    Err(reason) => (header, -1, reason),
                }
            }
        };
        if let Some(stream) = self.streams.get_mut(&call) {
            stream.control(WatchResponse {
                header: Some(header),
                watch_id: id,
                created: true,
                canceled: !reason.is_empty(),
                cancel_reason: reason.to_owned(),
                ..Default::default()
            });
        }
    }

    fn refuse(&mut self, store: &dyn WatchStore, call: CallId, id: i64, reason: &str) {
        if let Some(stream) = self.streams.get_mut(&call) {
            stream.control(WatchResponse {
                header: Some(store.header(store.revision())),
                watch_id: id,
                created: true,
                canceled: true,
                cancel_reason: reason.to_owned(),
                ..Default::default()
            });
        }
    }

    /// Adds a watch to its stream and to the store. Its id, or why not.
    fn register(
        &mut self,
        now: Instant,
        store: &dyn WatchStore,
        call: CallId,
        create: WatchCreateRequest,
    ) -> Result<i64, &'static str> {
        let span = Span::from_request(create.key, create.range_end).ok_or(EMPTY_RANGE)?;
        let stream = self.streams.get_mut(&call).ok_or(EMPTY_RANGE)?;
        let mut id = create.watch_id;
        if id == 0 {
            while stream.watches.contains_key(&stream.next_id) {
                stream.next_id += 1;
            }
            id = stream.next_id;
            stream.next_id += 1;
        } else if stream.watches.contains_key(&id) {
            return Err(DUPLICATE_ID);
        }
        let key = WatcherKey(self.next_watcher);
        self.next_watcher += 1;
        stream.watches.insert(id, key);
        if create.progress_notify {
            // Ticks that passed while nobody wanted them are lost.
            while stream.tick <= now {
                stream.tick += stream.period;
            }
            stream.progress.insert(id, true);
        }
        if create.prev_kv {
            stream.prev_kv.insert(id);
        }
        if create.fragment {
            stream.fragment.insert(id);
        }
        let start = create.start_revision;
        let synced = start == 0 || start > store.revision();
        let filtered = |filter: FilterType| create.filters.contains(&(filter as i32));
        let watcher = Watcher {
            call,
            id,
            span,
            start,
            next: if synced { start.max(store.revision() + 1) } else { start },
            no_put: filtered(FilterType::Noput),
            no_delete: filtered(FilterType::Nodelete),
            place: if synced { Place::Synced } else { Place::Unsynced },
        };
        if synced {
            self.synced.add(key, &watcher.span);
        } else {
            self.unsynced.insert(key);
            self.schedule_sync(now);
        }
        self.watchers.insert(key, watcher);
        Ok(id)
    }

    /// A cancel request. Unknown ids are not answered.
    fn cancel_watch(&mut self, store: &dyn WatchStore, call: CallId, id: i64) {
        let Some(stream) = self.streams.get_mut(&call) else { return };
        let Some(watcher) = stream.watches.remove(&id) else { return };
        stream.progress.remove(&id);
        stream.prev_kv.remove(&id);
        stream.fragment.remove(&id);
        stream.control(WatchResponse {
            header: Some(store.header(store.revision())),
            watch_id: id,
            canceled: true,
            ..Default::default()
        });
        self.forget(watcher);
    }

    /// Removes a watch from the store.
    pub(super) fn forget(&mut self, key: WatcherKey) {
        let Some(watcher) = self.watchers.remove(&key) else { return };
        self.synced.remove(key, &watcher.span);
        self.unsynced.remove(&key);
        self.victims.remove(&key);
    }
}
