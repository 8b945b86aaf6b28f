//! Deleting keys.

use etcdium_core::{InvalidRequest, Key};
use etcdium_proto::etcdserverpb::DeleteRangeRequest;

use super::DeleteResponse;
use super::selection::{Selection, selection_options};
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// A deletion of one key or of a range of keys: [`Client::delete`], or detached [`Delete::new`].
///
/// # Errors
/// [`InvalidRequest`] before anything is sent when options exclude each other. From etcd
/// ([`EtcdError`](crate::EtcdError)): `EmptyKey`, `PermissionDenied`. That there is no such key is no error.
/// [`Error::outcome`](crate::Error::outcome) tells whether a failed deletion may have been applied.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, the deletion may have been applied all the same.
///
/// The Go client's `Delete` (`client/v3/kv.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Delete<C = Unbound> {
    keys: Selection,
    prev_kv: bool,
    options: C,
}

impl Client {
    /// Deletes one key, or with the options of [`Delete`] a range of them. [`Delete`] says more about
    /// options, errors and cancelling.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let existed = client.delete("config").await?.deleted > 0;
    /// let old = client.delete("app/").prefix().prev_kv().await?.prev_kvs;
    /// # Ok(()) }
    /// ```
    pub fn delete(&self, key: impl Into<Key>) -> Delete<Bound> {
        Delete::bind(key.into(), Bound::new(self))
    }
}

impl Delete {
    /// A deletion that belongs to no client: for a transaction, an [`Op`](crate::Op), or a caller that sends the
    /// message of [`into_request`](Self::into_request) itself.
    pub fn new(key: impl Into<Key>) -> Self {
        Self::bind(key.into(), Unbound)
    }
}

impl<C> Delete<C> {
    fn bind(key: Key, options: C) -> Self {
        Self { keys: Selection::single(key), prev_kv: false, options }
    }

    selection_options!();

    /// Returns the deleted pairs in [`DeleteResponse::prev_kvs`]. Since etcd 3.1.
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }

    pub(super) fn build(self) -> (Result<DeleteRangeRequest, InvalidRequest>, C) {
        let Self { keys, prev_kv, options } = self;
        let request = keys.build().map(|range| {
            let (key, range_end) = range.into_parts();
            DeleteRangeRequest { key, range_end, prev_kv }
        });
        (request, options)
    }
}

request_builder!(Delete: DeleteRangeRequest -> DeleteResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::tests::invalid;

    #[test]
    fn every_option_sets_its_field_and_no_other() {
        let base = DeleteRangeRequest { key: "k".into(), ..DeleteRangeRequest::default() };
        let end = |end: &'static str| DeleteRangeRequest { range_end: end.into(), ..base.clone() };
        let all = DeleteRangeRequest { key: "\0".into(), ..end("\0") };
        let cases = [
            (Delete::new("k"), base.clone()),
            (Delete::new("k").prefix(), end("l")),
            (Delete::new("k").range("m"), end("m")),
            (Delete::new("k").from_key(), end("\0")),
            (Delete::new("").prefix(), all.clone()),
            (Delete::new("").from_key(), all),
            (Delete::new("k").prev_kv(), DeleteRangeRequest { prev_kv: true, ..base.clone() }),
        ];
        for (delete, expected) in cases {
            assert_eq!(delete.into_request().unwrap(), expected);
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        let cases = [
            (Delete::new("k").prefix().from_key(), "from_key", "prefix"),
            (Delete::new("k").from_key().prefix(), "prefix", "from_key"),
            (Delete::new("k").range("m").prefix(), "prefix", "range"),
            (Delete::new("k").from_key().range("m"), "range", "from_key"),
        ];
        for (delete, option, with) in cases {
            assert_eq!(invalid(delete.into_request()), InvalidRequest::Conflict { option, with });
        }
    }
}
