//! What is known about a remote procedure before it is called.

use std::fmt;

/// How many messages flow each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// One request, any number of responses.
    ServerStream,
    /// Any number of both.
    Bidi,
}

/// Whether a call may be sent a second time.
///
/// A call is a [`Write`](Self::Write) unless repeating it leaves no trace in the cluster. So granting and
/// revoking leases, moving the leader and changing alarms are writes although the Go client repeats them: a
/// second grant makes a second lease, a second revocation reports an error for a success, a second move
/// undoes what happened in between. Signing in is a [`Read`](Self::Read): it issues a token and applies
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Changes nothing; may be repeated freely.
    Read,
    /// May change something; may be repeated only when the first attempt was provably not applied.
    Write,
}

/// A minor version of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A remote procedure. All there are stand in [`METHODS`](crate::METHODS).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Method {
    pub(crate) path: &'static str,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: MethodKind,
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
    pub(crate) retry: RetryClass,
    pub(crate) needs_leader: bool,
    pub(crate) since: Version,
}

impl Method {
    /// The HTTP/2 path, such as `/etcdserverpb.KV/Range`. Unique.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Full protobuf name of the service, such as `etcdserverpb.KV`.
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Name within the service, such as `Range`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many messages flow each way.
    pub const fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Full protobuf name of the request message, such as `etcdserverpb.RangeRequest`.
    pub const fn request(&self) -> &'static str {
        self.request
    }

    /// Full protobuf name of the response message, such as `etcdserverpb.RangeResponse`.
    pub const fn response(&self) -> &'static str {
        self.response
    }

    /// Whether a call may be sent a second time. Where the content of the request decides, this is the
    /// stricter class; [`UnaryRequest::retry_class`](crate::UnaryRequest::retry_class) knows the particular
    /// one.
    pub const fn retry(&self) -> RetryClass {
        self.retry
    }

    /// Whether the answering member needs a leader to give a right answer. Where the content of the request
    /// decides, this is what holds for the request with all fields but the key left at their defaults;
    /// [`UnaryRequest::needs_leader`](crate::UnaryRequest::needs_leader) knows the particular request.
    pub const fn needs_leader(&self) -> bool {
        self.needs_leader
    }

    /// First minor version of etcd that serves it; older ones answer `Unimplemented`.
    pub const fn since(&self) -> Version {
        self.since
    }
}
