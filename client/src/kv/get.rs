//! Reading keys.

use etcdium_core::{InvalidRequest, Key, Revision};
use etcdium_proto::etcdserverpb::{RangeRequest, range_request};

use super::GetResponse;
use super::selection::{Selection, selection_options};
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// A read of one key or of a range of keys: [`Client::get`], or detached [`Get::new`].
///
/// | setting | default |
/// |---|---|
/// | keys | the one key |
/// | limit | none |
/// | revision | the latest |
/// | order | by key, ascending |
/// | consistency | linearizable |
///
/// # Errors
/// [`InvalidRequest`] before anything is sent when options exclude each other or a revision is negative. From etcd:
/// `EmptyKey`, `Compacted` and `FutureRev` for a revision that is gone or yet to come, `PermissionDenied`.
///
/// # Cancel safety
/// Dropping the future gives the call up. A read leaves nothing behind.
///
/// The Go client's `Get` (`client/v3/kv.go`) and its options (`client/v3/op.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Get<C = Unbound> {
    keys: Selection,
    /// `key` and `range_end` come from `keys` in the end.
    request: RangeRequest,
    options: C,
}

/// What the keys of an answer are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key, byte by byte.
    #[default]
    Key,
    /// The number of puts since the key's creation.
    Version,
    /// The revision of the key's creation.
    CreateRevision,
    /// The revision of the key's last change.
    ModRevision,
    /// The value, byte by byte.
    Value,
}

/// The order of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// Lowest first.
    #[default]
    Ascend,
    /// Highest first.
    Descend,
}

impl Client {
    /// Reads one key, or with the options of [`Get`] a range of them. [`Get`] says more about options,
    /// errors and cancelling.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// if let Some(kv) = client.get("config").await?.into_first() {
    ///     println!("{:?} since revision {}", kv.value, kv.mod_revision);
    /// }
    /// let page = client.get("app/").prefix().limit(100).serializable().await?;
    /// println!("{} of {} keys", page.kvs.len(), page.count);
    /// # Ok(()) }
    /// ```
    pub fn get(&self, key: impl Into<Key>) -> Get<Bound> {
        Get::bind(key.into(), Bound::new(self))
    }
}

impl Get {
    /// A read that belongs to no client: for a transaction, an [`Op`](crate::Op), or a caller that sends the message
    /// of [`into_request`](Self::into_request) itself.
    pub fn new(key: impl Into<Key>) -> Self {
        Self::bind(key.into(), Unbound)
    }
}

impl<C> Get<C> {
    fn bind(key: Key, options: C) -> Self {
        Self { keys: Selection::single(key), request: RangeRequest::default(), options }
    }

    selection_options!();

    /// Returns at most this many keys; [`GetResponse::more`] then tells whether there are more. 0 means no limit, the
    /// default.
    pub fn limit(mut self, keys: usize) -> Self {
        self.request.limit = i64::try_from(keys).unwrap_or(i64::MAX);
        self
    }

    /// Reads the store as it was at this revision. [`Revision::ZERO`], the default, means the latest.
    pub fn revision(mut self, revision: impl Into<Revision>) -> Self {
        self.request.revision = revision.into().get();
        self
    }

