//! What the core asks of a driver, in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::Method;
use http::HeaderMap;

use crate::metadata::CallHeaders;
use crate::{Address, CallKey, ConnectionKey, EndpointKey};

/// One thing to do, from [`Core::poll_transmit`](crate::Core::poll_transmit). The order is part of the meaning: of one
/// call there is an [`Open`](Self::Open), any number of [`Send`](Self::Send), at most one [`Finish`](Self::Finish) and
/// at most one [`Reset`](Self::Reset), and nothing after that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transmit {
    /// Make a connection and tell of it with [`EndpointInput`](crate::EndpointInput).
    Connect(Connect),
    /// Drop this connection or the attempt at it, and tell nothing more of it.
    Disconnect(ConnectionKey),
    /// Begin a call and send its first message.
    Open(Open),
    /// Send further messages of a call that was opened with [`Open::more`].
    Send {
        /// Which call.
        call: CallKey,
        /// One message or several, each with its gRPC prefix.
        message: Bytes,
    },
    /// End the request of a call that was opened with [`Open::more`]: nothing more follows. Its response goes on.
    Finish(CallKey),
    /// Forget this call: reset its stream if it is open, and tell nothing more of it.
    Reset(CallKey),
}

/// A connection to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connect {
    /// Names the connection from now on.
    pub connection: ConnectionKey,
    /// The endpoint it belongs to.
    pub endpoint: EndpointKey,
    /// Where it leads.
    pub address: Arc<Address>,
    /// How often to ping over HTTP/2 while a stream is open, and only then.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
}

/// A call to begin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Open {
    /// Names the call from now on.
    pub call: CallKey,
    /// The connection to send it on.
    pub connection: ConnectionKey,
    /// The gRPC method: its path is the request's.
    pub method: &'static Method,
    /// The first message of the request, with its gRPC prefix.
    pub message: Bytes,
    /// Whether the request stays open for [`Transmit::Send`] and [`Transmit::Finish`]; if not, it ends with its first
    /// message. The end of the response ends the request too, whether it was finished or not: whatever HTTP/2 needs for
    /// that is the driver's to do.
    pub more: bool,
    pub(crate) headers: CallHeaders,
}

impl Open {
    /// The request's header fields, pseudo-header fields excepted.
    pub fn headers(&self) -> HeaderMap {
        self.headers.to_map()
    }

    /// The time-out told to the server.
    pub fn timeout(&self) -> Option<Duration> {
        self.headers.timeout
    }

    /// Whether a member without a leader shall refuse the call.
    pub fn requires_leader(&self) -> bool {
        self.headers.require_leader
    }
}
