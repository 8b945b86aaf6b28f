//! What clients talk to: the members of a cluster, or a grpc-proxy before them.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::{Backup, CallId, CallStart, Cluster, Output, Proxy, ProxyConfig};
use crate::rng::mix;

/// The cluster, as clients reach it.
#[derive(Debug)]
pub(crate) enum Front {
    /// Its members.
    Direct(Box<Cluster>),
    /// A proxy; which member a call names does not matter.
    Proxied(Box<Proxy>),
}

impl Front {
    /// A proxy of the cluster's own version.
    pub(crate) fn proxied(cluster: Cluster, now: Instant, seed: u64) -> Self {
        let (version, create_delay) = (cluster.config.version, Duration::from_millis(50));
        let config = ProxyConfig { version, create_delay, ..ProxyConfig::default() };
        Self::Proxied(Box::new(Proxy::new(cluster, config, now, mix(&[seed, 23]))))
    }

    pub(crate) fn is_proxied(&self) -> bool {
        matches!(self, Self::Proxied(_))
    }

    pub(crate) fn open(&mut self, now: Instant, start: CallStart<'_>) {
        match self {
            Self::Direct(cluster) => cluster.open(now, start),
            Self::Proxied(proxy) => proxy.open(now, start),
        }
    }

    pub(crate) fn message(&mut self, now: Instant, call: CallId, message: Bytes) {
        match self {
            Self::Direct(cluster) => cluster.message(now, call, message),
            Self::Proxied(proxy) => proxy.message(now, call, message),
        }
    }

    pub(crate) fn finish(&mut self, now: Instant, call: CallId) {
        match self {
            Self::Direct(cluster) => cluster.finish(now, call),
            Self::Proxied(proxy) => proxy.finish(now, call),
        }
    }

    pub(crate) fn cancel(&mut self, now: Instant, call: CallId) {
        match self {
            Self::Direct(cluster) => cluster.cancel(now, call),
            Self::Proxied(proxy) => proxy.cancel(now, call),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Direct(cluster) => cluster.poll_output(),
            Self::Proxied(proxy) => proxy.poll_output(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Direct(cluster) => cluster.poll_timeout(),
            Self::Proxied(proxy) => proxy.poll_timeout(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Direct(cluster) => cluster.handle_timeout(now),
            Self::Proxied(proxy) => proxy.handle_timeout(now),
        }
    }

    pub(crate) fn kill(&mut self, now: Instant, member: usize) {
        match self {
            Self::Direct(cluster) => cluster.kill(now, member),
            Self::Proxied(proxy) => proxy.kill(now, member),
        }
    }

    pub(crate) fn start(&mut self, now: Instant, member: usize) {
        match self {
            Self::Direct(cluster) => cluster.start(now, member),
            Self::Proxied(proxy) => proxy.start(now, member),
        }
    }

    pub(crate) fn restore(&mut self, now: Instant, backup: &Backup, cluster_id: Option<u64>) {
        match self {
            Self::Direct(cluster) => cluster.restore(now, backup, cluster_id),
            Self::Proxied(proxy) => proxy.restore(now, backup, cluster_id),
        }
    }

    /// Whether anybody answers there.
    pub(crate) fn is_up(&self, place: usize) -> bool {
        match self {
            Self::Direct(cluster) => cluster.is_up(place),
            Self::Proxied(_) => true,
        }
    }
}

/// What does not concern calls is the cluster's own affair.
impl Deref for Front {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self {
            Self::Direct(cluster) => cluster,
            Self::Proxied(proxy) => proxy.cluster(),
        }
    }
}

impl DerefMut for Front {
    fn deref_mut(&mut self) -> &mut Cluster {
        match self {
            Self::Direct(cluster) => cluster,
            Self::Proxied(proxy) => proxy.cluster_mut(),
        }
    }
}
