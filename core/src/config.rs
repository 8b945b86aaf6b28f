//! Settings of a core and of one call. The defaults stand on the setters.

use std::sync::Arc;
use std::time::Duration;

use crate::metadata::Metadata;
use crate::{Address, BackoffConfig, EndpointKey};

/// Settings of a [`Core`](crate::Core), fixed for its life.
///
/// | setting | default |
/// |---|---|
/// | request time-out | 10 s |
/// | dial time-out | 5 s |
/// | largest request | 2 MiB |
/// | largest response | unlimited |
/// | calls in flight | 16,384 |
/// | reconnect back-off | 50 ms to 3 s, full jitter |
/// | retry back-off | 25 ms to 1 s, full jitter |
/// | silence before a health probe | 1 s |
/// | probe time-out | 2 s |
/// | HTTP/2 ping interval and time-out | 10 s, 5 s |
/// | `client-api-version` | 3.7 |
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) endpoints: Vec<Address>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dial_timeout: Duration,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) reconnect: BackoffConfig,
    pub(crate) retry: BackoffConfig,
    pub(crate) silence: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) metadata: Metadata,
    #[cfg(etcdium_planted)]
    pub(crate) planted: Option<crate::Planted>,
}

impl Config {
    /// The version sent as `client-api-version`, which etcd counts in a metric.
    pub const API_VERSION: &'static str = "3.7";

    /// The defaults, for these endpoints.
    pub fn new(endpoints: impl IntoIterator<Item = Address>) -> Self {
        Self {
            endpoints: endpoints.into_iter().collect(),
            timeout: Some(Duration::from_secs(10)),
            dial_timeout: Duration::from_secs(5),
            max_request: 2 * 1024 * 1024,
            max_response: usize::MAX,
            max_in_flight: 16_384,
            reconnect: BackoffConfig::default(),
            retry: BackoffConfig { base: Duration::from_millis(25), cap: Duration::from_secs(1) },
            silence: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
            metadata: Metadata::default(),
            #[cfg(etcdium_planted)]
            planted: None,
        }
    }

    /// Replaces the endpoints.
    #[must_use]
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Address>) -> Self {
        self.endpoints = endpoints.into_iter().collect();
        self
    }

    /// How long a call may take, waiting for a connection and retries included; `None` waits for ever. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one connection attempt may take, up to the server's first SETTINGS frame. Default 5 s.
    #[must_use]
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    /// The largest encoded request message, in bytes. Default 2 MiB, as the Go client's. etcd itself refuses requests
    /// above `--max-request-bytes`, 1.5 MiB by default.
    #[must_use]
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.max_request = bytes;
        self
    }

    /// The largest response message, in bytes. Default: no limit, as the Go client's 2 GiB in effect.
    #[must_use]
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// How many calls may be open at once; further operations wait their turn inside the core, in the order of their
    /// start, until their deadline. Streams do not count. Default 16,384; at least 1.
    #[must_use]
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = calls.max(1);
        self
    }

    /// Back-off between connection attempts to one endpoint. Default 50 ms doubling to 3 s, full jitter.
    #[must_use]
    pub fn reconnect_backoff(mut self, backoff: BackoffConfig) -> Self {
        self.reconnect = backoff;
        self
    }

    /// Back-off between attempts of one operation once no other endpoint is left to try at once. Default 25 ms
    /// doubling to 1 s, full jitter.
    #[must_use]
    pub fn retry_backoff(mut self, backoff: BackoffConfig) -> Self {
        self.retry = backoff;
        self
    }

    /// A connection that delivered no byte for `silence` while calls waited on it is probed with
    /// `grpc.health.v1.Health/Check`; without any sign of life within `probe_timeout` its endpoint is down. Defaults
    /// 1 s and 2 s.
    #[must_use]
    pub fn silence(mut self, silence: Duration, probe_timeout: Duration) -> Self {
        self.silence = silence;
        self.probe_timeout = probe_timeout;
        self
    }

    /// HTTP/2 pings while a stream is open: the interval, never below 5 s since etcd refuses faster ones, and how
    /// long an answer may take. Defaults 10 s and 5 s.
    #[must_use]
    pub fn ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval.max(Duration::from_secs(5));
        self.ping_timeout = timeout;
        self
    }

    /// Metadata sent with every call. Default none.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// The limit on open calls, for a driver that sizes its tables by it.
    pub const fn max_in_flight_limit(&self) -> usize {
        self.max_in_flight
    }
}

/// Settings of one operation; what is not set comes from the [`Config`].
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) endpoint: Option<EndpointKey>,
    pub(crate) require_leader: Option<bool>,
    pub(crate) idempotent: bool,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

impl CallOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the operation may take in all; `None` waits for ever. Default: the client's. Of a stream it limits
    /// the wait for a connection and nothing else, and its default is none.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks this endpoint and no other. Default: any.
    #[must_use]
    pub fn endpoint(mut self, endpoint: EndpointKey) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Whether a member without a leader shall refuse at once, so that the call moves to another member (`hasleader`
    /// metadata). Default: yes for linearizable reads and for writes, no for calls a member answers by itself.
    #[must_use]
    pub fn require_leader(mut self, require: bool) -> Self {
        self.require_leader = Some(require);
        self
    }

    /// Whether the request does no harm when it is applied more than once: then a write is repeated like a read, also
    /// when it may have been applied. What a repetition meets of an earlier attempt is the caller's to know: a grant of a
    /// lease under an id of one's own meets [`LeaseExist`](crate::EtcdError::LeaseExist), a revocation
    /// [`LeaseNotFound`](crate::EtcdError::LeaseNotFound). [`Error::outcome`](crate::Error::outcome) tells of all attempts
    /// together. Default no.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Metadata sent with this call besides the client's. Default none.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(Arc::new(metadata));
        self
    }
}
