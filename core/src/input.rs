//! What a driver tells the core.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::Cause;

/// News of one connection, for [`Core::handle_endpoint`](crate::Core::handle_endpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointInput {
    /// The connection is made and the server's first SETTINGS frame was seen (see [`Preface`](crate::Preface)).
    Connected,
    /// The attempt failed.
    ConnectFailed(Cause),
    /// The server sent something, whatever it was. Drivers give this at most once per turn; it is how the core knows
    /// that a server which answers slowly is alive.
    Received,
    /// The server asked for no new calls (GOAWAY); those it accepted go on.
    GoingAway,
    /// The connection is gone. Calls still open on it are lost with it; a driver that knows more about some of them
    /// (see [`ResetCause`]) tells so before.
    Closed(Cause),
}

/// News of one call, for [`Core::handle_call`](crate::Core::handle_call).
#[derive(Debug)]
#[non_exhaustive]
pub enum CallInput<'a> {
    /// The response's head.
    Head {
        /// The HTTP status.
        status: StatusCode,
        /// The response's header fields.
        headers: &'a HeaderMap,
        /// Whether the response ends with its head.
        end: bool,
    },
    /// A piece of the response body, of any size.
    Data(Bytes),
    /// The end of the response, with its trailers if it has any.
    End(Option<&'a HeaderMap>),
    /// The call ended without a response.
    Reset(ResetCause),
}

/// Why a call ended without a response, and so whether the server can have acted on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCause {
    /// The request never left: the connection gave it back.
    NotSent,
    /// The server refused the stream before acting on it (RST_STREAM with REFUSED_STREAM).
    Refused,
    /// The server's GOAWAY named a last stream below this one.
    GoAway,
    /// The server reset the stream with another HTTP/2 error code.
    Stream(u32),
    /// The connection broke under the call.
    Connection(Cause),
}

impl ResetCause {
    /// Whether it proves that the server did not act on the request.
    pub const fn is_unprocessed(&self) -> bool {
        matches!(self, Self::NotSent | Self::Refused | Self::GoAway)
    }
}
