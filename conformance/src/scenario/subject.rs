//! What a case drives: a client on one of the runtimes, or the core on an event loop.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use etcdium_client::proto::UnaryRequest;
use etcdium_client::{Client, Endpoints, Error, Stats};
use etcdium_core::{CallOptions, Config};

use super::{EventLoop, Failure, Request, Runtime};

/// A boxed future that can move between threads.
pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The settings of a subject. Others are the client's defaults.
#[derive(Clone, Debug)]
pub struct Setup {
    endpoints: Vec<String>,
    timeout: Option<Duration>,
    max_request_size: Option<usize>,
}

impl Setup {
    /// For these endpoints.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Self { endpoints, timeout: None, max_request_size: None }
    }

    /// How long calls may take that do not say otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The largest request, in bytes.
    #[must_use]
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.max_request_size = Some(bytes);
        self
    }

    /// The core itself on an event loop.
    fn event_loop(&self) -> Result<Subject, Error> {
        let mut config = Config::new(self.endpoints.as_slice().addresses()?);
        if let Some(timeout) = self.timeout {
            config = config.timeout(Some(timeout));
        }
        if let Some(bytes) = self.max_request_size {
            config = config.max_request_size(bytes);
        }
        #[expect(
            clippy::expect_used,
            reason = "fails only when the process has no file descriptors or threads left"
        )]
        let event_loop = EventLoop::start(config).expect("cannot start an event loop");
        Ok(Subject::Loop(event_loop))
    }
}

impl Runtime {
    /// Makes a subject on this runtime, which has to be the one that runs. No connection is waited for.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn open(self, setup: &Setup) -> Result<Subject, Error> {
        let Some(builder) = self.builder() else { return setup.event_loop() };
        let mut builder = builder.endpoints(setup.endpoints.as_slice());
        if let Some(timeout) = setup.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(bytes) = setup.max_request_size {
            builder = builder.max_request_size(bytes);
        }
        builder.build().map(Subject::Client)
    }
}

/// Something that calls etcd.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The typed client on a runtime.
    Client(Client),
    /// The core on an event loop.
    Loop(EventLoop),
}

impl Subject {
    /// The typed client.
    ///
    /// # Errors
    /// The subject has none: the case must not be marked to run on it.
    pub fn client(&self) -> Result<&Client, Failure> {
        match self {
            Self::Client(client) => Ok(client),
            Self::Loop(_) => Err(Failure::new("the case uses the typed client, but is not marked so")),
        }
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        match self {
            Self::Client(client) => client.stats(),
            Self::Loop(event_loop) => event_loop.stats(),
        }
    }

    /// Closes it.
    pub fn close(&self) {
        match self {
            Self::Client(client) => client.close(),
            Self::Loop(event_loop) => event_loop.close(),
        }
    }

    /// Sends any unary message.
    pub fn call<R: UnaryRequest>(&self, request: R) -> Call<'_, R> {
        self.start(Ok(request))
    }

    /// Sends a detached request builder.
    pub fn send<Q: Request>(&self, request: Q) -> Sending<'_, Q> {
        Sending { call: self.start(request.message()) }
    }

    fn start<R: UnaryRequest>(&self, request: Result<R, Error>) -> Call<'_, R> {
        Call { subject: self, request, timeout: None, endpoint: None }
    }
}

/// A call of a unary message. Awaiting it makes the call.
#[derive(Debug)]
#[must_use = "a call is made when it is awaited"]
pub struct Call<'a, R> {
    subject: &'a Subject,
    request: Result<R, Error>,
    timeout: Option<Duration>,
    endpoint: Option<String>,
}

impl<R> Call<'_, R> {
    /// How long it may take. Default: the subject's time-out.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks this endpoint alone.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }
}

impl<'a, R: UnaryRequest> IntoFuture for Call<'a, R> {
    type Output = Result<R::Response, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.subject {
                Subject::Client(client) => {
                    let mut call = client.rpc(self.request?);
                    if let Some(timeout) = self.timeout {
                        call = call.timeout(timeout);
                    }
                    if let Some(endpoint) = self.endpoint {
                        call = call.endpoint(endpoint);
                    }
                    call.await
                }
                Subject::Loop(event_loop) => {
                    let mut options = CallOptions::new();
                    if let Some(timeout) = self.timeout {
                        options = options.timeout(Some(timeout));
                    }
                    event_loop.call(self.request?, self.endpoint.as_deref(), options).await
                }
            }
        })
    }
}

/// A call by a detached request builder. Awaiting it makes the call.
#[must_use = "a call is made when it is awaited"]
pub struct Sending<'a, Q: Request> {
    call: Call<'a, Q::Message>,
}

impl<Q: Request> Sending<'_, Q> {
    /// How long it may take. Default: the subject's time-out.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call = self.call.timeout(timeout);
        self
    }

    /// Asks this endpoint alone.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.call = self.call.endpoint(endpoint);
        self
    }
}

impl<'a, Q: Request> IntoFuture for Sending<'a, Q> {
    type Output = Result<Q::Response, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.call.await?.try_into() })
    }
}

impl<Q: Request> fmt::Debug for Sending<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("call", &self.call).finish()
    }
}
