//! The conditions of a transaction.

use core::fmt;

use etcdium_core::{InvalidRequest, Key, LeaseId, Revision};
use etcdium_proto::etcdserverpb;
use etcdium_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use super::Value;
use super::selection::{Selection, selection_options};

/// A condition on a key, for [`Txn::when`](crate::Txn::when).
///
/// A key that does not exist has version 0, revisions 0 and no lease, and any comparison of its value is false. With
/// [`prefix`](Self::prefix), [`range`](Self::range) or [`from_key`](Self::from_key) the comparison has to hold for
/// every existing key of the range (since etcd 3.3); a range without keys is like one key that does not exist.
///
/// ```
/// use etcdium_client::Compare;
///
/// let unchanged = Compare::mod_revision("config").equal(42);
/// let absent = Compare::version("config").equal(0);
/// let is_v1 = Compare::value("config").equal("v1");
/// let none_under_app = Compare::create_revision("app/").equal(0).prefix();
/// ```
///
/// A plain value: what it was made from can change without changing it. The Go client's `Cmp`
/// (`client/v3/compare.go`).
#[derive(Clone, Debug)]
#[must_use = "a condition does nothing unless a transaction has it"]
pub struct Compare {
    keys: Selection,
    result: CompareResult,
    with: TargetUnion,
}

/// What of a key is compared; say with what, and a [`Compare`] results. `V` is the kind of value compared with.
#[must_use = "say what to compare with"]
pub struct Comparand<V> {
    key: Key,
    with: fn(V) -> TargetUnion,
}

impl Compare {
    /// Compares the value of a key, byte by byte.
    pub fn value(key: impl Into<Key>) -> Comparand<Value> {
        Comparand { key: key.into(), with: |value| TargetUnion::Value(value.into_bytes()) }
    }

    /// Compares the number of puts since the key's creation; 0 is that of a key that does not exist.
    pub fn version(key: impl Into<Key>) -> Comparand<i64> {
        Comparand { key: key.into(), with: TargetUnion::Version }
    }

    /// Compares the revision of the key's creation; 0 is that of a key that does not exist.
    pub fn create_revision(key: impl Into<Key>) -> Comparand<Revision> {
        Comparand { key: key.into(), with: |revision| TargetUnion::CreateRevision(revision.get()) }
    }

    /// Compares the revision of the key's last change; 0 is that of a key that does not exist.
    pub fn mod_revision(key: impl Into<Key>) -> Comparand<Revision> {
        Comparand { key: key.into(), with: |revision| TargetUnion::ModRevision(revision.get()) }
    }

    /// Compares the lease of a key as a number, with `None` for no lease, which is 0. Since etcd 3.3.
    pub fn lease(key: impl Into<Key>) -> Comparand<Option<LeaseId>> {
        Comparand { key: key.into(), with: |lease| TargetUnion::Lease(LeaseId::to_wire(lease)) }
    }

    selection_options!();

    pub(super) fn build(self) -> Result<etcdserverpb::Compare, InvalidRequest> {
        let target = match self.with {
            TargetUnion::Version(_) => CompareTarget::Version,
            TargetUnion::CreateRevision(_) => CompareTarget::Create,
            TargetUnion::ModRevision(_) => CompareTarget::Mod,
            TargetUnion::Value(_) => CompareTarget::Value,
            TargetUnion::Lease(_) => CompareTarget::Lease,
        };
        let (key, range_end) = self.keys.build()?.into_parts();
        Ok(etcdserverpb::Compare {
            result: self.result.into(),
            target: target.into(),
            key,
            range_end,
            target_union: Some(self.with),
        })
    }
}

impl<V> Comparand<V> {
    /// It must be equal.
    pub fn equal(self, value: impl Into<V>) -> Compare {
        self.is(CompareResult::Equal, value.into())
    }

    /// It must be different. Since etcd 3.1.
    pub fn not_equal(self, value: impl Into<V>) -> Compare {
        self.is(CompareResult::NotEqual, value.into())
    }

    /// It must be greater than the value given.
    pub fn greater(self, value: impl Into<V>) -> Compare {
        self.is(CompareResult::Greater, value.into())
    }

