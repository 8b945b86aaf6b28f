//! What is wrong with a request whatever the store holds (v3rpc/key.go).

use etcdium_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::overlap;
use crate::model::status::{
    EMPTY_KEY, INVALID_SORT_OPTION, KEY_NOT_FOUND, LEASE_PROVIDED, TOO_MANY_OPS, VALUE_PROVIDED,
};
use crate::model::{Status, V3_6, Version};

/// Orders that do not exist are refused from 3.6 on; before they are taken for none.
pub(crate) fn check_range(request: &RangeRequest, version: Version) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(EMPTY_KEY);
    }
    let known =
        SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if known || version < V3_6 { Ok(()) } else { Err(INVALID_SORT_OPTION) }
}

pub(crate) fn check_put(request: &PutRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(EMPTY_KEY);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(LEASE_PROVIDED);
    }
    Ok(())
}

pub(crate) fn check_delete(request: &DeleteRangeRequest) -> Result<(), Status> {
    if request.key.is_empty() { Err(EMPTY_KEY) } else { Ok(()) }
}

/// Checks sizes and arguments first, then keys changed twice.
pub(crate) fn check_txn(request: &TxnRequest, max_ops: usize, version: Version) -> Result<(), Status> {
    check_ops(request, max_ops, version)?;
    overlap::check(&request.success)?;
    overlap::check(&request.failure)?;
    Ok(())
}

fn check_ops(request: &TxnRequest, max_ops: usize, version: Version) -> Result<(), Status> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > max_ops {
        return Err(TOO_MANY_OPS);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(EMPTY_KEY);
    }
    // What this level uses is gone for the levels below.
    request.success.iter().chain(&request.failure).try_for_each(|op| check_op(op, max_ops - ops, version))
}

fn check_op(op: &RequestOp, max_ops: usize, version: Version) -> Result<(), Status> {
    match &op.request {
        Some(Request::RequestRange(range)) => check_range(range, version),
        Some(Request::RequestPut(put)) => check_put(put),
        Some(Request::RequestDeleteRange(delete)) => check_delete(delete),
        Some(Request::RequestTxn(txn)) => check_ops(txn, max_ops, version),
        None => Err(KEY_NOT_FOUND),
    }
}

/// Both branches hold ranges only. A transaction within one counts as a write, whatever it holds.
pub(crate) fn is_read_only(request: &TxnRequest) -> bool {
    all_ops(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Both branches hold serializable ranges only.
pub(crate) fn is_serializable(request: &TxnRequest) -> bool {
    all_ops(request).all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

fn all_ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::V3_5;
    use etcdium_proto::etcdserverpb::Compare;

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn range(key: &'static str) -> RequestOp {
        op(Request::RequestRange(RangeRequest { key: key.into(), ..RangeRequest::default() }))
    }

    fn success(ops: Vec<RequestOp>) -> TxnRequest {
        TxnRequest { success: ops, ..TxnRequest::default() }
    }

    #[test]
    fn arguments_of_ranges_are_checked() {
        let key = || bytes::Bytes::from_static(b"k");
        for (request, expected) in [
            (RangeRequest::default(), EMPTY_KEY),
            (RangeRequest { key: key(), sort_order: 3, ..RangeRequest::default() }, INVALID_SORT_OPTION),
            (RangeRequest { key: key(), sort_target: 5, ..RangeRequest::default() }, INVALID_SORT_OPTION),
            (RangeRequest { key: key(), sort_order: -1, ..RangeRequest::default() }, INVALID_SORT_OPTION),
        ] {
            assert_eq!(check_range(&request, V3_6), Err(expected), "{request:?}");
        }
        assert_eq!(check_range(&RangeRequest { key: key(), ..RangeRequest::default() }, V3_6), Ok(()));
        let unknown = RangeRequest { key: key(), sort_order: 3, ..RangeRequest::default() };
        assert_eq!(check_range(&unknown, V3_5), Ok(()));
    }

    #[test]
    fn arguments_of_puts_are_checked() {
        let put = PutRequest { key: "k".into(), ..PutRequest::default() };
        assert_eq!(check_put(&put), Ok(()));
        assert_eq!(check_put(&PutRequest { key: "".into(), ..put.clone() }), Err(EMPTY_KEY));
        let with_value = PutRequest { value: "v".into(), ignore_value: true, ..put.clone() };
        assert_eq!(check_put(&with_value), Err(VALUE_PROVIDED));
        let with_lease = PutRequest { lease: 7, ignore_lease: true, ..put };
        assert_eq!(check_put(&with_lease), Err(LEASE_PROVIDED));
    }

    #[test]
    fn operations_are_counted_by_the_longest_list() {
        let ops = |n: usize| (0..n).map(|_| range("k")).collect::<Vec<_>>();
        assert_eq!(check_txn(&success(ops(128)), 128, V3_6), Ok(()));
        assert_eq!(check_txn(&success(ops(129)), 128, V3_6), Err(TOO_MANY_OPS));
        let compare = vec![Compare { key: "k".into(), ..Compare::default() }; 129];
        assert_eq!(check_txn(&TxnRequest { compare, ..TxnRequest::default() }, 128, V3_6), Err(TOO_MANY_OPS));
    }

    #[test]
    fn a_level_leaves_the_levels_below_what_it_does_not_use() {
        let nested = |inner: usize, outer: usize| {
            let mut ops = vec![op(Request::RequestTxn(success(vec![range("k"); inner])))];
            ops.resize(outer, range("k"));
            success(ops)
        };
        assert_eq!(check_txn(&nested(100, 28), 128, V3_6), Ok(()));
        assert_eq!(check_txn(&nested(101, 28), 128, V3_6), Err(TOO_MANY_OPS));
    }

    #[test]
    fn an_empty_operation_is_a_key_not_found() {
        assert_eq!(check_txn(&success(vec![RequestOp { request: None }]), 128, V3_6), Err(KEY_NOT_FOUND));
    }

    #[test]
    fn a_nested_transaction_is_a_write() {
        assert!(is_read_only(&success(vec![range("k")])));
        assert!(is_read_only(&TxnRequest::default()));
        assert!(!is_read_only(&success(vec![op(Request::RequestTxn(success(vec![range("k")])))])));
    }
}
