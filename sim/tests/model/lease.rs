//! Leases: grants, expiry, renewals, what they do to keys.

use std::time::Duration;

use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::{ClusterConfig, V3_6};

use crate::support::{KEEP_ALIVE, Rig, bytes, put, range, text};

const SECOND: Duration = Duration::from_secs(1);

fn leased(key: &str, lease: i64) -> PutRequest {
    PutRequest { lease, ..put(key, "v") }
}

#[test]
fn grants_are_checked_and_raised_to_the_shortest() {
    let mut rig = Rig::single();
    let granted = rig.call(&LeaseGrantRequest { id: 7, ttl: 1 });
    assert_eq!((granted.id, granted.ttl, granted.header.map(|header| header.revision)), (7, 2, Some(1)));
    for (id, ttl, code, message) in [
        (7, 10, 9, "etcdserver: lease already exists"),
        (8, 9_000_000_001, 11, "etcdserver: too large lease TTL"),
    ] {
        let refused = rig.try_call(0, &LeaseGrantRequest { id, ttl }).expect_err(message);
        assert_eq!(text(refused), (code, message.to_owned()));
    }
    assert!(rig.call(&LeaseGrantRequest { id: 0, ttl: 10 }).id > 0);
    assert_eq!(rig.call(&LeaseGrantRequest { id: 9, ttl: 9_000_000_000 }).ttl, 9_000_000_000);
}

#[test]
fn a_revocation_deletes_the_keys_in_one_revision() {
    let mut rig = Rig::single();
    rig.grant(7, 10);
    rig.call(&leased("b", 7));
    rig.call(&leased("a", 7));
    rig.put("c", "v");
    let header = rig.call(&LeaseRevokeRequest { id: 7 }).header.expect("a header");
    assert_eq!(header.revision, 5);
    let history = rig.cluster.history();
    let events = history.current().events_between(4, 5);
    assert!(events.iter().all(|event| event.is_delete()));
    assert_eq!(events.iter().map(|event| event.kv().key.clone()).collect::<Vec<_>>(), ["a", "b"]);
    let missing = rig.try_call(0, &LeaseRevokeRequest { id: 7 }).expect_err("gone");
    assert_eq!(text(missing), (5, "etcdserver: requested lease not found".to_owned()));
}

#[test]
fn a_key_hangs_on_its_last_lease() {
    let mut rig = Rig::single();
    rig.grant(7, 10);
    rig.grant(8, 10);
    rig.call(&leased("k", 7));
    rig.call(&leased("k", 8));
    rig.call(&LeaseRevokeRequest { id: 7 });
    assert_eq!(rig.get("k"), Some("v".to_owned()));
    let keep = PutRequest { key: bytes("k"), value: bytes("w"), ignore_lease: true, ..PutRequest::default() };
    rig.call(&keep);
    assert_eq!(rig.call(&range("k")).kvs[0].lease, 8);
    rig.put("k", "x");
    rig.call(&LeaseRevokeRequest { id: 8 });
    assert_eq!(rig.get("k"), Some("x".to_owned()));
}

#[test]
fn keys_only_tells_leases_before_3_7() {
    for (version, lease) in [(V3_6, 7), (ClusterConfig::default().version, 0)] {
        let mut rig = Rig::new(ClusterConfig { version, ..ClusterConfig::default() });
        rig.grant(7, 10);
        rig.call(&leased("k", 7));
        let kv = rig.call(&RangeRequest { keys_only: true, ..range("k") }).kvs.remove(0);
        assert_eq!(kv.lease, lease, "{version}");
    }
}

#[test]
fn an_expired_lease_is_revoked_at_the_next_half_second() {
    let mut rig = Rig::single();
    rig.pass(Duration::from_millis(200));
    rig.grant(7, 3);
    rig.call(&leased("k", 7));
    assert_eq!(rig.cluster.lease_expiry(7), Some(rig.now + 3 * SECOND));
    rig.pass(Duration::from_millis(3299));
    assert!(rig.get("k").is_some());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.get("k"), None);
    assert_eq!(rig.cluster.lease_expiry(7), None);
    assert_eq!(rig.cluster.poll_timeout(), None);
}

#[test]
fn time_to_live_tells_what_is_left() {
    let mut rig = Rig::three();
    rig.grant(7, 10);
    rig.call(&leased("b", 7));
    rig.call(&leased("a", 7));
    rig.pass(Duration::from_millis(2500));
    for member in 0..3 {
        let left = rig.try_call(member, &LeaseTimeToLiveRequest { id: 7, keys: true }).expect("success");
        assert_eq!((left.ttl, left.granted_ttl, left.keys), (7, 10, vec![bytes("a"), bytes("b")]));
        let left = rig.try_call(member, &LeaseTimeToLiveRequest { id: 7, keys: false }).expect("success");
        assert!(left.keys.is_empty());
        let gone = rig.try_call(member, &LeaseTimeToLiveRequest { id: 9, keys: true }).expect("success");
        assert_eq!((gone.id, gone.ttl, gone.granted_ttl), (9, -1, 0));
    }
}

