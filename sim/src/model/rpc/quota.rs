//! The space quota: what a request costs (server/storage/quota.go).

use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

use crate::model::state::Proposal;

/// Estimated bytes; 0 for what is never refused.
pub(crate) fn cost(proposal: &Proposal) -> u64 {
    match proposal {
        Proposal::Put(put) => put_cost(put),
        Proposal::Txn(txn) => txn_cost(txn),
        Proposal::Grant { .. } => 64,
        Proposal::Delete(_) | Proposal::Compact { .. } | Proposal::Revoke { .. } | Proposal::Alarm(_) => 0,
    }
}

fn put_cost(put: &PutRequest) -> u64 {
    (256 + put.key.len() + put.value.len()) as u64
}

fn txn_cost(txn: &TxnRequest) -> u64 {
    let sum = |ops: &[RequestOp]| ops.iter().map(op_cost).sum::<u64>();
    sum(&txn.success).max(sum(&txn.failure))
}

fn op_cost(op: &RequestOp) -> u64 {
    match &op.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestTxn(txn)) => txn_cost(txn),
        _ => 0,
    }
}
