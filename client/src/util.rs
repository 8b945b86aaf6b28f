//! Conditions on the existence of a key, under the names of the Go client's `clientv3util` package.

use etcdium_core::Key;

use crate::Compare;

/// The condition that the key exists.
///
/// ```
/// use etcdium_client::{Delete, Txn, util};
///
/// let delete_if_there = Txn::new().when([util::key_exists("key")]).and_then([Delete::new("key")]);
/// ```
pub fn key_exists(key: impl Into<Key>) -> Compare {
    Compare::version(key).greater(0)
}

/// The condition that the key does not exist.
///
/// ```
/// use etcdium_client::{Put, Txn, util};
///
/// let put_if_missing = Txn::new().when([util::key_missing("key")]).and_then([Put::new("key", "value")]);
/// ```
pub fn key_missing(key: impl Into<Key>) -> Compare {
    Compare::version(key).equal(0)
}
