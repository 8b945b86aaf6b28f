//! Operations whose kind is chosen at run time.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use etcdium_core::{Error, InvalidRequest};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::{Delete, DeleteResponse, Get, GetResponse, OpResponse, Put, PutResponse, Txn, TxnResponse};
use crate::{Bound, Client, ResponseFuture};

/// An operation of any kind: part of a transaction, or for [`Client::do_op`].
///
/// The Go client's `Op` (`client/v3/op.go`).
#[derive(Clone, Debug)]
#[must_use = "an operation does nothing unless it is sent"]
pub enum Op {
    /// A read.
    Get(Get),
    /// A write.
    Put(Put),
    /// A deletion.
    Delete(Delete),
    /// A transaction.
    Txn(Txn),
}

macro_rules! from_builder {
    ($($kind:ident)*) => {$(
        impl From<$kind> for Op {
            fn from(builder: $kind) -> Self {
                Self::$kind(builder)
            }
        }
    )*};
}

from_builder!(Get Put Delete Txn);

impl Op {
    /// The request message, as a transaction holds it.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::InvalidRequest) when options exclude each other or a value is out of its range.
    pub fn into_request(self) -> Result<RequestOp, Error> {
        Ok(self.build()?)
    }

    pub(super) fn build(self) -> Result<RequestOp, InvalidRequest> {
        let request = match self {
            Self::Get(get) => Request::RequestRange(get.build().0?),
            Self::Put(put) => Request::RequestPut(put.build().0?),
            Self::Delete(delete) => Request::RequestDeleteRange(delete.build().0?),
            Self::Txn(txn) => Request::RequestTxn(txn.build().0?),
        };
        Ok(RequestOp { request: Some(request) })
    }
}

impl Client {
    /// Carries out an operation whose kind is chosen at run time. The response is of the same kind.
    ///
    /// ```no_run
    /// use etcdium_client::{Delete, Op, OpResponse, Put};
    ///
    /// # async fn example(client: etcdium_client::Client, value: Option<String>) -> Result<(), etcdium_client::Error> {
    /// let op: Op = match value {
    ///     Some(value) => Put::new("key", value).into(),
    ///     None => Delete::new("key").into(),
    /// };
    /// if let OpResponse::Delete(response) = client.do_op(op).await? {
    ///     println!("{} deleted", response.deleted);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the operation: see [`Get`], [`Put`], [`Delete`], [`Txn`].
    ///
    /// # Cancel safety
    /// That of the operation.
    pub fn do_op(&self, op: impl Into<Op>) -> DoOp {
        DoOp { op: op.into(), options: Bound::new(self) }
    }
}

/// An operation bound to a client: [`Client::do_op`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited"]
pub struct DoOp {
    op: Op,
    options: Bound,
}

impl DoOp {
    call_option_methods!();
}

impl IntoFuture for DoOp {
    type Output = Result<OpResponse, Error>;
    type IntoFuture = DoOpFuture;

    fn into_future(self) -> Self::IntoFuture {
        let Self { op, options } = self;
        DoOpFuture(match op {
            Op::Get(get) => Kind::Get(options.call(get.build().0)),
            Op::Put(put) => Kind::Put(options.call(put.build().0)),
            Op::Delete(delete) => Kind::Delete(options.call(delete.build().0)),
            Op::Txn(txn) => Kind::Txn(options.call(txn.build().0)),
        })
    }
}

/// An operation on its way to its response: what awaiting [`Client::do_op`] gives.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct DoOpFuture(Kind);

#[derive(Debug)]
enum Kind {
    Get(ResponseFuture<RangeRequest, GetResponse>),
    Put(ResponseFuture<PutRequest, PutResponse>),
    Delete(ResponseFuture<DeleteRangeRequest, DeleteResponse>),
    Txn(ResponseFuture<TxnRequest, TxnResponse>),
}

impl Future for DoOpFuture {
    type Output = Result<OpResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Get(call) => Pin::new(call).poll(cx).map_ok(OpResponse::Get),
            Kind::Put(call) => Pin::new(call).poll(cx).map_ok(OpResponse::Put),
            Kind::Delete(call) => Pin::new(call).poll(cx).map_ok(OpResponse::Delete),
            Kind::Txn(call) => Pin::new(call).poll(cx).map_ok(OpResponse::Txn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::tests::invalid;

    #[test]
    fn an_operation_is_the_request_of_its_builder() {
        let get = Get::new("k").prefix().limit(3);
        let put = Put::new("k", "v").prev_kv();
        let delete = Delete::new("k").from_key();
        let txn = Txn::new().and_then([get.clone()]);
        let cases = [
            (Op::from(get.clone()), Request::RequestRange(get.into_request().unwrap())),
            (put.clone().into(), Request::RequestPut(put.into_request().unwrap())),
            (delete.clone().into(), Request::RequestDeleteRange(delete.into_request().unwrap())),
            (txn.clone().into(), Request::RequestTxn(txn.into_request().unwrap())),
        ];
        for (op, request) in cases {
            assert_eq!(op.into_request().unwrap(), RequestOp { request: Some(request) });
        }
    }

    #[test]
    fn what_is_wrong_with_the_builder_is_wrong_with_the_operation() {
        let refused = invalid(Op::from(Get::new("k").revision(-1)).into_request());
        assert!(matches!(refused, InvalidRequest::Value { option: "revision", .. }), "{refused:?}");
    }
}