    /// Sorts the answer. Default: by key, ascending.
    ///
    /// By key and ascending costs nothing, since the store is in that order and it is not even sent. Anything else
    /// makes the server read the whole range before it applies the limit.
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        use range_request::{SortOrder as Order, SortTarget as Target};
        let order_on_wire = match (target, order) {
            // Asking for the order of the store would make the server read the whole range first.
            (SortTarget::Key, SortOrder::Ascend) => Order::None,
            (_, SortOrder::Ascend) => Order::Ascend,
            (_, SortOrder::Descend) => Order::Descend,
        };
        let target_on_wire = match target {
            SortTarget::Key => Target::Key,
            SortTarget::Version => Target::Version,
            SortTarget::CreateRevision => Target::Create,
            SortTarget::ModRevision => Target::Mod,
            SortTarget::Value => Target::Value,
        };
        self.request.sort_order = order_on_wire.into();
        self.request.sort_target = target_on_wire.into();
        self
    }

    /// Sorts the answer ascending: [`sort`](Self::sort) with [`SortOrder::Ascend`].
    ///
    /// The order is sent along. Without one the server would apply the limit before it sorts.
    pub fn sort_by(self, target: SortTarget) -> Self {
        self.sort(target, SortOrder::Ascend)
    }

    /// Takes the answer from the member asked, as far as it knows, without asking the cluster. Quicker, works without
    /// a leader, and may be stale. Default: linearizable.
    pub fn serializable(mut self) -> Self {
        self.request.serializable = true;
        self
    }

    /// Leaves the values out. Do not rely on [`KeyValue::lease`](crate::KeyValue::lease) then.
    pub fn keys_only(mut self) -> Self {
        self.request.keys_only = true;
        self
    }

    /// Leaves out everything but [`GetResponse::count`].
    pub fn count_only(mut self) -> Self {
        self.request.count_only = true;
        self
    }

    /// Leaves out keys last changed before this revision. [`Revision::ZERO`], the default, means no bound. The count
    /// is not affected. Since etcd 3.1.
    pub fn min_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.request.min_mod_revision = revision.into().get();
        self
    }

    /// Leaves out keys last changed after this revision. [`Revision::ZERO`], the default, means no bound. The count is
    /// not affected. Since etcd 3.1.
    pub fn max_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.request.max_mod_revision = revision.into().get();
        self
    }

    /// Leaves out keys created before this revision. [`Revision::ZERO`], the default, means no bound. The count is not
    /// affected. Since etcd 3.1.
    pub fn min_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.request.min_create_revision = revision.into().get();
        self
    }

    /// Leaves out keys created after this revision. [`Revision::ZERO`], the default, means no bound. The count is not
    /// affected. Since etcd 3.1.
    pub fn max_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.request.max_create_revision = revision.into().get();
        self
    }

    /// Of the keys with the prefix, the one created first.
    pub fn first_create(self) -> Self {
        self.one_of_prefix(SortTarget::CreateRevision, SortOrder::Ascend)
    }

    /// Of the keys with the prefix, the one created last.
    pub fn last_create(self) -> Self {
        self.one_of_prefix(SortTarget::CreateRevision, SortOrder::Descend)
    }

    /// Of the keys with the prefix, the lowest.
    pub fn first_key(self) -> Self {
        self.one_of_prefix(SortTarget::Key, SortOrder::Ascend)
    }

    /// Of the keys with the prefix, the highest.
    pub fn last_key(self) -> Self {
        self.one_of_prefix(SortTarget::Key, SortOrder::Descend)
    }

    /// Of the keys with the prefix, the one whose last change is the oldest.
    pub fn first_revision(self) -> Self {
        self.one_of_prefix(SortTarget::ModRevision, SortOrder::Ascend)
    }

    /// Of the keys with the prefix, the one changed last.
    pub fn last_revision(self) -> Self {
        self.one_of_prefix(SortTarget::ModRevision, SortOrder::Descend)
    }

    fn one_of_prefix(self, target: SortTarget, order: SortOrder) -> Self {
        self.prefix().sort(target, order).limit(1)
    }

    pub(super) fn build(self) -> (Result<RangeRequest, InvalidRequest>, C) {
        let Self { keys, mut request, options } = self;
        let finish = || {
            for (option, revision) in [
                ("revision", request.revision),
                ("min_mod_revision", request.min_mod_revision),
                ("max_mod_revision", request.max_mod_revision),
                ("min_create_revision", request.min_create_revision),
                ("max_create_revision", request.max_create_revision),
            ] {
                super::not_negative(option, revision)?;
            }
            (request.key, request.range_end) = keys.build()?.into_parts();
            Ok(request)
        };
        (finish(), options)
    }
}

request_builder!(Get: RangeRequest -> GetResponse);

#[cfg(test)]
mod tests {
    use super::range_request::{SortOrder as WireOrder, SortTarget as WireTarget};
    use super::*;
    use crate::kv::tests::invalid;

    fn wire(get: Get) -> RangeRequest {
        get.into_request().unwrap()
    }

    fn plain(key: &'static str) -> RangeRequest {
        RangeRequest { key: key.into(), ..RangeRequest::default() }
    }

    #[test]
    fn every_option_sets_its_field_and_no_other() {
        let app = || Get::new("app/");
        let base = plain("app/");
        let prefix = RangeRequest { range_end: "app0".into(), ..base.clone() };
        let sorted = |target: WireTarget, order: WireOrder| RangeRequest {
            sort_target: target.into(),
            sort_order: order.into(),
            limit: 1,
            ..prefix.clone()
        };
        let cases = [
            (app(), base.clone()),
            (app().prefix(), prefix.clone()),
            (app().prefix().prefix(), prefix.clone()),
            (app().range("app9"), RangeRequest { range_end: "app9".into(), ..base.clone() }),
            (app().range("x").range("app9"), RangeRequest { range_end: "app9".into(), ..base.clone() }),
            (app().from_key(), RangeRequest { range_end: b"\0"[..].into(), ..base.clone() }),
            (Get::new("").prefix(), RangeRequest { range_end: b"\0"[..].into(), ..plain("\0") }),
            (Get::new("").prefix().prefix(), RangeRequest { range_end: b"\0"[..].into(), ..plain("\0") }),
            (Get::new("").from_key(), RangeRequest { range_end: b"\0"[..].into(), ..plain("\0") }),
            (Get::new(""), plain("")),
            (app().limit(7), RangeRequest { limit: 7, ..base.clone() }),
            (app().limit(0), base.clone()),
            (app().limit(usize::MAX), RangeRequest { limit: i64::MAX, ..base.clone() }),
            (app().revision(9), RangeRequest { revision: 9, ..base.clone() }),
            (app().revision(Revision::new(9)), RangeRequest { revision: 9, ..base.clone() }),
            (app().serializable(), RangeRequest { serializable: true, ..base.clone() }),
            (app().keys_only(), RangeRequest { keys_only: true, ..base.clone() }),
            (app().count_only(), RangeRequest { count_only: true, ..base.clone() }),
            (app().min_mod_revision(1), RangeRequest { min_mod_revision: 1, ..base.clone() }),
            (app().max_mod_revision(2), RangeRequest { max_mod_revision: 2, ..base.clone() }),
            (app().min_create_revision(3), RangeRequest { min_create_revision: 3, ..base.clone() }),
            (app().max_create_revision(4), RangeRequest { max_create_revision: 4, ..base }),
            (app().first_create(), sorted(WireTarget::Create, WireOrder::Ascend)),
            (app().last_create(), sorted(WireTarget::Create, WireOrder::Descend)),
            (app().first_key(), sorted(WireTarget::Key, WireOrder::None)),
            (app().last_key(), sorted(WireTarget::Key, WireOrder::Descend)),
            (app().first_revision(), sorted(WireTarget::Mod, WireOrder::Ascend)),
            (app().last_revision(), sorted(WireTarget::Mod, WireOrder::Descend)),
        ];
        for (get, expected) in cases {
            assert_eq!(wire(get.clone()), expected, "{get:?}");
        }
    }

