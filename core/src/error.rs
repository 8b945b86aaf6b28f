//! The one error of the client.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcdium_proto::Method;

use crate::etcd_error::Advice;
use crate::grpc::{GrpcCode, InvalidHead};
use crate::{Address, AddressError, Cause, EtcdError, FrameError, WatchError, WatchErrorKind};

/// Why an operation failed.
///
/// [`kind`](Self::kind) says what happened, [`outcome`](Self::outcome) whether a write can have been applied
/// nevertheless, [`is_retryable`](Self::is_retryable) whether the same call may succeed later, and
/// [`causes`](Self::causes) what was wrong with each endpoint. `Display` does not print the
/// [`source`](core::error::Error::source).
#[derive(Clone, PartialEq)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    message: Option<String>,
    method: Option<&'static Method>,
    endpoint: Option<Arc<Address>>,
    causes: Vec<EndpointCause>,
    source: Option<Error>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// etcd refused: one of the errors of its own table.
    Etcd(EtcdError),
    /// The server ended the call with a gRPC status that is not in etcd's table; its text is in
    /// [`Error::message`].
    Status(GrpcCode),
    /// The deadline passed. [`Error::causes`] names what each endpoint's trouble was; the source is the last failed
    /// attempt, if there was one.
    Timeout {
        /// The time-out that was set.
        after: Duration,
    },
    /// No endpoint could be used, or the connection broke under a call that must not be repeated.
    Unavailable,
    /// The client was closed, or the runtime that drove it is gone.
    Closed,
    /// The request was refused before anything was sent.
    InvalidRequest(InvalidRequest),
    /// The encoded request is larger than the limit; nothing was sent.
    RequestTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The response is larger than the limit.
    ResponseTooLarge {
        /// Its announced size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server broke the protocol.
    Protocol(ProtocolError),
    /// A watch ended: from a [`WatchError`].
    Watch(WatchErrorKind),
}

/// Whether a failed call can have changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It changed nothing: it can be repeated safely. Always so for reads.
    NotApplied,
    /// It may have been applied, now or later: look before repeating it.
    Unknown,
}

/// What is wrong with a request that was never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// Two options exclude each other.
    Conflict {
        /// The one.
        option: &'static str,
        /// The other.
        with: &'static str,
    },
    /// A value is out of its range.
    Value {
        /// What it was given for.
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Metadata that cannot be sent.
    Metadata {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An endpoint that cannot be read.
    Address(AddressError),
    /// The set of endpoints is empty.
    NoEndpoints,
    /// The endpoint asked for is not one of the configured ones.
    UnknownEndpoint,
    /// A message for a stream whose request has been finished.
    Finished,
}

/// How the server broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The response's head or trailers are no gRPC response's.
    Head(InvalidHead),
    /// The response's frames are wrong.
    Frame(FrameError),
    /// The response ended inside a message.
    Truncated,
    /// A response message before the response's head.
    MissingHead,
    /// A second message on a call that has one.
    ExtraMessage,
    /// A good status without the message.
    MissingMessage,
    /// The message could not be decoded.
    Message(String),
}

/// What was wrong with one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCause {
    /// The endpoint.
    pub endpoint: Arc<Address>,
    /// What was wrong with it last.
    pub cause: Cause,
}

impl Error {
    /// An error of this kind and outcome: what a layer on top of the core finds wrong, and what tests and fakes need.
    pub fn new(kind: ErrorKind, outcome: Outcome) -> Self {
        let inner = Inner {
            kind,
            outcome,
            message: None,
            method: None,
            endpoint: None,
            causes: Vec::new(),
            source: None,
        };
        Self { inner: Box::new(inner) }
    }

    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.inner.message = Some(message.into());
        self
    }

    pub(crate) fn with_method(mut self, method: &'static Method) -> Self {
        self.inner.method = Some(method);
        self
    }

    pub(crate) fn with_endpoint(mut self, endpoint: Arc<Address>) -> Self {
        self.inner.endpoint = Some(endpoint);
        self
    }

    pub(crate) fn with_causes(mut self, causes: Vec<EndpointCause>) -> Self {
        self.inner.causes = causes;
        self
    }

    pub(crate) fn with_source(mut self, source: Option<Self>) -> Self {
        self.inner.source = source;
        self
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// etcd's own error, when it is one.
    pub fn etcd(&self) -> Option<EtcdError> {
        match self.inner.kind {
            ErrorKind::Etcd(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the call can have been applied although it failed. For reads always [`Outcome::NotApplied`].
    pub fn outcome(&self) -> Outcome {
        self.inner.outcome
    }

    /// Whether the same call may succeed when it is made again: the trouble is with time, connections or the
    /// cluster's state, not with the request. Whether repeating is *safe* is for [`outcome`](Self::outcome) to say.
    pub fn is_retryable(&self) -> bool {
        match &self.inner.kind {
            ErrorKind::Etcd(error) => {
                matches!(error.code(), GrpcCode::Unavailable | GrpcCode::DeadlineExceeded)
                    || error.advice() != Advice::Final
            }
            ErrorKind::Status(code) => {
                matches!(code, GrpcCode::Unavailable | GrpcCode::DeadlineExceeded | GrpcCode::Aborted)
            }
            ErrorKind::Timeout { .. } | ErrorKind::Unavailable => true,
            _ => false,
        }
    }

    /// Whether the deadline passed: here, or first on the server, which is told of it.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::Timeout { .. }
                | ErrorKind::Status(GrpcCode::DeadlineExceeded)
                | ErrorKind::Etcd(EtcdError::DeadlineExceeded)
        )
    }

    /// The text the server sent with its status, unchanged.
    pub fn message(&self) -> Option<&str> {
        self.inner.message.as_deref()
    }

    /// The method called.
    pub fn method(&self) -> Option<&'static Method> {
        self.inner.method
    }

    /// The endpoint that failed the last attempt, as it was configured.
    pub fn endpoint(&self) -> Option<&str> {
        self.inner.endpoint.as_deref().map(Address::as_str)
    }

    /// What was wrong with the endpoints, those only that were in trouble.
    pub fn causes(&self) -> &[EndpointCause] {
        &self.inner.causes
    }
}

