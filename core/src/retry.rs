//! Whether a failed call may have been applied, and what its operation does next (guarantee 1 of ARCHITECTURE.md): reads repeat,
//! writes repeat only when it is proved that they were not applied.

use etcdium_proto::RetryClass;

use crate::etcd_error::{Advice, Applied};
use crate::grpc::GrpcCode;
use crate::{EtcdError, ProtocolError, ResetCause};

/// How one call failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// No whole response. `answered`: some of it came, so the server acted, whatever the cause claims.
    Reset { cause: ResetCause, answered: bool },
    /// An error of etcd's table.
    Etcd(EtcdError, String),
    /// Another status.
    Status(GrpcCode, String),
    /// A response that breaks the protocol.
    Protocol(ProtocolError),
    /// A response above the size limit.
    TooLarge { size: u64, limit: u64 },
}

/// What an operation does after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// End with the failure.
    Fail,
    /// Call again after a back-off.
    Again,
    /// Call again on another endpoint, at once where there is one.
    Elsewhere,
}

/// The judgement on one failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) applied: Applied,
    pub(crate) next: Next,
}

/// Judges a failed call of the given class. A write that is idempotent is repeated like a read.
pub(crate) fn judge(class: RetryClass, idempotent: bool, failure: &Failure) -> Verdict {
    let (applied, wish) = match failure {
        Failure::Reset { cause, answered: false } if cause.is_unprocessed() => {
            (Applied::NotApplied, Next::Elsewhere)
        }
        Failure::Reset { .. } => (Applied::Unknown, Next::Elsewhere),
        Failure::Etcd(error, _) => {
            let next = match error.advice() {
                Advice::Final => Next::Fail,
                Advice::Retry => Next::Again,
                Advice::Elsewhere => Next::Elsewhere,
            };
            (error.applied(), next)
        }
        // Unlisted texts prove nothing. Unavailable comes from proxies and from servers that stop; DeadlineExceeded
        // and Cancelled from a server or proxy that gave up while the operation still has time.
        Failure::Status(GrpcCode::Unavailable, _) => (Applied::Unknown, Next::Elsewhere),
        Failure::Status(GrpcCode::DeadlineExceeded | GrpcCode::Canceled, _) => {
            (Applied::Unknown, Next::Again)
        }
        Failure::Status(..) | Failure::Protocol(_) | Failure::TooLarge { .. } => {
            (Applied::Unknown, Next::Fail)
        }
    };
    match class {
        RetryClass::Read => Verdict { applied: Applied::NotApplied, next: wish },
        RetryClass::Write if applied == Applied::NotApplied || idempotent => Verdict { applied, next: wish },
        RetryClass::Write => Verdict { applied, next: Next::Fail },
    }
}
