//! A grpc-proxy in front of the model.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse, watch_create_request::FilterType, watch_request::RequestUnion,
};
use etcdium_sim::model::{
    CallId, CallStart, Cluster, ClusterConfig, Output, Proxy, ProxyConfig, Refusal, Status,
};
use prost::Message;

use crate::support::{bytes, put, range};

struct Front {
    proxy: Proxy,
    now: Instant,
    calls: u64,
    ended: Vec<(CallId, Status)>,
}

impl Front {
    fn new(config: ProxyConfig, seed: u64) -> Self {
        let now = Instant::now();
        let cluster = Cluster::new(ClusterConfig { members: 3, ..Default::default() }, now, seed);
        Self { proxy: Proxy::new(cluster, config, now, seed), now, calls: 0, ended: Vec::new() }
    }

    fn plain() -> Self {
        Self::new(ProxyConfig::default(), 1)
    }

    fn open(&mut self, path: &str) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        let start = CallStart { call, member: 0, path, require_leader: true, timeout: None };
        self.proxy.open(self.now, start);
        call
    }

    fn stream(&mut self) -> CallId {
        self.open("/etcdserverpb.Watch/Watch")
    }

    fn send(&mut self, call: CallId, union: RequestUnion) {
        let request = WatchRequest { request_union: Some(union) };
        self.proxy.message(self.now, call, request.encode_to_vec().into());
    }

    fn create(&mut self, call: CallId, create: WatchCreateRequest) {
        self.send(call, RequestUnion::CreateRequest(create));
    }

    fn cancel(&mut self, call: CallId, watch_id: i64) {
        self.send(call, RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    fn start<R: UnaryRequest>(&mut self, request: &R) -> CallId {
        let call = self.open(R::METHOD.path());
        self.proxy.message(self.now, call, request.encode_to_vec().into());
        self.proxy.finish(self.now, call);
        call
    }

    /// A put made elsewhere: what the proxy's clients hear of it is left to be looked at.
    fn put(&mut self, key: &str) {
        self.start(&put(key, "v"));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.proxy.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.proxy.handle_timeout(self.now);
            assert!(self.proxy.poll_timeout().is_none_or(|next| next > self.now), "the proxy spins");
        }
        self.now = end;
    }

    /// The responses to a stream since the last look; all others are forgotten.
    fn told(&mut self, call: CallId) -> Vec<WatchResponse> {
        let mut responses = Vec::new();
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Message { call: of, message } if of == call => {
                    responses.push(WatchResponse::decode(message).expect("a response"));
                }
                Output::Message { .. } => {}
                Output::End { call, status } => self.ended.push((call, status)),
            }
        }
        responses
    }

    /// (id, header revision, what)
    fn seen(&mut self, call: CallId) -> Vec<(i64, i64, String)> {
        let describe = |response: WatchResponse| {
            let words = [(response.created, "created "), (response.canceled, "canceled ")];
            let mut what: String = words.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            for event in &response.events {
                let kv = event.kv.as_ref().expect("a key");
                what.push_str(&format!("{}@{} ", String::from_utf8_lossy(&kv.key), kv.mod_revision));
            }
            let header = response.header.unwrap_or_default();
            (response.watch_id, header.revision, what.trim_end().to_owned())
        };
        self.told(call).into_iter().map(describe).collect()
    }

    fn status(&mut self, call: CallId) -> Option<(u32, String)> {
        self.told(CallId(0));
        let ended = self.ended.iter().find(|(of, _)| *of == call);
        ended.map(|(_, status)| (status.code, status.message.to_string()))
    }
}

fn from(key: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: bytes(key), start_revision, ..Default::default() }
}

fn seen(id: i64, revision: i64, what: &str) -> (i64, i64, String) {
    (id, revision, what.to_owned())
}

