//! Behaviour of the engine on a store that is a list of events.

mod creating;
mod events;
mod ordering;
mod progress;
mod random;
mod unsynced;

use std::time::{Duration, Instant};

use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse, watch_request::RequestUnion,
};
use etcdium_proto::mvccpb::{Event, KeyValue, event::EventType};
use prost::Message;

use super::{WatchConfig, WatchEngine, WatchStore};
use crate::model::{CallId, Output, Status};

const MS: Duration = Duration::from_millis(1);
const CALL: CallId = CallId(1);

#[derive(Default)]
struct Store {
    events: Vec<Event>,
    revision: i64,
    compacted: i64,
}

fn key_of(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(&[], |kv| &kv.key)
}

impl WatchStore for Store {
    fn revision(&self) -> i64 {
        self.revision
    }

    fn compact_revision(&self) -> i64 {
        self.compacted
    }

    fn events_since(&self, from: i64, visit: &mut dyn FnMut(&Event)) {
        assert!(from >= self.compacted);
        self.events.iter().filter(|event| super::watcher::mod_revision(event) >= from).for_each(visit);
    }

    fn value_at(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        if revision < self.compacted {
            return None;
        }
        let of_key = |event: &&Event| key_of(event) == key && super::watcher::mod_revision(event) <= revision;
        let last = self.events.iter().rev().find(of_key)?;
        last.kv.clone().filter(|_| last.r#type == EventType::Put as i32)
    }

    fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader { cluster_id: 11, member_id: 22, revision, raft_term: 33 }
    }
}

/// An engine, its store at revision 1, and a clock.
struct Bed {
    engine: WatchEngine,
    store: Store,
    now: Instant,
    ended: Vec<(CallId, Status)>,
}

impl Bed {
    fn new(config: WatchConfig) -> Self {
        let now = Instant::now();
        let mut engine = WatchEngine::new(config, now, 7);
        engine.open(now, CALL);
        Self { engine, store: Store { revision: 1, ..Store::default() }, now, ended: Vec::new() }
    }

    /// One transaction: puts of "k=v", deletions of "k".
    fn apply(&mut self, operations: &[&str]) -> i64 {
        self.store.revision += 1;
        let revision = self.store.revision;
        let mut events = Vec::new();
        for operation in operations {
            let (key, value) = operation.split_once('=').map_or((*operation, None), |(k, v)| (k, Some(v)));
            let before = self.store.value_at(key.as_bytes(), revision);
            let mut kv =
                KeyValue { key: key.to_owned().into(), mod_revision: revision, ..Default::default() };
            let mut kind = EventType::Delete;
            if let Some(value) = value {
                kind = EventType::Put;
                kv.value = value.to_owned().into();
                kv.create_revision = before.as_ref().map_or(revision, |kv| kv.create_revision);
                kv.version = before.map_or(1, |kv| kv.version + 1);
            }
            events.push(Event { r#type: kind as i32, kv: Some(kv), prev_kv: None });
        }
        self.store.events.extend(events.iter().cloned());
        self.engine.applied(self.now, &self.store, revision, &events);
        revision
    }

    fn request(&mut self, call: CallId, union: RequestUnion) {
        let request = WatchRequest { request_union: Some(union) };
        self.engine.message(self.now, &self.store, call, request.encode_to_vec().into());
    }

    fn create(&mut self, create: WatchCreateRequest) {
        self.request(CALL, RequestUnion::CreateRequest(create));
    }

    fn cancel(&mut self, watch_id: i64) {
        self.request(CALL, RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    fn ask_progress(&mut self) {
        self.request(CALL, RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    fn credit(&mut self, credit: Option<usize>) {
        self.engine.set_credit(self.now, &self.store, CALL, credit);
    }

    /// Lets time pass, step by step.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now, &self.store);
            assert_ne!(self.engine.poll_timeout(), Some(at), "a timer that does nothing");
        }
        self.now = until;
    }

    /// Every response since the last look.
    fn responses(&mut self) -> Vec<WatchResponse> {
        let mut responses = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Message { message, .. } => {
                    responses.push(WatchResponse::decode(message).expect("a response"));
                }
                Output::End { call, status } => self.ended.push((call, status)),
            }
        }
        responses
    }

    /// The same in short.
    fn seen(&mut self) -> Vec<String> {
        self.responses().iter().map(short).collect()
    }
}

/// "id@revision" and what the response says.
fn short(response: &WatchResponse) -> String {
    let revision = response.header.as_ref().map_or(-1, |header| header.revision);
    let mut text = format!("{}@{revision}", response.watch_id);
    for (set, word) in
        [(response.created, " created"), (response.canceled, " canceled"), (response.fragment, " more")]
    {
        text.push_str(if set { word } else { "" });
    }
    if response.compact_revision != 0 {
        text.push_str(&format!(" compacted {}", response.compact_revision));
    }
    if !response.cancel_reason.is_empty() {
        text.push_str(&format!(" ({})", response.cancel_reason));
    }
    for event in &response.events {
        let kv = event.kv.as_ref().expect("a key");
        let key = String::from_utf8_lossy(&kv.key);
        let deleted = event.r#type == EventType::Delete as i32;
        let sign = if deleted { "-".to_owned() } else { format!("={}", String::from_utf8_lossy(&kv.value)) };
        text.push_str(&format!(" {key}{sign}@{}", kv.mod_revision));
        if let Some(before) = &event.prev_kv {
            text.push_str(&format!("<{}", String::from_utf8_lossy(&before.value)));
        }
    }
    text
}

fn key(key: &'static str) -> WatchCreateRequest {
    WatchCreateRequest { key: key.into(), ..Default::default() }
}

fn from(name: &'static str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { start_revision, ..key(name) }
}

fn all() -> WatchCreateRequest {
    WatchCreateRequest { range_end: "\0".into(), ..key("") }
}

fn old() -> WatchConfig {
    WatchConfig { rules: super::WatchRules::of(crate::model::V3_4), ..Default::default() }
}

fn bed() -> Bed {
    Bed::new(WatchConfig::default())
}
