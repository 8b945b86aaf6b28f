//! Why an endpoint could not be used: said once per endpoint in the errors that need it.

use core::fmt;
use std::io;
use std::sync::Arc;

use crate::preface::WrongServer;

/// Why a connection could not be made or was lost, or why a call on it got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    kind: CauseKind,
    detail: Arc<str>,
}

/// The sort of a [`Cause`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseKind {
    /// The host name has no address.
    Resolve,
    /// The connection could not be opened, as the operating system says.
    Connect(io::ErrorKind),
    /// Opening the connection, up to the server's first SETTINGS frame, took longer than the dial time-out.
    DialTimeout,
    /// Something answered that is not an etcd client port, or not with these settings.
    WrongServer(WrongServer),
    /// The TLS handshake failed.
    Tls,
    /// Reading or writing failed on an open connection.
    Io(io::ErrorKind),
    /// The server closed the connection.
    ClosedByServer,
    /// The server did not answer an HTTP/2 ping in time.
    PingTimeout,
    /// The server closed the connection because of too many pings.
    TooManyPings,
    /// The server ended the connection with this HTTP/2 error code.
    GoAway(u32),
    /// The server broke HTTP/2; the connection was closed with this error code.
    Http2(u32),
    /// The server sent nothing for too long, a health probe included.
    Silent,
    /// A call was sent and no answer came before its deadline.
    NoAnswer,
    /// A connection was being made when the deadline came.
    StillConnecting,
    /// The endpoint was taken out of the configured set.
    Removed,
    /// The runtime that carried the connection is gone, or the client was closed.
    ShutDown,
}

impl Cause {
    /// A cause with its details, which may be empty.
    pub fn new(kind: CauseKind, detail: impl Into<Arc<str>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// The failure to open a connection that `error` tells of.
    pub fn connect(error: &io::Error) -> Self {
        Self::new(CauseKind::Connect(error.kind()), error.to_string())
    }

    /// The failure of an open connection that `error` tells of.
    pub fn io(error: &io::Error) -> Self {
        Self::new(CauseKind::Io(error.kind()), error.to_string())
    }

    /// Its sort.
    pub const fn kind(&self) -> &CauseKind {
        &self.kind
    }

    /// What the operating system or the server said, or nothing.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<CauseKind> for Cause {
    fn from(kind: CauseKind) -> Self {
        Self::new(kind, "")
    }
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve => f.write_str("the host name has no address"),
            Self::Connect(kind) => write!(f, "cannot connect: {kind}"),
            Self::DialTimeout => f.write_str("connecting took too long"),
            Self::WrongServer(wrong) => wrong.fmt(f),
            Self::Tls => f.write_str("the TLS handshake failed"),
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
            Self::ClosedByServer => f.write_str("the server closed the connection"),
            Self::PingTimeout => f.write_str("the server did not answer a ping"),
            Self::TooManyPings => f.write_str("the server got too many pings"),
            Self::GoAway(code) => write!(f, "the server ended the connection with HTTP/2 error {code}"),
            Self::Http2(code) => write!(f, "the server broke HTTP/2 (error {code})"),
            Self::Silent => f.write_str("the server fell silent"),
            Self::NoAnswer => f.write_str("no answer before the deadline"),
            Self::StillConnecting => f.write_str("still connecting at the deadline"),
            Self::Removed => f.write_str("the endpoint was removed"),
            Self::ShutDown => f.write_str("the client was shut down"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
