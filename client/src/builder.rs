//! [`ClientBuilder`]: the settings of a client, and the two ways to make one.

use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use etcdium_core::{Address, BackoffConfig, Config, Core, Error, InvalidRequest, Metadata};

use crate::driver::Driver;
use crate::shared::Shared;
use crate::{Client, Endpoints, Runtime};

/// Sets up a [`Client`]. From [`Client::builder`] or an adapter's `builder`.
///
/// | setting | default |
/// |---|---|
/// | [`timeout`](Self::timeout) of calls | 10 s |
/// | [`dial_timeout`](Self::dial_timeout) | 5 s |
/// | [`max_request_size`](Self::max_request_size) | 2 MiB |
/// | [`max_response_size`](Self::max_response_size) | unlimited |
/// | [`max_in_flight`](Self::max_in_flight) calls | 16,384 |
/// | [`reconnect_backoff`](Self::reconnect_backoff) | 50 ms to 3 s, full jitter |
/// | [`retry_backoff`](Self::retry_backoff) | 25 ms to 1 s, full jitter |
/// | [`silence`](Self::silence) before a health probe, and the probe's time-out | 1 s, 2 s |
/// | HTTP/2 [`ping`](Self::ping) interval and time-out | 10 s, 5 s |
/// | [`metadata`](Self::metadata) | none |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` or `build`"]
pub struct ClientBuilder {
    runtime: Arc<dyn Runtime>,
    endpoints: Result<Vec<Address>, Error>,
    config: Config,
    seed: Option<u64>,
}

impl ClientBuilder {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, endpoints: Ok(Vec::new()), config: Config::new([]), seed: None }
    }

    /// The endpoints, replacing earlier ones. What is wrong with them is said by [`connect`](Self::connect) or
    /// [`build`](Self::build).
    pub fn endpoints(mut self, endpoints: impl Endpoints) -> Self {
        self.endpoints = endpoints.addresses();
        self
    }

    /// How long a call may take, waiting for a connection and retries included, unless it sets its own time-out.
    /// Default 10 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.timeout(Some(timeout)))
    }

    /// Lets calls take as long as they take, unless they set a time-out.
    pub fn no_timeout(self) -> Self {
        self.configure(|config| config.timeout(None))
    }

    /// How long one connection attempt may take, up to the server's first SETTINGS frame. Default 5 s.
    pub fn dial_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.dial_timeout(timeout))
    }

    /// The largest encoded request message, in bytes. Default 2 MiB, as the Go client's. etcd itself refuses requests
    /// above `--max-request-bytes`, 1.5 MiB by default.
    pub fn max_request_size(self, bytes: usize) -> Self {
        self.configure(|config| config.max_request_size(bytes))
    }

    /// The largest response message, in bytes. Default: no limit, as the Go client's 2 GiB in effect.
    pub fn max_response_size(self, bytes: usize) -> Self {
        self.configure(|config| config.max_response_size(bytes))
    }

    /// How many calls may be open at once; further ones wait their turn, in the order of their start, until their
    /// deadline. Default 16,384; at least 1.
    pub fn max_in_flight(self, calls: usize) -> Self {
        self.configure(|config| config.max_in_flight(calls))
    }

    /// Back-off between connection attempts to one endpoint. Default 50 ms doubling to 3 s, full jitter.
    pub fn reconnect_backoff(self, backoff: BackoffConfig) -> Self {
        self.configure(|config| config.reconnect_backoff(backoff))
    }

    /// Back-off between attempts of one call once no other endpoint is left to try at once. Default 25 ms doubling
    /// to 1 s, full jitter.
    pub fn retry_backoff(self, backoff: BackoffConfig) -> Self {
        self.configure(|config| config.retry_backoff(backoff))
    }

    /// A connection that delivered no byte for `silence` while calls waited on it is probed with
    /// `grpc.health.v1.Health/Check`; without any sign of life within `probe_timeout` its endpoint is down and its
    /// calls move on. Defaults 1 s and 2 s.
    pub fn silence(self, silence: Duration, probe_timeout: Duration) -> Self {
        self.configure(|config| config.silence(silence, probe_timeout))
    }

    /// HTTP/2 pings while a call is open: the interval, never below 5 s since etcd refuses faster ones, and how long
    /// an answer may take. Defaults 10 s and 5 s.
    pub fn ping(self, interval: Duration, timeout: Duration) -> Self {
        self.configure(|config| config.ping(interval, timeout))
    }

    /// Metadata sent with every call. Default none.
    pub fn metadata(self, metadata: Metadata) -> Self {
        self.configure(|config| config.metadata(metadata))
    }

    /// Fixes the seed of all jitter and of the first endpoint asked, for reproducible tests. Default: a random one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn configure(mut self, set: impl FnOnce(Config) -> Config) -> Self {
        self.config = set(self.config);
        self
    }

    /// Makes the client and waits until one endpoint is connected.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when every endpoint
    /// failed, [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when none was ready in time:
    /// [`Error::causes`] says what was wrong with each.
    ///
    /// # Cancel safety
    /// Dropping the future closes the client.
    pub async fn connect(self) -> Result<Client, Error> {
        let client = self.build()?;
        client.connected().await?;
        Ok(client)
    }

    /// Makes the client. It connects when the first call is made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): what is wrong with the endpoints, that there
    /// are none, or that the runtime cannot run the client's task here.
    pub fn build(self) -> Result<Client, Error> {
        let endpoints = self.endpoints?;
        if endpoints.is_empty() {
            return Err(InvalidRequest::NoEndpoints.into());
        }
        // A hasher's random keys are std's one source of randomness.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let core = Core::new(self.config.endpoints(endpoints), self.runtime.now(), seed);
        let shared = Arc::new(Shared::new(core, self.runtime));
        let client = Client::new(shared.clone());
        let task = Box::pin(Driver::new(shared.clone()));
        match shared.runtime.spawn(task) {
            Ok(()) => Ok(client),
            Err(error) => Err(InvalidRequest::Value { option: "runtime", reason: error.reason() }.into()),
        }
    }
}
