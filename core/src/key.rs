//! Local handles. Each names one thing inside one [`Core`](crate::Core); none is ever reused, so a late input that
//! names something gone is recognised and ignored.

use core::fmt;

macro_rules! keys {
    ($($(#[$doc:meta])* $vis:vis $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name {
            // Compared first: keys order by age.
            serial: u64,
            slot: u32,
        }

        #[allow(dead_code, unreachable_pub, reason = "keys of the core's own need less")]
        impl $name {
            pub(crate) const fn new(serial: u64, slot: u32) -> Self {
                Self { serial, slot }
            }

            /// A small index, unique among the live keys of one core and reused after death: for side tables of a
            /// driver, such as one waker per slot.
            pub const fn slot(self) -> usize {
                self.slot as usize
            }

            /// The number of keys of this kind the core made before this one.
            pub const fn serial(self) -> u64 {
                self.serial
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.serial)
            }
        }

        impl crate::slab::Key for $name {
            fn make(serial: u64, slot: u32) -> Self {
                Self::new(serial, slot)
            }
            fn slot(self) -> usize {
                self.slot as usize
            }
        }
    )*};
}

keys! {
    /// One operation of the application, from `start` to `take` or `cancel`. An operation may need several calls.
    pub OpKey, "op";
    /// One stream of the application, from `open` until its end was taken or it was cancelled.
    pub StreamKey, "stream";
    /// One watch of the application, from [`Core::watch`](crate::Core::watch) until its end was taken or it was dropped.
    pub WatchKey, "watch";
    /// The watches that share a stream, over all the streams they have one after another.
    pub(crate) HubKey, "hub";
    /// One handle of a lease that is kept alive, from [`Core::lease`](crate::Core::lease) or
    /// [`Core::keep_alive`](crate::Core::keep_alive) until [`Core::release`](crate::Core::release).
    pub KeeperKey, "keeper";
    /// One lease that is kept alive, for all its handles.
    pub(crate) LeaseKey, "lease";
    /// One gRPC call on one connection: an attempt of an operation, or a stream.
    pub CallKey, "call";
    /// One connection attempt and the connection that came of it.
    pub ConnectionKey, "conn";
    /// One endpoint of the configured set, whatever connections it has.
    pub EndpointKey, "endpoint";
}
