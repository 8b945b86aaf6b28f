//! Transactions.

use etcdium_core::InvalidRequest;
use etcdium_proto::etcdserverpb::{RequestOp, TxnRequest};

use super::{Compare, Op, TxnResponse};
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// A transaction: if all conditions hold, the operations of one branch are carried out, else those of the other, as one
/// step of the store. [`Client::txn`], or detached [`Txn::new`] to stand within another.
///
/// All three parts may be empty, and each method adds to what its part has, in whatever order they are called. Without
/// conditions the first branch is taken. Operations are carried out in their order; one branch must not write a key
/// twice. A branch may hold a transaction in turn (since etcd 3.3).
///
/// etcd allows 128 conditions, and as many operations in either branch, unless started with another `--max-txn-ops`.
///
/// # Errors
/// [`InvalidRequest`] before anything is sent when options of an operation or condition exclude each other. From
/// etcd: `TooManyOps`, `DuplicateKey`, and what an operation alone would cause, which fails the whole transaction.
/// [`Error::outcome`](crate::Error::outcome) tells whether a failed transaction may have been applied; one that only
/// reads never is.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, the transaction may have been applied all the same.
///
/// The Go client's `Txn` (`client/v3/txn.go`), without the order in which that has to be built.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Txn<C = Unbound> {
    request: TxnRequest,
    /// The first thing wrong with a condition or an operation.
    invalid: Option<InvalidRequest>,
    options: C,
}

impl Client {
    /// Starts a transaction. [`Txn`] says more about its parts, errors and cancelling.
    ///
    /// ```no_run
    /// use etcdium_client::{Compare, Get, Put};
    ///
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let response = client
    ///     .txn()
    ///     .when([Compare::version("leader").equal(0)])
    ///     .and_then([Put::new("leader", "me")])
    ///     .or_else([Get::new("leader")])
    ///     .await?;
    /// if !response.succeeded {
    ///     println!("led by {:?}", response.gets().next().and_then(|get| get.first()));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// Operations of several kinds in one list become [`Op`]s first:
    ///
    /// ```no_run
    /// use etcdium_client::{Delete, Get, Op, Put};
    ///
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// client.txn().and_then([Op::from(Put::new("new", "v")), Delete::new("old").into()]).await?;
    /// client.txn().and_then([Put::new("new", "v")]).and_then([Get::new("other")]).await?;
    /// # Ok(()) }
    /// ```
    pub fn txn(&self) -> Txn<Bound> {
        Txn::bind(Bound::new(self))
    }
}

impl Txn {
    /// A transaction that belongs to no client: to stand in another one, for an [`Op`], or for a caller that sends the
    /// message of [`into_request`](Self::into_request) itself.
    pub fn new() -> Self {
        Self::bind(Unbound)
    }
}

impl Default for Txn {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Txn<C> {
    fn bind(options: C) -> Self {
        Self { request: TxnRequest::default(), invalid: None, options }
    }

    /// Adds conditions. All have to hold for the first branch to be taken.
    pub fn when(mut self, conditions: impl IntoIterator<Item = Compare>) -> Self {
        let conditions = conditions.into_iter().map(Compare::build);
        add(&mut self.request.compare, conditions, &mut self.invalid);
        self
    }

    /// Adds operations to the branch that is taken when all conditions hold.
    pub fn and_then<O: Into<Op>>(mut self, operations: impl IntoIterator<Item = O>) -> Self {
        add(&mut self.request.success, operations.into_iter().map(build), &mut self.invalid);
        self
    }

    /// Adds operations to the branch that is taken when a condition does not hold.
    pub fn or_else<O: Into<Op>>(mut self, operations: impl IntoIterator<Item = O>) -> Self {
        add(&mut self.request.failure, operations.into_iter().map(build), &mut self.invalid);
        self
    }

