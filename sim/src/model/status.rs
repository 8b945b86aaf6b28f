//! How a call ends: the gRPC codes and texts that etcd sends (api/v3rpc/rpctypes/error.go).

use std::borrow::Cow;
use std::fmt;

/// What goes into `grpc-status` and `grpc-message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Number of the gRPC code; 0 is OK.
    pub code: u32,
    /// Text, empty for OK.
    pub message: Cow<'static, str>,
}

impl Status {
    /// The call succeeded.
    pub const OK: Self = Self::fixed(0, "");

    const fn fixed(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    pub(crate) fn unimplemented(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 12, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 13, message: message.into() }
    }

    pub(crate) fn resource_exhausted(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 8, message: message.into() }
    }

    /// The code is 0.
    pub fn is_ok(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code, self.message)
    }
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $message:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) const $name: Status = Status::fixed($code, $message);
    )*};
}

statuses! {
    EMPTY_KEY = 3 "etcdserver: key is not provided";
    PERMISSION_DENIED = 7 "etcdserver: permission denied";
    KEY_NOT_FOUND = 3 "etcdserver: key not found";
    VALUE_PROVIDED = 3 "etcdserver: value is provided";
    LEASE_PROVIDED = 3 "etcdserver: lease is provided";
    TOO_MANY_OPS = 3 "etcdserver: too many operations in txn request";
    DUPLICATE_KEY = 3 "etcdserver: duplicate key given in txn request";
    INVALID_SORT_OPTION = 3 "etcdserver: invalid sort option";
    REQUEST_TOO_LARGE = 3 "etcdserver: request is too large";
    COMPACTED = 11 "etcdserver: mvcc: required revision has been compacted";
    FUTURE_REVISION = 11 "etcdserver: mvcc: required revision is a future revision";
    NO_SPACE = 8 "etcdserver: mvcc: database space exceeded";
    CORRUPT = 15 "etcdserver: corrupt cluster";
    /// Sent as an unknown error, by a slip of etcd's own.
    TOO_MANY_REQUESTS = 2 "etcdserver: too many requests";
    LEASE_NOT_FOUND = 5 "etcdserver: requested lease not found";
    LEASE_EXISTS = 9 "etcdserver: lease already exists";
    LEASE_TTL_TOO_LARGE = 11 "etcdserver: too large lease TTL";
    NO_LEADER = 14 "etcdserver: no leader";
    NOT_LEADER = 9 "etcdserver: not leader";
    LEADER_CHANGED = 14 "etcdserver: leader changed";
    NOT_CAPABLE = 9 "etcdserver: not capable";
    TIMEOUT = 14 "etcdserver: request timed out";
    TIMEOUT_LEADER_FAILED = 14 "etcdserver: request timed out, possibly due to previous leader failure";
    TIMEOUT_CONNECTION_LOST = 14 "etcdserver: request timed out, possibly due to connection lost";
    TIMEOUT_APPLIED_INDEX =
        14 "etcdserver: request timed out, waiting for the applied index took too long";
    NOT_SUPPORTED_FOR_LEARNER = 9 "etcdserver: rpc not supported for learner";
    BAD_LEADER_TRANSFEREE = 9 "etcdserver: bad leader transferee";
    DEADLINE_EXCEEDED = 4 "context deadline exceeded";
}
