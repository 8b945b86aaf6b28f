//! Watch streams of a cluster: what members, leaders, lag and restores do to them.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::time::Duration;

use etcdium_proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use etcdium_sim::model::{CallId, ClusterConfig};
use prost::Message;

use crate::support::{Rig, bytes, put};

const WATCH: &str = "/etcdserverpb.Watch/Watch";

fn watch(rig: &mut Rig, member: usize, key: &str, start_revision: i64) -> CallId {
    let call = rig.open(member, WATCH, true);
    create(rig, call, key, start_revision);
    call
}

fn create(rig: &mut Rig, call: CallId, key: &str, start_revision: i64) {
    let create = WatchCreateRequest { key: bytes(key), start_revision, ..Default::default() };
    rig.send(call, &WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
}

/// (header revision, created, revisions of the events)
fn told(rig: &Rig, call: CallId) -> Vec<(i64, bool, Vec<i64>)> {
    let decode = |message| WatchResponse::decode(message).expect("a response");
    let of = |response: WatchResponse| {
        let revisions = response.events.iter().map(|event| event.kv.as_ref().expect("a key").mod_revision);
        (response.header.expect("a header").revision, response.created, revisions.collect())
    };
    rig.messages(call).into_iter().map(decode).map(of).collect()
}

#[test]
fn watches_hear_puts_through_any_member() {
    let mut rig = Rig::three();
    let calls: Vec<CallId> = (0..3).map(|member| watch(&mut rig, member, "a", 0)).collect();
    rig.put("a", "1");
    rig.put("b", "1");
    rig.try_call(2, &put("a", "2")).expect("success");
    for call in calls {
        assert_eq!(told(&rig, call), [(1, true, vec![]), (2, false, vec![2]), (4, false, vec![4])]);
    }
}

#[test]
fn lagging_member_tells_its_watches_later() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 1, Duration::from_secs(1));
    let call = watch(&mut rig, 1, "a", 0);
    rig.put("a", "1");
    rig.pass(Duration::from_millis(999));
    assert_eq!(told(&rig, call), [(1, true, vec![])]);
    rig.pass(Duration::from_millis(1));
    assert_eq!(told(&rig, call), [(1, true, vec![]), (2, false, vec![2])]);
}

#[test]
fn a_snapshot_brings_everything_at_once() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 1, Duration::from_secs(1000));
    let call = watch(&mut rig, 1, "a", 0);
    for _ in 0..5 {
        rig.put("a", "1");
    }
    rig.cluster.install_snapshot(rig.now, 1);
    rig.pass(Duration::from_millis(100));
    assert_eq!(told(&rig, call), [(1, true, vec![]), (6, false, vec![2, 3, 4, 5, 6])]);
    rig.pass(Duration::from_secs(2000));
    assert_eq!(told(&rig, call).len(), 2);
}

#[test]
fn leader_loss_ends_streams_that_need_one_after_three_looks() {
    let mut rig = Rig::three();
    let needy = watch(&mut rig, 1, "a", 0);
    let patient = rig.open(1, WATCH, false);
    create(&mut rig, patient, "a", 0);
    rig.cluster.isolate(rig.now, 1, true);
    rig.pass(Duration::from_millis(2999));
    assert_eq!(rig.status(needy), None);
    rig.pass(Duration::from_millis(1));
    let status = rig.status(needy).expect("an end");
    assert_eq!((status.code, &*status.message), (14, "etcdserver: no leader"));
    assert_eq!(rig.status(patient), None);
    assert_eq!(rig.cluster.watch_count(1), 1);

    let refused = rig.open(1, WATCH, true);
    assert_eq!(rig.status(refused).map(|status| status.code), Some(14));
    rig.put("a", "1");
    rig.cluster.isolate(rig.now, 1, false);
    rig.pass(Duration::from_secs(10));
    assert_eq!(told(&rig, patient), [(1, true, vec![]), (2, false, vec![2])]);
}

#[test]
fn short_leader_loss_is_not_noticed() {
    let mut rig = Rig::three();
    let call = watch(&mut rig, 1, "a", 0);
    for _ in 0..5 {
        rig.cluster.set_leader(rig.now, None);
        rig.pass(Duration::from_millis(1900));
        rig.cluster.set_leader(rig.now, Some(0));
        rig.pass(Duration::from_millis(1100));
    }
    assert_eq!(rig.status(call), None);
}

#[test]
fn killed_member_drops_its_watches() {
    let mut rig = Rig::three();
    let call = watch(&mut rig, 1, "a", 0);
    rig.cluster.kill(rig.now, 1);
    assert_eq!((rig.cluster.watch_count(1), rig.status(call)), (0, None));
    rig.put("a", "1");
    rig.cluster.start(rig.now, 1);
    rig.put("a", "2");
    rig.pass(Duration::from_secs(5));
    assert_eq!(told(&rig, call), [(1, true, vec![])]);
    let again = watch(&mut rig, 1, "a", 2);
    rig.pass(Duration::from_millis(100));
    assert_eq!(told(&rig, again), [(3, true, vec![]), (3, false, vec![2, 3])]);
}

#[test]
fn restored_older_store_drops_streams_and_waits_for_later_starts() {
    let mut rig = Rig::single();
    let backup = rig.cluster.backup();
    let lost = watch(&mut rig, 0, "a", 0);
    for _ in 0..4 {
        rig.put("a", "1");
    }
    rig.cluster.restore(rig.now, &backup, None);
    assert_eq!(rig.cluster.watch_count(0), 0);
    let call = watch(&mut rig, 0, "a", 4);
    rig.pass(Duration::from_secs(1));
    assert_eq!(told(&rig, call), [(1, true, vec![])]);
    for _ in 0..4 {
        rig.put("a", "2");
    }
    assert_eq!(told(&rig, call)[1..], [(4, false, vec![4]), (5, false, vec![5])]);
    assert_eq!(told(&rig, lost).len(), 5);
}

#[test]
fn half_closed_stream_goes_on_and_cancelled_stream_does_not() {
    let mut rig = Rig::single();
    let call = watch(&mut rig, 0, "a", 0);
    rig.cluster.finish(rig.now, call);
    rig.put("a", "1");
    assert_eq!(told(&rig, call).len(), 2);
    rig.cluster.cancel(rig.now, call);
    rig.put("a", "2");
    assert_eq!((told(&rig, call).len(), rig.cluster.watch_count(0)), (2, 0));
}

#[test]
fn compaction_ends_a_watch_of_the_past() {
    let mut rig = Rig::single();
    for _ in 0..4 {
        rig.put("a", "1");
    }
    rig.cluster.compact(rig.now, 4);
    let call = watch(&mut rig, 0, "a", 3);
    rig.pass(Duration::from_millis(100));
    let last = WatchResponse::decode(rig.messages(call).remove(1)).expect("a response");
    assert_eq!((last.canceled, last.compact_revision), (true, 4));
    assert_eq!(rig.status(call), None);
}

#[test]
fn idle_cluster_has_no_timers() {
    let mut rig = Rig::new(ClusterConfig::default());
    let call = rig.open(0, WATCH, false);
    create(&mut rig, call, "a", 0);
    rig.put("a", "1");
    assert_eq!(rig.cluster.poll_timeout(), None);
}