    pub(super) fn build(self) -> (Result<TxnRequest, InvalidRequest>, C) {
        let request = match self.invalid {
            None => Ok(self.request),
            Some(invalid) => Err(invalid),
        };
        (request, self.options)
    }
}

fn build(operation: impl Into<Op>) -> Result<RequestOp, InvalidRequest> {
    operation.into().build()
}

/// Adds the good ones and notes the first bad one.
fn add<T>(
    list: &mut Vec<T>,
    items: impl Iterator<Item = Result<T, InvalidRequest>>,
    invalid: &mut Option<InvalidRequest>,
) {
    list.reserve(items.size_hint().0);
    for item in items {
        match item {
            Ok(item) => list.push(item),
            Err(error) => {
                invalid.get_or_insert(error);
            }
        }
    }
}

request_builder!(Txn: TxnRequest -> TxnResponse);

#[cfg(test)]
mod tests {
    use etcdium_proto::etcdserverpb::request_op::Request;

    use super::*;
    use crate::kv::tests::invalid;
    use crate::{Delete, Get, Put};

    fn put(key: &'static str) -> RequestOp {
        Op::from(Put::new(key, "v")).into_request().unwrap()
    }

    #[test]
    fn parts_collect_what_is_added_in_order() {
        let txn = Txn::new()
            .when([Compare::version("a").equal(0), Compare::version("b").equal(0)])
            .and_then([Put::new("a", "v")])
            .when(vec![Compare::version("c").equal(0)])
            .or_else([Get::new("a")])
            .and_then([Op::from(Put::new("b", "v")), Delete::new("c").prefix().into()])
            .or_else(Some(Get::new("b")));
        let request = txn.into_request().unwrap();
        let keys: Vec<_> = request.compare.iter().map(|compare| &compare.key[..]).collect();
        assert_eq!(keys, [b"a", b"b", b"c"]);
        let delete = Op::from(Delete::new("c").prefix()).into_request().unwrap();
        assert_eq!(request.success, [put("a"), put("b"), delete]);
        let get = |key: &'static str| Op::from(Get::new(key)).into_request().unwrap();
        assert_eq!(request.failure, [get("a"), get("b")]);
    }

    #[test]
    fn every_part_may_be_empty() {
        assert_eq!(Txn::default().into_request().unwrap(), TxnRequest::default());
    }

    #[test]
    fn transactions_nest() {
        let inner = Txn::new().when([Compare::version("a").equal(0)]).and_then([Put::new("a", "v")]);
        let expected = inner.clone().into_request().unwrap();
        let outer = Txn::new().and_then([inner.clone()]).or_else([Txn::new().and_then([inner])]);
        let request = outer.into_request().unwrap();
        let nested = |txn| RequestOp { request: Some(Request::RequestTxn(txn)) };
        let deeper = TxnRequest { success: vec![nested(expected.clone())], ..TxnRequest::default() };
        assert_eq!(request.success, [nested(expected)]);
        assert_eq!(request.failure, [nested(deeper)]);
    }

    #[test]
    fn what_is_wrong_in_a_part_refuses_the_whole() {
        let bad_get = || Get::new("k").prefix().from_key();
        let bad_delete = Delete::new("k").range("m").prefix();
        let conflict = |option, with| InvalidRequest::Conflict { option, with };
        let cases = [
            (
                Txn::new().when([Compare::version("k").equal(0).prefix().range("m")]),
                conflict("range", "prefix"),
            ),
            (Txn::new().and_then([bad_get()]), conflict("from_key", "prefix")),
            (Txn::new().or_else([bad_delete]), conflict("prefix", "range")),
            (Txn::new().and_then([Txn::new().or_else([bad_get()])]), conflict("from_key", "prefix")),
        ];
        for (txn, expected) in cases {
            assert_eq!(invalid(txn.and_then([Put::new("good", "v")]).into_request()), expected);
        }
    }

    #[test]
    fn txn_018_a_transaction_keeps_what_it_was_given() {
        let mut conditions = [Compare::version("a").equal(0)];
        let mut operations = vec![Op::from(Put::new("a", "v"))];
        let txn = Txn::new().when(conditions.iter().cloned()).and_then(operations.iter().cloned());
        let copy = txn.clone();
        conditions[0] = Compare::version("b").equal(1);
        operations.clear();
        let txn = txn.and_then([Get::new("a")]).into_request().unwrap();
        assert_eq!(txn.compare, [Compare::version("a").equal(0).build().unwrap()]);
        assert_eq!((txn.success.len(), &txn.success[0]), (2, &put("a")));
        assert_eq!(copy.into_request().unwrap().success, [put("a")]);
    }
}
