//! What the core asks of a driver, in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::Method;
use http::HeaderMap;

use crate::metadata::CallHeaders;
use crate::{Address, CallKey, ConnectionKey, EndpointKey};

/// One thing to do, from [`Core::poll_transmit`](crate::Core::poll_transmit). The order is part of the meaning: a
/// [`Reset`](Self::Reset) follows the [`Open`](Self::Open) of its call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transmit {
    /// Make a connection and tell of it with [`EndpointInput`](crate::EndpointInput).
    Connect(Connect),
    /// Drop this connection or the attempt at it, and tell nothing more of it.
    Disconnect(ConnectionKey),
    /// Send a request.
    Open(Open),
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

/// A request to send: the only message of its call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Open {
    /// Names the call from now on.
    pub call: CallKey,
    /// The connection to send it on.
    pub connection: ConnectionKey,
    /// The gRPC method: its path is the request's.
    pub method: &'static Method,
    /// The request body: one message with its gRPC prefix.
    pub message: Bytes,
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
