//! Streams: calls with any number of responses, and of requests if both sides may talk.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::RetryClass;

use crate::call::Inbox;
use crate::key::HubKey;
use crate::op::Request;
use crate::{Address, CallKey, EndpointKey, Error, Outcome, StreamKey};

/// A stream of the method `S`, from [`Core::open`](crate::Core::open). It ends when its end is taken with
/// [`Core::next`](crate::Core::next) or when it is given up with [`Core::cancel_stream`](crate::Core::cancel_stream).
/// Dropping it does neither: the core would keep the stream.
#[must_use = "a stream has to be read to its end or cancelled"]
pub struct Stream<S> {
    key: StreamKey,
    method: PhantomData<fn() -> S>,
}

impl<S> Stream<S> {
    pub(crate) fn new(key: StreamKey) -> Self {
        Self { key, method: PhantomData }
    }

    /// The stream's key, as events name it.
    pub fn key(&self) -> StreamKey {
        self.key
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// What a stream gives, from [`Core::next`](crate::Core::next).
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem<T> {
    /// The next message.
    Message(T),
    /// The end, after every message: `Ok` when the server ended the stream with a good status. Nothing follows.
    End(Result<(), Error>),
}

/// Who takes what a stream receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The application, by [`Core::next`](crate::Core::next).
    Application,
    /// A hub of watches.
    Watch(HubKey),
    /// The leases that are kept alive.
    Leases,
}

/// Where a stream stands.
#[derive(Debug)]
pub(crate) enum StreamPhase {
    /// Waits for a connection.
    Waiting,
    /// Its call is open.
    Running(CallKey),
    /// Over; the end was not yet taken.
    Over(Result<(), Error>),
}

/// A stream.
#[derive(Debug)]
pub(crate) struct StreamState {
    /// Its message is the first one, until it is sent.
    pub(crate) request: Request,
    pub(crate) reader: Reader,
    pub(crate) phase: StreamPhase,
    /// Further messages, kept while it waits.
    pub(crate) queued: Vec<Bytes>,
    /// Nothing more will be sent.
    pub(crate) finished: bool,
    /// How long it may wait.
    pub(crate) timeout: Option<Duration>,
    /// The only endpoint allowed.
    pub(crate) pinned: Option<EndpointKey>,
    /// Who serves it, once it is open.
    pub(crate) endpoint: Option<Arc<Address>>,
    pub(crate) inbox: Inbox,
    /// The application was told that there is something to take.
    pub(crate) hinted: bool,
}

impl StreamState {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, StreamPhase::Over(_))
    }

    /// What may have become of its messages if it is ended now.
    pub(crate) fn outcome_if_ended(&self) -> Outcome {
        match (self.request.class, &self.phase) {
            (RetryClass::Write, StreamPhase::Running(_)) => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }

    /// An error with what is known of the stream.
    pub(crate) fn describe(&self, error: Error) -> Error {
        let error = error.with_method(self.request.method);
        match &self.endpoint {
            Some(endpoint) => error.with_endpoint(endpoint.clone()),
            None => error,
        }
    }
}