#[test]
fn requested_ids_are_ignored() {
    let mut front = Front::plain();
    let call = front.stream();
    for watch_id in [7, 7, 0] {
        front.create(call, WatchCreateRequest { watch_id, ..from("a", 0) });
    }
    let ids: Vec<i64> = front.told(call).iter().map(|response| response.watch_id).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn creations_of_different_ranges_are_answered_in_any_order() {
    let mut orders = BTreeSet::new();
    for seed in 0..40 {
        let config = ProxyConfig { create_delay: Duration::from_millis(50), ..Default::default() };
        let mut front = Front::new(config, seed);
        let call = front.stream();
        for key in ["a", "b", "c"] {
            front.create(call, from(key, 0));
        }
        front.pass(Duration::from_millis(50));
        let ids: Vec<i64> = front.told(call).iter().map(|response| response.watch_id).collect();
        orders.insert(ids);
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn watches_of_a_range_share_one_on_the_cluster() {
    let mut front = Front::plain();
    front.put("a");
    front.put("a");
    let (one, two) = (front.stream(), front.stream());
    front.create(one, from("a", 0));
    front.pass(Duration::from_millis(100));
    assert_eq!(front.seen(one), [seen(0, 3, "created")]);
    // Its start is not behind the shared watch, so it joins; the created answer is made up.
    front.create(two, from("a", 6));
    let created = front.told(two).remove(0);
    assert_eq!(created.header, Some(ResponseHeader { revision: 6, ..Default::default() }));
    assert!(created.created);
    // A watch from now on has its own until the next response merges them.
    front.create(two, from("a", 0));
    assert_eq!(front.seen(two), [seen(1, 3, "created")]);
    assert_eq!(front.proxy.broadcast_count(), 1);
    assert_eq!((0..3).map(|member| front.proxy.cluster().watch_count(member)).sum::<usize>(), 1);
    front.put("a");
    assert_eq!(front.seen(two), [seen(1, 4, "a@4")]);
    front.put("a");
    front.put("a");
    let told = front.told(two);
    let mut ids: Vec<i64> = told.iter().map(|response| response.watch_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 1], "the one from 6 on hears 6");
}

#[test]
fn a_start_in_the_past_has_its_own_watch() {
    let mut front = Front::plain();
    for _ in 0..3 {
        front.put("a");
    }
    let call = front.stream();
    front.create(call, from("a", 0));
    front.create(call, from("a", 2));
    front.pass(Duration::from_millis(100));
    let told = front.seen(call);
    assert_eq!(told, [seen(0, 4, "created"), seen(1, 4, "created"), seen(1, 4, "a@2 a@3 a@4")]);
    assert_eq!(front.proxy.broadcast_count(), 1, "merged as soon as it has caught up");
    front.put("a");
    assert_eq!(front.seen(call).len(), 2);
}

#[test]
fn headers_of_answers_the_proxy_makes_are_empty() {
    let mut front = Front::plain();
    let call = front.stream();
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let table =
        [(from("a", -1), compacted), (WatchCreateRequest { range_end: bytes("a"), ..from("b", 0) }, "")];
    for (create, reason) in table {
        front.create(call, create);
        let refused = front.told(call).remove(0);
        assert_eq!((refused.created, refused.canceled, refused.watch_id), (true, true, -1));
        assert_eq!((refused.header, &*refused.cancel_reason), (Some(ResponseHeader::default()), reason));
    }
    front.create(call, from("a", 0));
    let first = front.told(call).remove(0).header;
    assert_ne!(first.expect("a header").cluster_id, 0, "that of the cluster");
    front.create(call, from("a", 9));
    front.told(call);
    front.cancel(call, 1);
    assert_eq!(front.told(call).remove(0).header, Some(ResponseHeader::default()));
    front.cancel(call, 0);
    assert_eq!(front.told(call).remove(0).header, first);
    front.cancel(call, 0);
    assert!(front.told(call).is_empty());
}

#[test]
fn progress_requests_are_dropped() {
    let mut front = Front::plain();
    let call = front.stream();
    front.create(call, from("a", 0));
    front.told(call);
    front.send(call, RequestUnion::ProgressRequest(WatchProgressRequest {}));
    front.pass(Duration::from_secs(1));
    assert!(front.told(call).is_empty());
    assert_eq!(front.status(call), None);
}

#[test]
fn progress_by_interval_reaches_those_that_asked() {
    let mut front = Front::plain();
    let call = front.stream();
    front.create(call, from("a", 0));
    front.create(call, WatchCreateRequest { progress_notify: true, ..from("a", 2) });
    front.told(call);
    front.pass(Duration::from_secs(700));
    assert_eq!(front.seen(call), [seen(1, 1, "")]);
}

#[test]
fn filters_and_previous_values_are_the_proxys() {
    let mut front = Front::plain();
    let call = front.stream();
    let filters = vec![FilterType::Noput as i32];
    front.create(call, WatchCreateRequest { filters, ..from("a", 2) });
    front.create(call, WatchCreateRequest { prev_kv: true, ..from("a", 2) });
    front.create(call, from("a", 2));
    front.told(call);
    front.put("a");
    front.put("a");
    let with: Vec<(i64, bool)> = front
        .told(call)
        .iter()
        .map(|response| (response.watch_id, response.events[0].prev_kv.is_some()))
        .collect();
    assert_eq!(with, [(1, false), (2, false), (1, true), (2, false)]);
}

#[test]
fn a_watch_that_joins_a_compacted_one_hears_nothing() {
    let mut front = Front::plain();
    for _ in 0..4 {
        front.put("a");
    }
    let now = front.now;
    front.proxy.cluster_mut().compact(now, 4);
    let call = front.stream();
    front.create(call, from("a", 2));
    front.pass(Duration::from_millis(100));
    let told = front.told(call);
    assert_eq!(told.len(), 2);
    assert_eq!((told[1].canceled, told[1].compact_revision), (true, 4));
    front.create(call, from("a", 5));
    front.put("a");
    front.pass(Duration::from_secs(1));
    assert_eq!(front.seen(call), [seen(1, 5, "created")]);
    // Once both are cancelled it works again.
    front.cancel(call, 0);
    front.cancel(call, 1);
    front.create(call, from("a", 5));
    front.pass(Duration::from_millis(100));
    assert_eq!(front.seen(call)[2..], [seen(2, 6, "created"), seen(2, 6, "a@5 a@6")]);
}

#[test]
fn a_watch_the_cluster_refuses_is_never_answered() {
    let mut front = Front::plain();
    for member in 0..3 {
        front.proxy.cluster_mut().refuse_watches(member, Some(Refusal::PermissionDenied));
    }
    let call = front.stream();
    front.create(call, from("a", 0));
    front.pass(Duration::from_secs(1));
    assert!(front.told(call).is_empty());
}

#[test]
fn watches_outlive_members() {
    let mut front = Front::plain();
    let call = front.stream();
    front.create(call, from("a", 0));
    front.put("a");
    assert_eq!(front.seen(call).len(), 2);
    for member in [0, 1, 2] {
        let now = front.now;
        front.proxy.kill(now, member);
        front.pass(Duration::from_secs(5));
    }
    assert_eq!(front.proxy.poll_timeout(), None, "nobody to ask");
    for member in [2, 1] {
        let now = front.now;
        front.proxy.start(now, member);
    }
    front.pass(Duration::from_secs(5));
    front.put("a");
    front.pass(Duration::from_secs(1));
    assert_eq!(front.seen(call), [seen(0, 3, "a@3")]);
    assert_eq!(front.status(call), None);
}

#[test]
fn calls_on_a_lost_member_fail() {
    let mut front = Front::plain();
    let now = front.now;
    front.proxy.cluster_mut().set_leader(now, None);
    let call = front.start(&put("a", "1"));
    assert_eq!(front.status(call), None, "hasleader is not passed on");
    front.proxy.kill(now, 0);
    assert_eq!(front.status(call), Some((14, "error reading from server: EOF".to_owned())));
}

#[test]
fn errors_of_etcd_lose_their_code() {
    let mut front = Front::plain();
    let call = front.start(&range(""));
    assert_eq!(front.status(call), Some((2, "etcdserver: key is not provided".to_owned())));
}

#[test]
fn half_closed_stream_ends() {
    let mut front = Front::plain();
    let call = front.stream();
    front.create(call, from("a", 0));
    front.proxy.finish(front.now, call);
    assert_eq!(front.status(call), Some((1, "context canceled".to_owned())));
    assert_eq!((front.proxy.broadcast_count(), front.proxy.cluster().watch_count(0)), (0, 0));
}

#[test]
fn lost_stream_leaves_nothing_behind() {
    let mut front = Front::plain();
    let call = front.stream();
    front.create(call, from("a", 0));
    front.told(call);
    front.proxy.cancel(front.now, call);
    front.put("a");
    assert!(front.told(call).is_empty());
    assert_eq!((front.proxy.broadcast_count(), front.proxy.cluster().watch_count(0)), (0, 0));
}
