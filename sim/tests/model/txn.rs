//! Transactions.

use etcdium_proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::{ClusterConfig, V3_5};

use crate::support::{Rig, bytes, compare, delete, op, put, range, span, text};

fn txn(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn put_op(key: &str, value: &str) -> RequestOp {
    op(Request::RequestPut(put(key, value)))
}

fn range_op(request: RangeRequest) -> RequestOp {
    op(Request::RequestRange(request))
}

fn revisions(response: &TxnResponse) -> Vec<i64> {
    let headers = response.responses.iter().map(|op| match &op.response {
        Some(Response::ResponseRange(response)) => response.header,
        Some(Response::ResponsePut(response)) => response.header,
        Some(Response::ResponseDeleteRange(response)) => response.header,
        Some(Response::ResponseTxn(response)) => response.header,
        None => None,
    });
    headers.map(|header| header.expect("a header").revision).collect()
}

#[test]
fn all_writes_of_a_transaction_share_a_revision_and_later_reads_see_them() {
    let mut rig = Rig::single();
    rig.put("a", "1");
    let response = rig.call(&txn(vec![
        range_op(range("b")),
        put_op("b", "2"),
        range_op(span("a", "z")),
        op(Request::RequestDeleteRange(delete("a", ""))),
        range_op(span("a", "z")),
    ]));
    assert_eq!(response.header.expect("a header").revision, 3);
    assert_eq!(revisions(&response), [2, 3, 3, 3, 3]);
    let counts: Vec<i64> = response
        .responses
        .iter()
        .filter_map(|op| match &op.response {
            Some(Response::ResponseRange(range)) => Some(range.count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [0, 2, 1]);
}

#[test]
fn comparisons_choose_the_branch() {
    let mut rig = Rig::single();
    rig.put("k", "v");
    let absent = |key| compare(CompareTarget::Create, TargetUnion::CreateRevision(0), key);
    for (key, succeeded) in [("k", false), ("other", true)] {
        let request = TxnRequest {
            compare: vec![absent(key)],
            success: vec![put_op(key, "new")],
            failure: vec![range_op(range(key))],
        };
        assert_eq!(rig.call(&request).succeeded, succeeded, "{key}");
    }
    let value = compare(CompareTarget::Value, TargetUnion::Value(bytes("")), "nothing");
    assert!(!rig.call(&TxnRequest { compare: vec![value], ..TxnRequest::default() }).succeeded);
}

#[test]
fn a_comparison_of_a_range_holds_for_every_key() {
    let mut rig = Rig::single();
    rig.put("a", "x");
    rig.put("b", "x");
    let all = Compare {
        range_end: bytes("z"),
        ..compare(CompareTarget::Value, TargetUnion::Value(bytes("x")), "a")
    };
    let request = TxnRequest { compare: vec![all], ..TxnRequest::default() };
    assert!(rig.call(&request).succeeded);
    rig.put("b", "y");
    assert!(!rig.call(&request).succeeded);
}

#[test]
fn nested_branches_are_chosen_before_anything_is_written() {
    let mut rig = Rig::single();
    let absent = compare(CompareTarget::Version, TargetUnion::Version(0), "a");
    let inner = TxnRequest {
        compare: vec![absent],
        success: vec![put_op("b", "chosen")],
        failure: vec![put_op("b", "not")],
    };
    let response = rig.call(&txn(vec![put_op("a", "1"), op(Request::RequestTxn(inner))]));
    assert_eq!(rig.get("b"), Some("chosen".to_owned()));
    // The header of the inner one is there, and empty.
    assert_eq!(revisions(&response), [2, 0]);
}

#[test]
fn a_transaction_that_writes_nothing_keeps_the_revision() {
    let mut rig = Rig::single();
    rig.put("k", "v");
    let response = rig.call(&txn(vec![op(Request::RequestDeleteRange(delete("x", "")))]));
    assert_eq!((response.header.expect("a header").revision, revisions(&response)), (2, vec![2]));
    assert_eq!(rig.call(&TxnRequest::default()).header.expect("a header").revision, 2);
}

#[test]
fn a_failing_operation_undoes_all_others() {
    let mut rig = Rig::single();
    rig.put("k", "v");
    let lease = op(Request::RequestPut(PutRequest { lease: 9, ..put("b", "") }));
    let keep =
        op(Request::RequestPut(PutRequest { key: bytes("x"), ignore_lease: true, ..PutRequest::default() }));
    let future = range_op(RangeRequest { revision: 99, ..range("k") });
    for (last, code, message) in [
        (lease, 5, "etcdserver: requested lease not found"),
        (keep, 3, "etcdserver: key not found"),
        (future, 11, "etcdserver: mvcc: required revision is a future revision"),
    ] {
        let status = rig.try_call(0, &txn(vec![put_op("a", "1"), last])).expect_err(message);
        assert_eq!(text(status), (code, message.to_owned()));
        assert_eq!(rig.cluster.committed_revision(), 2);
    }
}

#[test]
fn up_to_3_5_puts_are_checked_before_ranges() {
    for (version, code) in [(V3_5, 5), (ClusterConfig::default().version, 11)] {
        let mut rig = Rig::new(ClusterConfig { version, ..ClusterConfig::default() });
        let future = range_op(RangeRequest { revision: 99, ..range("k") });
        let lease = op(Request::RequestPut(PutRequest { lease: 9, ..put("b", "") }));
        let status = rig.try_call(0, &txn(vec![future, lease])).expect_err("refused");
        assert_eq!(status.code, code, "{version}");
    }
}

#[test]
fn a_read_only_transaction_reads_revisions() {
    let mut rig = Rig::single();
    rig.put("k", "1");
    rig.put("k", "2");
    let response = rig.call(&txn(vec![range_op(RangeRequest { revision: 2, ..range("k") })]));
    let Some(Response::ResponseRange(range_response)) = &response.responses[0].response else {
        panic!("not a range");
    };
    assert_eq!(range_response.kvs[0].value, "1");
    assert_eq!(revisions(&response), [3]);
    let future = rig.try_call(0, &txn(vec![range_op(RangeRequest { revision: 4, ..range("k") })]));
    assert_eq!(future.map_err(|status| status.code), Err(11));
}

#[test]
fn a_put_gives_the_previous_pair_as_of_the_transaction() {
    let mut rig = Rig::single();
    rig.put("k", "1");
    let previous = op(Request::RequestPut(PutRequest { prev_kv: true, ..put("k", "2") }));
    let response = rig.call(&txn(vec![previous]));
    let Some(Response::ResponsePut(put_response)) = &response.responses[0].response else {
        panic!("not a put")
    };
    assert_eq!(put_response.prev_kv.as_ref().map(|kv| kv.value.clone()), Some(bytes("1")));
}
