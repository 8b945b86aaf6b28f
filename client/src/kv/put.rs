//! Writing a key.

use etcdium_core::{InvalidRequest, Key, LeaseId};
use etcdium_proto::etcdserverpb::PutRequest;

use super::{PutResponse, Value};
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// A write of one key: [`Client::put`], or detached [`Put::new`].
///
/// # Errors
/// From etcd ([`EtcdError`](crate::EtcdError)): `EmptyKey`, `LeaseNotFound`, `KeyNotFound` with
/// [`ignore_value`](Self::ignore_value) or [`ignore_lease`](Self::ignore_lease) on a key that does not exist,
/// `ValueProvided`, `LeaseProvided`, `NoSpace`, `RequestTooLarge`, `PermissionDenied`.
/// [`Error::outcome`](crate::Error::outcome) tells whether a failed put may have been applied.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, the put may have been applied all the same.
///
/// The Go client's `Put` (`client/v3/kv.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Put<C = Unbound> {
    request: PutRequest,
    options: C,
}

impl Client {
    /// Sets the value of a key. [`Put`] says more about options, errors and cancelling.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let revision = client.put("config", "v1").await?.header.revision;
    /// let replaced = client.put("config", "v2").prev_kv().await?.prev_kv;
    /// # Ok(()) }
    /// ```
    pub fn put(&self, key: impl Into<Key>, value: impl Into<Value>) -> Put<Bound> {
        Put::bind(key.into(), value.into(), Bound::new(self))
    }
}

impl Put {
    /// A write that belongs to no client: for a transaction, an [`Op`](crate::Op), or a caller that sends the message
    /// of [`into_request`](Self::into_request) itself.
    pub fn new(key: impl Into<Key>, value: impl Into<Value>) -> Self {
        Self::bind(key.into(), value.into(), Unbound)
    }
}

impl<C> Put<C> {
    fn bind(key: Key, value: Value, options: C) -> Self {
        let request =
            PutRequest { key: key.into_bytes(), value: value.into_bytes(), ..PutRequest::default() };
        Self { request, options }
    }

    /// Ties the key to a lease: when the lease ends, the key is deleted. Default: none; a put without a lease also
    /// unties the key from the lease it had.
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.request.lease = lease.get();
        self
    }

    /// Returns the pair that is replaced in [`PutResponse::prev_kv`]. Since etcd 3.1.
    pub fn prev_kv(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }

    /// Keeps the value the key has, to change its lease alone. Give an empty value then: etcd refuses another with
    /// `ValueProvided`, and a key that does not exist with `KeyNotFound`. Since etcd 3.2.
    pub fn ignore_value(mut self) -> Self {
        self.request.ignore_value = true;
        self
    }

    /// Keeps the lease the key has. etcd refuses a [`lease`](Self::lease) given besides with `LeaseProvided`, and a key
    /// that does not exist with `KeyNotFound`. Since etcd 3.2.
    pub fn ignore_lease(mut self) -> Self {
        self.request.ignore_lease = true;
        self
    }

    pub(super) fn build(self) -> (Result<PutRequest, InvalidRequest>, C) {
        (Ok(self.request), self.options)
    }
}

request_builder!(Put: PutRequest -> PutResponse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_sets_its_field_and_no_other() {
        let base = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        let lease = LeaseId::new(5).unwrap();
        let cases = [
            (Put::new("k", "v"), base.clone()),
            (Put::new("k", "v").lease(lease), PutRequest { lease: 5, ..base.clone() }),
            (Put::new("k", "v").prev_kv(), PutRequest { prev_kv: true, ..base.clone() }),
            (
                Put::new("k", "").ignore_value(),
                PutRequest { value: "".into(), ignore_value: true, ..base.clone() },
            ),
            (Put::new("k", "v").ignore_lease(), PutRequest { ignore_lease: true, ..base }),
        ];
        for (put, expected) in cases {
            assert_eq!(put.into_request().unwrap(), expected);
        }
    }

    #[test]
    fn owned_keys_and_values_are_not_copied() {
        let (key, value) = (vec![1; 40], vec![2; 400]);
        let before = (key.as_ptr(), value.as_ptr());
        let request = Put::new(key, value).prev_kv().into_request().unwrap();
        assert_eq!((request.key.as_ptr(), request.value.as_ptr()), before);
    }
}
