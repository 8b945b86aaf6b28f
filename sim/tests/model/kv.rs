//! Puts, ranges, deletions, compaction.

use etcdium_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdium_proto::etcdserverpb::*;

use crate::support::{Rig, bytes, delete, keys, put, range, span};

#[test]
fn a_fresh_store_is_at_revision_one() {
    let mut rig = Rig::single();
    let header = rig.call(&range("k")).header.expect("a header");
    assert_eq!(header.revision, 1);
    assert_eq!(header.cluster_id, rig.cluster.cluster_id());
    assert_eq!(header.member_id, rig.cluster.member_id(0));
    assert_ne!(header.raft_term, 0);
}

#[test]
fn puts_count_revisions_and_versions() {
    let mut rig = Rig::single();
    assert_eq!(rig.put("k", "1"), 2);
    assert_eq!(rig.put("other", "x"), 3);
    assert_eq!(rig.put("k", "2"), 4);
    let kv = rig.call(&range("k")).kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 4, 2));
    assert_eq!(kv.value, "2");
    rig.call(&delete("k", ""));
    rig.put("k", "3");
    let kv = rig.call(&range("k")).kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (6, 6, 1));
}

#[test]
fn a_deletion_of_nothing_takes_no_revision() {
    let mut rig = Rig::single();
    rig.put("a", "1");
    let response = rig.call(&delete("b", ""));
    assert_eq!((response.deleted, response.header.expect("a header").revision), (0, 2));
    let response = rig.call(&DeleteRangeRequest { prev_kv: true, ..delete("a", "b") });
    assert_eq!((response.deleted, response.header.expect("a header").revision), (1, 3));
    assert_eq!(response.prev_kvs[0].value, "1");
}

#[test]
fn spans_name_their_keys() {
    let mut rig = Rig::single();
    for key in ["a", "b", "c", "d"] {
        rig.put(key, key);
    }
    for (request, expected) in [
        (range("b"), vec!["b"]),
        (span("b", "d"), vec!["b", "c"]),
        (span("b", "\0"), vec!["b", "c", "d"]),
        (span("\0", "\0"), vec!["a", "b", "c", "d"]),
        (span("c", "a"), vec![]),
        (span("c", "c"), vec![]),
        (range("x"), vec![]),
    ] {
        assert_eq!(keys(&rig.call(&request)), expected, "{request:?}");
    }
}

#[test]
fn a_limit_cuts_and_says_so() {
    let mut rig = Rig::single();
    for key in ["a", "b", "c"] {
        rig.put(key, key);
    }
    for (limit, expected, more) in
        [(0, vec!["a", "b", "c"], false), (2, vec!["a", "b"], true), (3, vec!["a", "b", "c"], false)]
    {
        let response = rig.call(&RangeRequest { limit, ..span("a", "\0") });
        assert_eq!(
            (keys(&response), response.more, response.count),
            (expected.into_iter().map(String::from).collect(), more, 3)
        );
    }
}

#[test]
fn older_revisions_stay_readable_until_compacted() {
    let mut rig = Rig::single();
    rig.put("k", "1");
    rig.put("k", "2");
    rig.call(&delete("k", ""));
    let at = |rig: &mut Rig, revision| {
        rig.try_call(0, &RangeRequest { revision, ..range("k") })
            .map(|response| response.kvs.first().map(|kv| kv.value.clone()))
            .map_err(|status| (status.code, status.message.into_owned()))
    };
    assert_eq!(at(&mut rig, 2), Ok(Some(bytes("1"))));
    assert_eq!(at(&mut rig, 3), Ok(Some(bytes("2"))));
    assert_eq!(at(&mut rig, 4), Ok(None));
    let future = (11, "etcdserver: mvcc: required revision is a future revision".to_owned());
    assert_eq!(at(&mut rig, 5), Err(future.clone()));
    rig.call(&CompactionRequest { revision: 3, physical: false });
    let compacted = (11, "etcdserver: mvcc: required revision has been compacted".to_owned());
    assert_eq!(at(&mut rig, 2), Err(compacted.clone()));
    assert_eq!(at(&mut rig, 3), Ok(Some(bytes("2"))));
    let compact = |rig: &mut Rig, revision| {
        let status = rig.try_call(0, &CompactionRequest { revision, physical: true }).expect_err("refused");
        (status.code, status.message.into_owned())
    };
    assert_eq!(compact(&mut rig, 3), compacted);
    assert_eq!(compact(&mut rig, 5), future);
    assert_eq!(rig.cluster.compact_revision(), 3);
}