    #[test]
    fn kv_048_key_ascending_is_not_sent() {
        let request = wire(Get::new("k").prefix().sort(SortTarget::Key, SortOrder::Ascend).limit(10));
        assert_eq!((request.sort_order(), request.sort_target()), (WireOrder::None, WireTarget::Key));
        assert_eq!(request.limit, 10);
        // Also when another order was asked for before.
        let request =
            wire(Get::new("k").sort(SortTarget::Value, SortOrder::Descend).sort_by(SortTarget::Key));
        assert_eq!(request, plain("k"));
    }

    #[test]
    fn kv_049_sort_and_range_options_are_distinguishable() {
        // Sort targets and orders are enums, so there are no others; each has its number on the wire.
        let targets = [
            (SortTarget::Key, WireTarget::Key),
            (SortTarget::Version, WireTarget::Version),
            (SortTarget::CreateRevision, WireTarget::Create),
            (SortTarget::ModRevision, WireTarget::Mod),
            (SortTarget::Value, WireTarget::Value),
        ];
        for (target, on_wire) in targets {
            let down = wire(Get::new("k").sort(target, SortOrder::Descend));
            assert_eq!((down.sort_target(), down.sort_order()), (on_wire, WireOrder::Descend));
            let up = wire(Get::new("k").sort(target, SortOrder::Ascend));
            let explicit = if target == SortTarget::Key { WireOrder::None } else { WireOrder::Ascend };
            assert_eq!((up.sort_target(), up.sort_order()), (on_wire, explicit));
        }
        assert_ne!(wire(Get::new("k").prefix()).range_end, wire(Get::new("k").from_key()).range_end);
    }

    #[test]
    fn kv_024_a_target_without_order_is_sent_as_ascending() {
        for target in
            [SortTarget::Version, SortTarget::CreateRevision, SortTarget::ModRevision, SortTarget::Value]
        {
            assert_eq!(wire(Get::new("k").sort_by(target)).sort_order(), WireOrder::Ascend, "{target:?}");
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        let cases = [
            (Get::new("k").prefix().from_key(), "from_key", "prefix"),
            (Get::new("k").from_key().prefix(), "prefix", "from_key"),
            (Get::new("k").range("m").prefix(), "prefix", "range"),
            (Get::new("k").prefix().range("m"), "range", "prefix"),
            (Get::new("k").range("m").from_key(), "from_key", "range"),
            (Get::new("k").from_key().range("m"), "range", "from_key"),
            (Get::new("k").from_key().first_key(), "prefix", "from_key"),
            // What comes after does not mend it.
            (Get::new("k").prefix().from_key().prefix(), "from_key", "prefix"),
        ];
        for (get, option, with) in cases {
            assert_eq!(invalid(get.into_request()), InvalidRequest::Conflict { option, with });
        }
    }

    #[test]
    fn negative_revisions_are_refused() {
        let get = || Get::new("k").prefix();
        let cases = [
            (get().revision(-1), "revision"),
            (get().min_mod_revision(-1), "min_mod_revision"),
            (get().max_mod_revision(-2), "max_mod_revision"),
            (get().min_create_revision(i64::MIN), "min_create_revision"),
            (get().max_create_revision(-1), "max_create_revision"),
        ];
        for (get, name) in cases {
            let refused = invalid(get.into_request());
            assert!(matches!(refused, InvalidRequest::Value { option, .. } if option == name), "{refused:?}");
        }
    }

    #[test]
    fn owned_keys_are_not_copied() {
        let key = String::from("a key of some length");
        let before = key.as_ptr();
        assert_eq!(wire(Get::new(key).prefix().limit(1)).key.as_ptr(), before);
    }
}
