//! Watch streams of a proxy (grpcproxy/watch.go, watch_broadcasts.go).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use super::broadcast::{Broadcast, Watcher};
use crate::model::{CallId, Version};

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
/// A broadcast with so many receivers is not merged into another (`maxCoalesceReceivers`).
const MERGED_RECEIVERS: usize = 5;

/// What follows from an input.
#[derive(Debug)]
pub(super) enum Action {
    /// A client is told.
    Tell(CallId, WatchResponse),
    /// A broadcast needs its watch on the cluster.
    Open(u64),
    /// It no longer does.
    Close(u64),
}

#[derive(Debug, Default)]
struct Stream {
    watchers: BTreeMap<i64, u64>,
    next_id: i64,
}

/// All watch streams of a proxy, and the broadcasts behind them.
#[derive(Debug)]
pub(super) struct Watches {
    version: Version,
    streams: BTreeMap<CallId, Stream>,
    watchers: BTreeMap<u64, Watcher>,
    broadcasts: BTreeMap<u64, Broadcast>,
    /// The next key of a watcher or broadcast.
    next: u64,
    pub(super) actions: VecDeque<Action>,
}

impl Watches {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            streams: BTreeMap::new(),
            watchers: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            next: 0,
            actions: VecDeque::new(),
        }
    }

    pub(super) fn open(&mut self, call: CallId) {
        self.streams.insert(call, Stream::default());
    }

    /// The stream is over. False if it is none.
    pub(super) fn close(&mut self, call: CallId) -> bool {
        let Some(stream) = self.streams.remove(&call) else { return false };
        stream.watchers.into_values().for_each(|watcher| self.forget(watcher));
        true
    }

    pub(super) fn has(&self, call: CallId) -> bool {
        self.streams.contains_key(&call)
    }

    /// How a broadcast is created; `None` when it needs no watch any more.
    pub(super) fn create(&self, broadcast: u64) -> Option<WatchCreateRequest> {
        self.broadcasts.get(&broadcast).filter(|broadcast| !broadcast.over).map(Broadcast::create)
    }

    pub(super) fn broadcast_count(&self) -> usize {
        self.broadcasts.len()
    }

    /// A request of a client. Progress requests are not forwarded and not answered.
    pub(super) fn request(&mut self, call: CallId, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create_watch(call, create),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel_watch(call, cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) | None => {}
        }
    }

    fn create_watch(&mut self, call: CallId, create: WatchCreateRequest) {
        let refused = WatchResponse { watch_id: -1, created: true, canceled: true, ..Default::default() };
        if create.start_revision < 0 {
            let (header, cancel_reason) = (Some(ResponseHeader::default()), COMPACTED.to_owned());
            let refused = WatchResponse { header, cancel_reason, ..refused };
            return self.actions.push_back(Action::Tell(call, refused));
        }
        let end = &*create.range_end;
        if !end.is_empty() && *end <= *create.key && *end != [0] {
            // Without a reason, and before 3.7 without a header.
            let header = (self.version.minor >= 7).then(ResponseHeader::default);
            let refused = WatchResponse { header, ..refused };
            return self.actions.push_back(Action::Tell(call, refused));
        }
        let Some(stream) = self.streams.get_mut(&call) else { return };
        let id = stream.next_id;
        stream.next_id += 1;
        let key = self.next;
        self.next += 1;
        stream.watchers.insert(id, key);
        let watcher = Watcher::new(call, id, create);
        self.join(key, &watcher);
        self.watchers.insert(key, watcher);
    }

    /// Finds or makes the broadcast of a new watch.
    fn join(&mut self, key: u64, watcher: &Watcher) {
        for broadcast in self.broadcasts.values_mut() {
            if broadcast.range != watcher.range || !broadcast.suits(watcher.next) {
                continue;
            }
            if broadcast.responses > 0 {
                // The created answer was sent before: the proxy makes one up.
                let header = ResponseHeader { revision: watcher.next, ..Default::default() };
                let created = WatchResponse {
                    header: Some(header),
                    watch_id: watcher.id,
                    created: true,
                    ..Default::default()
                };
                self.actions.push_back(Action::Tell(watcher.call, created));
            }
            broadcast.receivers.insert(key);
            return;
        }
        let mut broadcast = Broadcast::new(watcher.range.clone(), watcher.next);
        broadcast.receivers.insert(key);
        self.actions.push_back(Action::Open(self.next));
        self.broadcasts.insert(self.next, broadcast);
        self.next += 1;
    }

    fn cancel_watch(&mut self, call: CallId, id: i64) {
        let Some(stream) = self.streams.get_mut(&call) else { return };
        let Some(key) = stream.watchers.remove(&id) else { return };
        let header = self.watchers.get(&key).map(|watcher| watcher.last_header);
        self.forget(key);
        let canceled = WatchResponse { header, watch_id: id, canceled: true, ..Default::default() };
        self.actions.push_back(Action::Tell(call, canceled));
    }

    /// Removes a watch, and its broadcast with the last one.
    fn forget(&mut self, key: u64) {
        self.watchers.remove(&key);
        let emptied = self.broadcasts.iter_mut().find_map(|(&number, broadcast)| {
            (broadcast.receivers.remove(&key) && broadcast.receivers.is_empty()).then_some(number)
        });
        if let Some(number) = emptied {
            self.remove(number);
        }
    }

    fn remove(&mut self, broadcast: u64) {
        self.broadcasts.remove(&broadcast);
        self.actions.push_back(Action::Close(broadcast));
    }

    /// A response of the cluster to a broadcast.
    pub(super) fn response(&mut self, number: u64, mut response: WatchResponse) {
        if response.created && response.canceled {
            // The Go client reports a refused creation without saying that it was one.
            response = WatchResponse { canceled: true, ..Default::default() };
        }
        let response = &response;
        let Some(broadcast) = self.broadcasts.get_mut(&number) else { return };
        if !broadcast.receive(response) {
            return;
        }
        if broadcast.over {
            self.actions.push_back(Action::Close(number));
        }
        for key in &broadcast.receivers {
            let Some(watcher) = self.watchers.get_mut(key) else { continue };
            if let Some(told) = watcher.receive(response) {
                self.actions.push_back(Action::Tell(watcher.call, told));
            }
        }
        self.merge(number);
    }

    /// Moves the receivers of a broadcast to another of its range that is not ahead of it.
    fn merge(&mut self, number: u64) {
        let Some(broadcast) = self.broadcasts.get(&number) else { return };
        if broadcast.receivers.len() >= MERGED_RECEIVERS {
            return;
        }
        let (range, next) = (broadcast.range.clone(), broadcast.next);
        let behind = self.broadcasts.iter().find(|(other, candidate)| {
            **other != number && candidate.range == range && candidate.next <= next && candidate.responses > 0
        });
        let Some((&other, _)) = behind else { return };
        let receivers: BTreeSet<u64> = self
            .broadcasts
            .get_mut(&number)
            .map(|broadcast| std::mem::take(&mut broadcast.receivers))
            .unwrap_or_default();
        if let Some(other) = self.broadcasts.get_mut(&other) {
            other.receivers.extend(receivers);
        }
        self.remove(number);
    }
}
