//! Operations: what the application starts and redeems.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::{Method, Response, RetryClass};

use crate::backoff::Backoff;
use crate::decode::decode;
use crate::etcd_error::Applied;
use crate::key::LeaseKey;
use crate::metadata::Metadata;
use crate::{Address, CallKey, EndpointKey, Error, ErrorKind, OpKey, Outcome, ProtocolError};

/// A started operation whose response has type `T`: redeemed once with [`Core::take`](crate::Core::take) after
/// [`Event::OpDone`](crate::Event::OpDone), or given up with [`Core::cancel`](crate::Core::cancel). Dropping it does
/// neither: the core would keep the operation.
#[must_use = "an operation has to be taken or cancelled"]
pub struct Op<T> {
    key: OpKey,
    response: PhantomData<fn() -> T>,
}

impl<T> Op<T> {
    pub(crate) fn new(key: OpKey) -> Self {
        Self { key, response: PhantomData }
    }

    /// The operation's key, as events name it.
    pub fn key(&self) -> OpKey {
        self.key
    }
}

impl<T> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// A response as it came, to be decoded outside of whatever lock guards the core.
#[derive(Debug)]
pub struct Reply<T> {
    message: Bytes,
    method: Option<&'static Method>,
    class: RetryClass,
    endpoint: Option<Arc<Address>>,
    response: PhantomData<fn() -> T>,
}

impl<T: Response> Reply<T> {
    /// Decodes the response.
    ///
    /// # Errors
    /// [`ProtocolError::Message`] when it is no message of its type. The request was answered with success then, so
    /// a write's outcome is [`Outcome::Unknown`].
    pub fn decode(self) -> Result<T, Error> {
        decode(self.message).map_err(|error| {
            let outcome = match self.class {
                RetryClass::Read => Outcome::NotApplied,
                RetryClass::Write => Outcome::Unknown,
            };
            let mut failed =
                Error::new(ErrorKind::Protocol(ProtocolError::Message(error.to_string())), outcome);
            if let Some(method) = self.method {
                failed = failed.with_method(method);
            }
            match self.endpoint {
                Some(endpoint) => failed.with_endpoint(endpoint),
                None => failed,
            }
        })
    }
}

impl<T> Reply<T> {
    pub(crate) fn new(request: Option<&Request>, done: Answer) -> Self {
        Self {
            message: done.message,
            method: request.map(|request| request.method),
            class: request.map_or(RetryClass::Read, |request| request.class),
            endpoint: done.endpoint,
            response: PhantomData,
        }
    }

    /// The encoded response message.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// The endpoint that answered, as it was configured.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().map(Address::as_str)
    }
}

/// The request of an operation or a stream, kept for further attempts.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static Method,
    pub(crate) class: RetryClass,
    pub(crate) message: Bytes,
    pub(crate) require_leader: bool,
    /// It may be applied more than once.
    pub(crate) idempotent: bool,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// Where an operation stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waits for a connection or for its turn.
    Waiting,
    /// Waits until this time before its next attempt.
    Backoff(Instant),
    /// A call is open.
    Running(CallKey),
    /// Ended; not yet taken.
    Done(Result<Answer, Error>),
}

/// A good response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) message: Bytes,
    pub(crate) endpoint: Option<Arc<Address>>,
}

/// Who takes the result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpOwner {
    /// The application, by [`Core::take`](crate::Core::take).
    Application,
    /// The lease that it grants.
    Grant(LeaseKey),
    /// Nobody.
    Nobody,
}

/// An operation.
#[derive(Debug)]
pub(crate) struct OpState {
    pub(crate) owner: OpOwner,
    /// When its last call was opened.
    pub(crate) sent: Option<Instant>,
    /// When the first call was opened that may have been applied, if it is repeated nevertheless.
    pub(crate) doubt: Option<Instant>,
    /// `None`: the operation is done as soon as an endpoint is ready.
    pub(crate) request: Option<Request>,
    pub(crate) phase: Phase,
    pub(crate) deadline: Option<Instant>,
    pub(crate) timeout: Duration,
    /// The only endpoint allowed.
    pub(crate) pinned: Option<EndpointKey>,
    /// The endpoint of the last attempt.
    pub(crate) last: Option<EndpointKey>,
    /// Moves to other endpoints since the last back-off.
    pub(crate) hops: u32,
    pub(crate) backoff: Backoff,
    pub(crate) last_error: Option<Error>,
}

impl OpState {
    /// What may have become of the operation if it is ended now.
    pub(crate) fn outcome_if_ended(&self) -> Outcome {
        match (&self.request, &self.phase) {
            _ if self.doubt.is_some() => Outcome::Unknown,
            (Some(Request { class: RetryClass::Write, .. }), Phase::Running(_)) => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }

    /// Bytes of the response that was not yet taken.
    pub(crate) fn kept_bytes(&self) -> usize {
        if let Phase::Done(Ok(answer)) = &self.phase { answer.message.len() } else { 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }
}

impl From<Applied> for Outcome {
    fn from(applied: Applied) -> Self {
        match applied {
            Applied::NotApplied => Self::NotApplied,
            Applied::Unknown => Self::Unknown,
        }
    }
}