    /// It must be less than the value given.
    pub fn less(self, value: impl Into<V>) -> Compare {
        self.is(CompareResult::Less, value.into())
    }

    fn is(self, result: CompareResult, value: V) -> Compare {
        Compare { keys: Selection::single(self.key), result, with: (self.with)(value) }
    }
}

impl<V> Clone for Comparand<V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), with: self.with }
    }
}

impl<V> fmt::Debug for Comparand<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparand").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use etcdium_core::KeyRange;

    use super::*;

    fn wire(compare: Compare) -> etcdserverpb::Compare {
        compare.build().unwrap()
    }

    #[test]
    fn every_target_and_result() {
        use CompareResult::{Equal, Greater, Less, NotEqual};
        use CompareTarget as Target;
        let lease = LeaseId::new(-3).unwrap();
        let rev = Revision::new(8);
        let cases = [
            (Compare::value("k").equal("v"), Equal, Target::Value, TargetUnion::Value("v".into())),
            (Compare::value("k").less(vec![0]), Less, Target::Value, TargetUnion::Value(b"\0"[..].into())),
            (Compare::version("k").equal(0), Equal, Target::Version, TargetUnion::Version(0)),
            (Compare::version("k").not_equal(-1), NotEqual, Target::Version, TargetUnion::Version(-1)),
            (
                Compare::create_revision("k").greater(rev),
                Greater,
                Target::Create,
                TargetUnion::CreateRevision(8),
            ),
            (Compare::create_revision("k").less(9), Less, Target::Create, TargetUnion::CreateRevision(9)),
            (Compare::mod_revision("k").not_equal(rev), NotEqual, Target::Mod, TargetUnion::ModRevision(8)),
            (Compare::lease("k").equal(lease), Equal, Target::Lease, TargetUnion::Lease(-3)),
            (Compare::lease("k").greater(None), Greater, Target::Lease, TargetUnion::Lease(0)),
            (Compare::lease("k").less(Some(lease)), Less, Target::Lease, TargetUnion::Lease(-3)),
        ];
        for (compare, result, target, union) in cases {
            let expected = etcdserverpb::Compare {
                result: result.into(),
                target: target.into(),
                key: "k".into(),
                range_end: Bytes::new(),
                target_union: Some(union),
            };
            assert_eq!(wire(compare), expected);
        }
    }

    #[test]
    fn ranges() {
        let pair = |compare| {
            let message = wire(compare);
            KeyRange::range(message.key, message.range_end)
        };
        let compare = || Compare::version("k").equal(0);
        assert_eq!(pair(compare()), KeyRange::single("k"));
        assert_eq!(pair(compare().prefix()), KeyRange::prefix("k"));
        assert_eq!(pair(compare().range("m")), KeyRange::range("k", "m"));
        assert_eq!(pair(compare().from_key()), KeyRange::from_key("k"));
        assert_eq!(pair(Compare::version("").equal(0).prefix()), KeyRange::all());
        let conflict = InvalidRequest::Conflict { option: "range", with: "prefix" };
        assert_eq!(compare().prefix().range("m").build(), Err(conflict));
    }

    #[test]
    fn txn_018_conditions_are_values() {
        let mut key = vec![b'k'];
        let mut value = vec![b'v'];
        let mut end = vec![b'm'];
        let comparand = Compare::value(key.as_slice());
        let first = comparand.clone().equal(value.as_slice());
        let ranged = first.clone().range(end.as_slice());
        (key[0], value[0], end[0]) = (b'x', b'x', b'x');
        let second = comparand.not_equal("w").prefix();

        let first = wire(first);
        assert_eq!((&first.key[..], &first.range_end[..]), (&b"k"[..], &b""[..]));
        assert_eq!(first.target_union, Some(TargetUnion::Value("v".into())));
        assert_eq!(first.result(), CompareResult::Equal);
        assert_eq!(wire(ranged), etcdserverpb::Compare { range_end: "m".into(), ..first });
        assert_eq!(wire(second).key, "k");
    }

    #[test]
    fn existence() {
        use crate::util::{key_exists, key_missing};
        assert_eq!(wire(key_exists("k")), wire(Compare::version("k").greater(0)));
        assert_eq!(wire(key_missing("k")), wire(Compare::version("k").equal(0)));
    }
}