#[test]
fn leases_are_listed() {
    let mut rig = Rig::single();
    rig.grant(7, 20);
    rig.grant(8, 10);
    let ids: Vec<i64> = rig.call(&LeaseLeasesRequest {}).leases.iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [8, 7]);
}

#[test]
fn renewals_are_answered_in_order() {
    let mut rig = Rig::three();
    rig.grant(7, 10);
    for member in 0..3 {
        rig.pass(9 * SECOND);
        let call = rig.open(member, KEEP_ALIVE, true);
        rig.renew(call, 7);
        rig.renew(call, 99);
        rig.renew(call, 7);
        assert_eq!(rig.renewals(call), [(7, 10), (99, 0), (7, 10)]);
        assert_eq!(rig.cluster.lease_expiry(7), Some(rig.now + 10 * SECOND));
        rig.cluster.finish(rig.now, call);
        rig.pass(Duration::ZERO);
        assert_eq!(rig.status(call).map(|status| status.code), Some(0));
    }
}

#[test]
fn an_expired_lease_blocks_its_stream_until_it_is_revoked() {
    let mut rig = Rig::three();
    rig.pass(Duration::from_millis(100));
    rig.grant(7, 2);
    rig.grant(8, 60);
    let calls: Vec<_> = (0..3).map(|member| rig.open(member, KEEP_ALIVE, true)).collect();
    rig.pass(2 * SECOND);
    for &call in &calls {
        rig.renew(call, 7);
        rig.renew(call, 8);
        assert_eq!(rig.renewals(call), []);
    }
    rig.pass(Duration::from_millis(400));
    for &call in &calls {
        assert_eq!(rig.renewals(call), [(7, 0), (8, 60)]);
    }
}

#[test]
fn a_new_leader_extends_every_lease() {
    let mut rig = Rig::three();
    rig.grant(7, 10);
    rig.pass(9 * SECOND);
    rig.cluster.set_leader(rig.now, Some(1));
    assert_eq!(rig.cluster.lease_expiry(7), Some(rig.now + 11 * SECOND));
}

#[test]
fn without_a_leader_no_lease_expires() {
    let mut rig = Rig::three();
    rig.grant(7, 2);
    rig.call(&leased("k", 7));
    rig.cluster.set_leader(rig.now, None);
    rig.pass(60 * SECOND);
    assert_eq!(rig.cluster.lease_expiry(7), None);
    rig.cluster.set_leader(rig.now, Some(0));
    assert!(rig.get("k").is_some());
    rig.pass(4 * SECOND);
    assert_eq!(rig.get("k"), None);
}

#[test]
fn a_new_leader_saves_an_expired_lease_that_was_not_revoked() {
    let mut rig = Rig::three();
    rig.pass(Duration::from_millis(100));
    rig.grant(7, 2);
    let call = rig.open(1, KEEP_ALIVE, true);
    rig.pass(2 * SECOND);
    rig.renew(call, 7);
    assert_eq!(rig.renewals(call), []);
    rig.cluster.set_leader(rig.now, Some(2));
    rig.pass(Duration::ZERO);
    assert_eq!(rig.renewals(call), [(7, 2)]);
}

#[test]
fn renewals_without_a_leader_end_the_stream_after_seven_seconds() {
    let mut rig = Rig::three();
    rig.grant(7, 60);
    rig.cluster.set_leader(rig.now, None);
    let call = rig.open(1, KEEP_ALIVE, false);
    rig.renew(call, 7);
    rig.pass(7 * SECOND - Duration::from_nanos(1));
    assert_eq!(rig.status(call), None);
    rig.pass(Duration::from_nanos(1));
    assert_eq!(rig.status(call).map(text), Some((14, "etcdserver: no leader".to_owned())));
}

#[test]
fn renewals_resume_when_a_leader_is_back() {
    let mut rig = Rig::three();
    rig.grant(7, 60);
    rig.cluster.set_leader(rig.now, None);
    let call = rig.open(1, KEEP_ALIVE, false);
    rig.renew(call, 7);
    rig.pass(3 * SECOND);
    rig.cluster.set_leader(rig.now, Some(0));
    rig.pass(Duration::ZERO);
    assert_eq!(rig.renewals(call), [(7, 60)]);
}

#[test]
fn a_leader_that_lags_makes_renewals_of_unknown_leases_wait() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 0, 5 * SECOND);
    let granted = rig.start(1, &LeaseGrantRequest { id: 7, ttl: 60 });
    assert_eq!(rig.result::<LeaseGrantResponse>(granted).map(|result| result.is_ok()), Some(true));
    let (local, forwarded) = (rig.open(0, KEEP_ALIVE, true), rig.open(1, KEEP_ALIVE, true));
    rig.renew(local, 7);
    rig.renew(forwarded, 7);
    rig.pass(SECOND);
    let late = "etcdserver: request timed out, waiting for the applied index took too long";
    assert_eq!(rig.status(local).map(text), Some((14, late.to_owned())));
    assert_eq!(rig.renewals(forwarded), []);
    rig.pass(4 * SECOND);
    assert_eq!(rig.renewals(forwarded), [(7, 60)]);
}