#[test]
fn sorting_follows_target_and_order() {
    let mut rig = Rig::single();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("b", "0")] {
        rig.put(key, value);
    }
    let mut sorted = |target: SortTarget, order: SortOrder, limit| {
        let request =
            RangeRequest { sort_target: target as i32, sort_order: order as i32, limit, ..span("a", "\0") };
        keys(&rig.call(&request)).concat()
    };
    assert_eq!(sorted(SortTarget::Key, SortOrder::Descend, 0), "cba");
    assert_eq!(sorted(SortTarget::Value, SortOrder::Ascend, 0), "bca");
    assert_eq!(sorted(SortTarget::Value, SortOrder::Descend, 2), "ac");
    assert_eq!(sorted(SortTarget::Mod, SortOrder::Ascend, 0), "acb");
    assert_eq!(sorted(SortTarget::Create, SortOrder::Descend, 0), "cba");
    assert_eq!(sorted(SortTarget::Version, SortOrder::Descend, 1), "b");
    // A target without an order: cut first, one key too many, then sorted, then cut.
    assert_eq!(sorted(SortTarget::Value, SortOrder::None, 0), "bca");
    assert_eq!(sorted(SortTarget::Value, SortOrder::None, 1), "b");
    assert_eq!(sorted(SortTarget::Mod, SortOrder::None, 2), "ac");
}

#[test]
fn filters_leave_the_count_alone() {
    let mut rig = Rig::single();
    for key in ["a", "b", "c"] {
        rig.put(key, "");
    }
    let response = rig.call(&RangeRequest { min_mod_revision: 3, max_create_revision: 3, ..span("a", "\0") });
    assert_eq!((keys(&response), response.count), (vec!["b".to_owned()], 3));
}

#[test]
fn keys_only_drops_values_and_in_3_7_leases() {
    let mut rig = Rig::single();
    rig.put("k", "v");
    let response = rig.call(&RangeRequest { keys_only: true, ..range("k") });
    assert!(response.kvs[0].value.is_empty());
    assert_eq!(response.kvs[0].version, 1);
    let response = rig.call(&RangeRequest { count_only: true, ..span("a", "\0") });
    assert_eq!((response.kvs.len(), response.count), (0, 1));
}

#[test]
fn a_put_can_keep_value_or_lease() {
    let mut rig = Rig::single();
    let keep = PutRequest { key: bytes("k"), ignore_value: true, prev_kv: true, ..PutRequest::default() };
    let missing = rig.try_call(0, &keep).expect_err("nothing to keep");
    assert_eq!((missing.code, missing.message.as_ref()), (3, "etcdserver: key not found"));
    rig.put("k", "v");
    let response = rig.call(&keep);
    assert_eq!(response.prev_kv.map(|kv| kv.version), Some(1));
    assert_eq!(rig.get("k"), Some("v".to_owned()));
    let lease = rig.try_call(0, &PutRequest { lease: 9, ..put("k", "v") }).expect_err("no such lease");
    assert_eq!((lease.code, lease.message.as_ref()), (5, "etcdserver: requested lease not found"));
}

#[test]
fn a_request_too_large_is_refused() {
    let mut rig = Rig::single();
    let large = rig.try_call(0, &put("k", &"x".repeat(3 << 19))).expect_err("too large");
    assert_eq!((large.code, large.message.as_ref()), (3, "etcdserver: request is too large"));
    let huge = rig.try_call(0, &put("k", &"x".repeat(1 << 22))).expect_err("far too large");
    assert_eq!(huge.code, 8);
    assert!(huge.message.starts_with("grpc: received message larger than max"), "{huge}");
}

#[test]
fn the_history_forgets_nothing() {
    let mut rig = Rig::single();
    rig.put("a", "1");
    rig.put("a", "2");
    rig.call(&CompactionRequest { revision: 3, physical: false });
    let history = rig.cluster.history();
    let events = history.current().events_between(1, 3);
    assert_eq!(events.iter().map(|event| event.revision()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(rig.cluster.committed_revision(), 3);
}
