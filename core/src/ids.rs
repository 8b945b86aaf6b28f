//! Wire identifiers and revisions as types of their own, so that one cannot be passed for another.

use std::fmt;
use std::num::NonZeroI64;

/// A revision of the key-value store: one counter per cluster that every applied write increases by one.
///
/// [`Revision::ZERO`] is never the revision of a write. It means "not known" in a response and "the latest" in a request.
/// A fresh cluster is at revision 1. Printed in decimal, as etcdctl does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

impl Revision {
    /// No revision: "not known" in a response, "the latest" in a request.
    pub const ZERO: Self = Self(0);

    /// Wraps a revision as it stands on the wire.
    pub const fn new(revision: i64) -> Self {
        Self(revision)
    }

    /// The number as it stands on the wire.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether this is [`Revision::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The revision after this one: where a watch starts that must not miss the next write. Saturates at `i64::MAX`.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<i64> for Revision {
    fn from(revision: i64) -> Self {
        Self(revision)
    }
}

impl From<Revision> for i64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

/// The identifier of a lease, never zero.
///
/// On the wire 0 means "no lease", which here is `None`: `Option<LeaseId>` takes eight bytes. Printed in hexadecimal with 16
/// digits, as etcdctl does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(NonZeroI64);

impl LeaseId {
    /// The lease of a wire field; `None` for 0, which means "no lease".
    pub const fn new(id: i64) -> Option<Self> {
        // `Option::map` is not const.
        match NonZeroI64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number as it stands on the wire.
    pub const fn get(self) -> i64 {
        self.0.get()
    }

    /// The wire field of an optional lease: 0 for `None`.
    pub const fn to_wire(id: Option<Self>) -> i64 {
        match id {
            Some(id) => id.get(),
            None => 0,
        }
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

impl From<NonZeroI64> for LeaseId {
    fn from(id: NonZeroI64) -> Self {
        Self(id)
    }
}

impl From<LeaseId> for NonZeroI64 {
    fn from(id: LeaseId) -> Self {
        id.0
    }
}

impl From<LeaseId> for i64 {
    fn from(id: LeaseId) -> Self {
        id.get()
    }
}

/// The identifier of one member (server) of a cluster. Printed in hexadecimal, as etcdctl does; 0 means "not known".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

/// The identifier of a cluster, the same on all its members. Printed in hexadecimal, as etcdctl does; 0 means "not known".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(u64);

macro_rules! unsigned_id {
    ($name:ident) => {
        impl $name {
            /// Wraps an identifier as it stands on the wire.
            pub const fn new(id: u64) -> Self {
                Self(id)
            }

            /// The number as it stands on the wire.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:x})"), self.0)
            }
        }

        impl From<u64> for $name {
            fn from(id: u64) -> Self {
                Self(id)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

unsigned_id!(MemberId);
unsigned_id!(ClusterId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_count_and_order() {
        assert_eq!(Revision::default(), Revision::ZERO);
        assert!(Revision::ZERO.is_zero());
        assert!(!Revision::new(1).is_zero());
        assert!(Revision::new(9) < Revision::new(10));
        assert_eq!(Revision::new(41).next(), Revision::new(42));
        assert_eq!(Revision::new(i64::MAX).next().get(), i64::MAX);
        assert_eq!(i64::from(Revision::from(7)), 7);
    }

    #[test]
    fn revision_prints_decimal_and_obeys_width() {
        assert_eq!(Revision::new(1234).to_string(), "1234");
        assert_eq!(format!("{:>6}|{:<6}|", Revision::new(12), Revision::new(12)), "    12|12    |");
    }

    #[test]
    fn no_lease_is_none_and_costs_nothing() {
        assert_eq!(LeaseId::new(0), None);
        assert_eq!(size_of::<Option<LeaseId>>(), 8);
        assert_eq!(LeaseId::to_wire(None), 0);
        let id = LeaseId::new(-5).expect("not zero");
        assert_eq!((id.get(), LeaseId::to_wire(Some(id)), i64::from(id)), (-5, -5, -5));
        assert_eq!(LeaseId::from(NonZeroI64::from(id)), id);
    }

    #[test]
    fn ids_print_as_etcdctl_does() {
        let lease = LeaseId::new(0x694d_7a8b_2c3d_4e5f).expect("not zero");
        assert_eq!(lease.to_string(), "694d7a8b2c3d4e5f");
        assert_eq!(LeaseId::new(0x1f).map(|id| id.to_string()).as_deref(), Some("000000000000001f"));
        assert_eq!(format!("{lease:?}"), "LeaseId(694d7a8b2c3d4e5f)");
        assert_eq!(MemberId::new(0x8e9e_05c5_2164_694d).to_string(), "8e9e05c52164694d");
        assert_eq!(format!("{:?}", ClusterId::new(0x00cd_f818)), "ClusterId(cdf818)");
        assert_eq!(u64::from(ClusterId::from(3)), ClusterId::new(3).get());
        assert_eq!(u64::from(MemberId::from(4)), MemberId::new(4).get());
    }
}