impl From<InvalidRequest> for Error {
    fn from(invalid: InvalidRequest) -> Self {
        Self::new(ErrorKind::InvalidRequest(invalid), Outcome::NotApplied)
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        InvalidRequest::Address(error).into()
    }
}

impl From<WatchError> for Error {
    /// What can be said by other kinds is said by them; the rest is [`ErrorKind::Watch`].
    fn from(error: WatchError) -> Self {
        match error.into_kind() {
            WatchErrorKind::Invalid(invalid) => invalid.into(),
            WatchErrorKind::TooLarge { size, limit } => ErrorKind::RequestTooLarge { size, limit }.into(),
            WatchErrorKind::Closed => ErrorKind::Closed.into(),
            kind => ErrorKind::Watch(kind).into(),
        }
    }
}

impl From<ErrorKind> for Error {
    /// An error of this kind with [`Outcome::NotApplied`], for tests and fakes.
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, Outcome::NotApplied)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, outcome, message, method, endpoint, causes, source } = &*self.inner;
        let mut fields = f.debug_struct("Error");
        fields.field("kind", kind).field("outcome", outcome);
        if let Some(message) = message {
            fields.field("message", message);
        }
        if let Some(method) = method {
            fields.field("method", &method.name());
        }
        if let Some(endpoint) = endpoint {
            fields.field("endpoint", endpoint);
        }
        if !causes.is_empty() {
            fields.field("causes", causes);
        }
        if let Some(source) = source {
            fields.field("source", source);
        }
        fields.finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = self.inner.method {
            write!(f, "{}: ", method.name())?;
        }
        match (&self.inner.kind, &self.inner.message) {
            (ErrorKind::Etcd(error), _) => error.fmt(f)?,
            (ErrorKind::Status(code), Some(message)) => write!(f, "{code}: {message}")?,
            (ErrorKind::Status(code), None) => code.fmt(f)?,
            (ErrorKind::Timeout { after }, _) => write!(f, "timed out after {after:?}")?,
            (ErrorKind::Unavailable, None) => f.write_str("no endpoint is available")?,
            (ErrorKind::Unavailable, Some(message)) => f.write_str(message)?,
            (ErrorKind::Closed, _) => f.write_str("the client is closed")?,
            (ErrorKind::InvalidRequest(invalid), _) => invalid.fmt(f)?,
            (ErrorKind::RequestTooLarge { size, limit }, _) => {
                write!(f, "trying to send a message of {size} bytes, larger than the limit of {limit}")?;
            }
            (ErrorKind::ResponseTooLarge { size, limit }, _) => {
                write!(f, "received a message of {size} bytes, larger than the limit of {limit}")?;
            }
            (ErrorKind::Protocol(error), _) => error.fmt(f)?,
            (ErrorKind::Watch(kind), _) => write!(f, "the watch ended: {kind}")?,
        }
        if let (Some(endpoint), true) = (self.endpoint(), self.inner.causes.is_empty()) {
            write!(f, " [{endpoint}]")?;
        }
        for (n, EndpointCause { endpoint, cause }) in self.inner.causes.iter().enumerate() {
            let lead = if n == 0 { ": " } else { "; " };
            write!(f, "{lead}{}: {cause}", endpoint.as_str())?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| source as _)
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { option, with } => write!(f, "{option} cannot be combined with {with}"),
            Self::Value { option, reason } => write!(f, "{option}: {reason}"),
            Self::Metadata { name, reason } => write!(f, "metadata {name:?}: {reason}"),
            Self::Address(error) => error.fmt(f),
            Self::NoEndpoints => f.write_str("no endpoints are configured"),
            Self::UnknownEndpoint => f.write_str("the endpoint asked for is not a configured one"),
            Self::Finished => f.write_str("the stream's request has been finished"),
        }
    }
}

impl core::error::Error for InvalidRequest {}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::Truncated => f.write_str("the response ended inside a message"),
            Self::MissingHead => f.write_str("the response's message came before its head"),
            Self::ExtraMessage => f.write_str("the response has more than one message"),
            Self::MissingMessage => f.write_str("the response ended well but has no message"),
            Self::Message(error) => write!(f, "the response cannot be decoded: {error}"),
        }
    }
}

impl core::error::Error for ProtocolError {}
