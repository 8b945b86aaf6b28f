//! The ties between message types and methods, and the rules for requests whose content decides.

use std::fmt::Debug;

use prost::Message;

use crate::etcdserverpb::alarm_request::AlarmAction;
use crate::etcdserverpb::request_op::Request;
use crate::etcdserverpb::{AlarmRequest, RangeRequest, RequestOp, TxnRequest};
use crate::method::{Method, RetryClass};

/// A message a server answers with. Every message is one as far as encoding goes: a name for what code that is
/// generic over responses needs, without naming the encoder.
pub trait Response: Message + Debug + Default + 'static {}

impl<M: Message + Debug + Default + 'static> Response for M {}

/// A message that is the request of exactly one unary method.
pub trait UnaryRequest: Message + Debug + Default + 'static {
    /// The message that answers.
    type Response: Response;

    /// The method.
    const METHOD: &'static Method;

    /// Whether *this* request may be sent a second time.
    ///
    /// That of the method, save that the content decides for two: a [`TxnRequest`] is a read when neither
    /// branch puts or deletes at any depth, an [`AlarmRequest`] when it only lists.
    fn retry_class(&self) -> RetryClass {
        Self::METHOD.retry()
    }

    /// Whether the member answering *this* request needs a leader to give a right answer. A member without
    /// one may then be made to refuse at once (metadata `hasleader: true`) and the call be taken elsewhere.
    ///
    /// That of the method, save that the content decides for three: a [`RangeRequest`] does unless it is
    /// `serializable`, a [`MemberListRequest`](crate::etcdserverpb::MemberListRequest) only if it is
    /// `linearizable`, and a [`TxnRequest`] does unless it consists of serializable ranges alone. Ranges
    /// within an inner transaction do not count as such: the server sends any transaction that holds another
    /// through consensus. Neither does a transaction without operations: nobody allowed its comparisons to be
    /// stale.
    fn needs_leader(&self) -> bool {
        Self::METHOD.needs_leader()
    }
}

/// A streaming method, as a type. The implementors are in [`streams`](crate::streams).
pub trait StreamMethod {
    /// What the client sends.
    type Request: Message + Debug + Default + 'static;

    /// What the server sends.
    type Response: Response;

    /// The method.
    const METHOD: &'static Method;

    /// Whether the member serving a stream opened with this request needs a leader to give right answers:
    /// that of the method, save that a streamed range does not when it is `serializable`.
    fn needs_leader(_request: &Self::Request) -> bool {
        Self::METHOD.needs_leader()
    }
}

/// Retry class of a transaction: a read when neither branch puts or deletes at any depth.
pub(crate) fn txn_retry_class(txn: &TxnRequest) -> RetryClass {
    if operations(txn).all(is_read) { RetryClass::Read } else { RetryClass::Write }
}

fn is_read(op: &RequestOp) -> bool {
    match &op.request {
        Some(Request::RequestRange(_)) => true,
        Some(Request::RequestTxn(inner)) => txn_retry_class(inner) == RetryClass::Read,
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
        // The server refuses a transaction with a missing operation.
        None => true,
    }
}

/// Whether a transaction needs a leader; see [`UnaryRequest::needs_leader`].
pub(crate) fn txn_needs_leader(txn: &TxnRequest) -> bool {
    let local = |op: &RequestOp| {
        matches!(&op.request, Some(Request::RequestRange(RangeRequest { serializable: true, .. })))
    };
    operations(txn).next().is_none() || !operations(txn).all(local)
}

/// Operations of both branches, without those of inner transactions.
fn operations(txn: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    txn.success.iter().chain(&txn.failure)
}

/// Retry class of an alarm request: a read when it only lists.
pub(crate) fn alarm_retry_class(request: &AlarmRequest) -> RetryClass {
    if request.action == AlarmAction::Get as i32 { RetryClass::Read } else { RetryClass::Write }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseGrantRequest, MemberListRequest, PutRequest, StatusRequest,
    };
    use crate::streams::{RangeStream, Snapshot, Watch};

    fn range(serializable: bool) -> RequestOp {
        RequestOp {
            request: Some(Request::RequestRange(RangeRequest { serializable, ..Default::default() })),
        }
    }

    fn put() -> RequestOp {
        RequestOp { request: Some(Request::RequestPut(PutRequest::default())) }
    }

    fn delete() -> RequestOp {
        RequestOp { request: Some(Request::RequestDeleteRange(DeleteRangeRequest::default())) }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp { request: Some(Request::RequestTxn(txn(success, failure))) }
    }

    fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
        TxnRequest { compare: vec![Compare::default()], success, failure }
    }

    #[test]
    fn a_transaction_is_a_read_when_nothing_in_it_writes() {
        use RetryClass::{Read, Write};
        let cases = [
            (txn(vec![], vec![]), Read),
            (txn(vec![range(false)], vec![range(true)]), Read),
            (txn(vec![RequestOp { request: None }], vec![]), Read),
            (txn(vec![put()], vec![]), Write),
            (txn(vec![range(false)], vec![delete()]), Write),
            (txn(vec![nested(vec![range(false)], vec![])], vec![]), Read),
            (txn(vec![], vec![nested(vec![], vec![nested(vec![range(true)], vec![range(true)])])]), Read),
            (txn(vec![], vec![nested(vec![], vec![nested(vec![range(true)], vec![put()])])]), Write),
            (txn(vec![nested(vec![nested(vec![delete()], vec![])], vec![])], vec![range(true)]), Write),
        ];
        for (request, class) in cases {
            assert_eq!(request.retry_class(), class, "{request:?}");
        }
    }

    #[test]
    fn a_transaction_needs_no_leader_when_it_is_serializable_ranges_alone() {
        let cases = [
            (txn(vec![], vec![]), true),
            (txn(vec![range(true)], vec![]), false),
            (txn(vec![range(true), range(true)], vec![range(true)]), false),
            (txn(vec![range(true)], vec![range(false)]), true),
            (txn(vec![range(true), put()], vec![]), true),
            (txn(vec![nested(vec![range(true)], vec![])], vec![]), true),
        ];
        for (request, needs) in cases {
            assert_eq!(request.needs_leader(), needs, "{request:?}");
        }
    }

    #[test]
    fn ranges_and_member_lists_need_a_leader_by_content() {
        assert!(RangeRequest::default().needs_leader());
        assert!(!RangeRequest { serializable: true, ..Default::default() }.needs_leader());
        assert!(RangeStream::needs_leader(&RangeRequest::default()));
        assert!(!RangeStream::needs_leader(&RangeRequest { serializable: true, ..Default::default() }));
        assert!(!MemberListRequest::default().needs_leader());
        assert!(MemberListRequest { linearizable: true }.needs_leader());
    }

    #[test]
    fn everything_else_follows_its_method() {
        assert!(!StatusRequest {}.needs_leader());
        assert_eq!(StatusRequest {}.retry_class(), RetryClass::Read);
        assert!(LeaseGrantRequest::default().needs_leader());
        assert_eq!(LeaseGrantRequest::default().retry_class(), RetryClass::Write);
        assert!(Watch::needs_leader(&Default::default()));
        assert!(!Snapshot::needs_leader(&Default::default()));
    }

    #[test]
    fn listing_alarms_is_a_read_and_anything_else_a_write() {
        for (action, class) in
            [(0, RetryClass::Read), (1, RetryClass::Write), (2, RetryClass::Write), (99, RetryClass::Write)]
        {
            assert_eq!(AlarmRequest { action, ..Default::default() }.retry_class(), class, "{action}");
        }
    }
}
