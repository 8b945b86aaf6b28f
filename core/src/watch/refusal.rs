//! Why a server cancels a watch, read from its words.

use crate::watch::WatchErrorKind;
use crate::{Error, ErrorKind, EtcdError, GrpcCode};

/// What a cancellation, or the end of a stream, means for a watch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// It passes: create the watch again, here or elsewhere.
    Passing,
    /// It does not: the watch ends.
    Final(WatchErrorKind),
}

/// Reads the reason of a `canceled` answer.
///
/// etcd sends bare texts of its own, and errors of its interceptors with the code before the text
/// (`watchServer.recvLoop`, etcdserver/api/v3rpc/watch.go).
pub(crate) fn of_reason(reason: &str) -> Refusal {
    // Said without a word: nothing speaks against trying again.
    if reason.is_empty() {
        return Refusal::Passing;
    }
    let (code, text) = split_code(reason).unwrap_or((GrpcCode::Unknown, reason));
    if text == "mvcc: duplicate watch ID provided on the WatchStream" {
        // The next id is another one.
        return Refusal::Passing;
    }
    match EtcdError::from_text(text) {
        Some(error) => of_etcd(error, text),
        None => of_code(code, text),
    }
}

/// Reads the error a stream ended with.
pub(crate) fn of_error(error: &Error) -> Refusal {
    let text = error.message().unwrap_or_default();
    match error.kind() {
        ErrorKind::Etcd(etcd) => of_etcd(*etcd, text),
        // Whatever ends a stream passes, but for a few codes.
        ErrorKind::Status(code @ (GrpcCode::PermissionDenied | GrpcCode::Unauthenticated)) => {
            of_code(*code, text)
        }
        ErrorKind::Status(code @ GrpcCode::Unimplemented) => {
            Refusal::Final(WatchErrorKind::Refused { code: *code, reason: text.to_owned() })
        }
        ErrorKind::ResponseTooLarge { .. } => Refusal::Final(WatchErrorKind::Refused {
            code: GrpcCode::ResourceExhausted,
            reason: error.to_string(),
        }),
        _ => Refusal::Passing,
    }
}

fn of_etcd(error: EtcdError, text: &str) -> Refusal {
    match (error, error.code()) {
        // The store of users changed while the request was on its way.
        (EtcdError::AuthOldRevision, _) => Refusal::Passing,
        (EtcdError::UserEmpty, _) | (_, GrpcCode::PermissionDenied | GrpcCode::Unauthenticated) => {
            Refusal::Final(WatchErrorKind::Unauthorized { reason: text.to_owned() })
        }
        (_, code @ (GrpcCode::InvalidArgument | GrpcCode::OutOfRange | GrpcCode::Unimplemented)) => {
            Refusal::Final(WatchErrorKind::Refused { code, reason: text.to_owned() })
        }
        _ => Refusal::Passing,
    }
}

fn of_code(code: GrpcCode, text: &str) -> Refusal {
    match code {
        GrpcCode::PermissionDenied | GrpcCode::Unauthenticated => {
            Refusal::Final(WatchErrorKind::Unauthorized { reason: text.to_owned() })
        }
        GrpcCode::Unavailable | GrpcCode::DeadlineExceeded | GrpcCode::Canceled | GrpcCode::Aborted => {
            Refusal::Passing
        }
        code => Refusal::Final(WatchErrorKind::Refused { code, reason: text.to_owned() }),
    }
}

/// Splits `rpc error: code = X desc = Y`, as Go's gRPC prints errors.
fn split_code(reason: &str) -> Option<(GrpcCode, &str)> {
    let (code, text) = reason.strip_prefix("rpc error: code = ")?.split_once(" desc = ")?;
    let code = (0..=16).map(GrpcCode::from_number).find(|known| known.to_string() == code);
    Some((code.unwrap_or(GrpcCode::Unknown), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn unauthorized(reason: &str) -> Refusal {
        Refusal::Final(WatchErrorKind::Unauthorized { reason: reason.to_owned() })
    }

    fn refused(code: GrpcCode, reason: &str) -> Refusal {
        Refusal::Final(WatchErrorKind::Refused { code, reason: reason.to_owned() })
    }

    /// WATCH-074 wants "required revision is a future revision" for a cancellation without a word; our rule is to create
    /// the watch again. WATCH-075: a reason is told.
    #[test]
    fn watch_074_075_reasons_are_read() {
        for passing in [
            "",
            "etcdserver: no leader",
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old",
            "rpc error: code = Unavailable desc = whatever",
            "mvcc: duplicate watch ID provided on the WatchStream",
        ] {
            assert_eq!(of_reason(passing), Refusal::Passing, "{passing:?}");
        }
        assert_eq!(
            of_reason("rpc error: code = PermissionDenied desc = etcdserver: permission denied"),
            unauthorized("etcdserver: permission denied")
        );
        assert_eq!(of_reason("rpc error: code = Unauthenticated desc = who?"), unauthorized("who?"));
        assert_eq!(
            of_reason("mvcc: watcher range is empty"),
            refused(GrpcCode::Unknown, "mvcc: watcher range is empty")
        );
        assert_eq!(
            of_reason("etcdserver: mvcc: required revision has been compacted"),
            refused(GrpcCode::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
        );
    }

    #[test]
    fn ends_of_streams_are_read() {
        let error = |kind| Error::new(kind, Outcome::NotApplied).with_message("text");
        for passing in [
            ErrorKind::Unavailable,
            ErrorKind::Etcd(EtcdError::NoLeader),
            ErrorKind::Status(GrpcCode::Canceled),
            ErrorKind::Status(GrpcCode::Unknown),
            ErrorKind::Status(GrpcCode::Internal),
        ] {
            assert_eq!(of_error(&error(passing.clone())), Refusal::Passing, "{passing:?}");
        }
        assert_eq!(of_error(&error(ErrorKind::Etcd(EtcdError::PermissionDenied))), unauthorized("text"));
        assert_eq!(
            of_error(&error(ErrorKind::Status(GrpcCode::Unimplemented))),
            refused(GrpcCode::Unimplemented, "text")
        );
        let large = error(ErrorKind::ResponseTooLarge { size: 2, limit: 1 });
        let Refusal::Final(WatchErrorKind::Refused { code, .. }) = of_error(&large) else { panic!() };
        assert_eq!(code, GrpcCode::ResourceExhausted);
    }
}
