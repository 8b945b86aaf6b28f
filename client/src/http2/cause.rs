//! What hyper's errors mean to the core.

use std::error::Error as StdError;

use etcdium_core::{Cause, CauseKind, ResetCause};
use h2::Reason;

/// HTTP/2's ENHANCE_YOUR_CALM, with which gRPC servers refuse a client that pings too often.
const ENHANCE_YOUR_CALM: u32 = 11;

use super::frames::GoAway;

/// The HTTP/2 error under an error of hyper.
fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// Why one call ended, when it ended for itself; `None` when the connection ended and its cause tells more.
///
/// A *remote* GOAWAY stands in a stream's error only when the stream lies above the GOAWAY's last one: h2 closes
/// exactly those with it (`Inner::recv_go_away`), and later requests before they have a stream. What the connection
/// loses later, it loses to an I/O error (`recv_eof`), or to an error of our side, which is a local GOAWAY.
pub(crate) fn reset_cause(error: &hyper::Error) -> Option<ResetCause> {
    let error = http2_error(error)?;
    let reason = error.reason()?;
    match (error.is_reset(), error.is_go_away()) {
        (true, _) if error.is_remote() && reason == Reason::REFUSED_STREAM => Some(ResetCause::Refused),
        (true, _) if error.is_remote() => Some(ResetCause::Stream(reason.into())),
        // The stream broke HTTP/2; the connection goes on.
        (true, _) => {
            let cause = Cause::new(CauseKind::Http2(reason.into()), error.to_string());
            Some(ResetCause::Connection(cause))
        }
        (_, true) if error.is_remote() => Some(ResetCause::GoAway),
        _ => None,
    }
}

/// Why a connection ended: what the server said of it with an error, what its owner saw, what hyper says that it did
/// itself, or that the server left in good order.
pub(crate) fn end_cause(
    goaway: Option<&GoAway>,
    failure: Option<Cause>,
    local: Option<&hyper::Error>,
) -> Cause {
    match goaway {
        Some(goaway) if goaway.code != 0 => goaway_cause(goaway),
        _ => failure
            .or_else(|| local.and_then(local_cause))
            .or_else(|| goaway.map(goaway_cause))
            .unwrap_or_else(|| CauseKind::ClosedByServer.into()),
    }
}

/// Why the server ended a connection with this GOAWAY.
fn goaway_cause(goaway: &GoAway) -> Cause {
    let kind = match goaway.code {
        ENHANCE_YOUR_CALM if goaway.debug.contains("too_many_pings") => CauseKind::TooManyPings,
        code => CauseKind::GoAway(code),
    };
    Cause::new(kind, goaway.debug.as_str())
}

/// Why hyper ended a connection by itself, if it did.
fn local_cause(error: &hyper::Error) -> Option<Cause> {
    if error.is_timeout() {
        return Some(CauseKind::PingTimeout.into());
    }
    let error = http2_error(error)?;
    match error.reason() {
        Some(reason) if !error.is_remote() => {
            Some(Cause::new(CauseKind::Http2(reason.into()), error.to_string()))
        }
        _ => None,
    }
}
