//! What calls are passed to: a cluster, or a proxy in front of one.

use std::time::Instant;

use bytes::Bytes;

use crate::model::{Backup, CallId, CallStart, Cluster, Output, Proxy};

/// A cluster, or a proxy in front of one.
#[derive(Debug)]
pub(super) enum Backend {
    Cluster(Box<Cluster>),
    Proxy(Box<Proxy>),
}

impl Backend {
    pub(super) fn is_proxy(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    pub(super) fn cluster(&self) -> &Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Proxy(proxy) => proxy.cluster(),
        }
    }

    pub(super) fn cluster_mut(&mut self) -> &mut Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Proxy(proxy) => proxy.cluster_mut(),
        }
    }

    /// Whether somebody listens there. A proxy has one place, and is always up.
    pub(super) fn listens(&self, member: usize) -> bool {
        match self {
            Self::Cluster(cluster) => cluster.is_up(member),
            Self::Proxy(_) => true,
        }
    }

    pub(super) fn open(&mut self, now: Instant, start: CallStart<'_>) {
        match self {
            Self::Cluster(cluster) => cluster.open(now, start),
            Self::Proxy(proxy) => proxy.open(now, start),
        }
    }

    pub(super) fn message(&mut self, now: Instant, call: CallId, message: Bytes) {
        match self {
            Self::Cluster(cluster) => cluster.message(now, call, message),
            Self::Proxy(proxy) => proxy.message(now, call, message),
        }
    }

    pub(super) fn finish(&mut self, now: Instant, call: CallId) {
        match self {
            Self::Cluster(cluster) => cluster.finish(now, call),
            Self::Proxy(proxy) => proxy.finish(now, call),
        }
    }

    pub(super) fn cancel(&mut self, now: Instant, call: CallId) {
        match self {
            Self::Cluster(cluster) => cluster.cancel(now, call),
            Self::Proxy(proxy) => proxy.cancel(now, call),
        }
    }

    /// The client of a watch stream takes so many more responses. A proxy does not ask.
    pub(super) fn set_credit(&mut self, now: Instant, call: CallId, credit: usize) {
        if let Self::Cluster(cluster) = self {
            cluster.set_watch_credit(now, call, Some(credit));
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Cluster(cluster) => cluster.poll_output(),
            Self::Proxy(proxy) => proxy.poll_output(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Cluster(cluster) => cluster.poll_timeout(),
            Self::Proxy(proxy) => proxy.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Cluster(cluster) => cluster.handle_timeout(now),
            Self::Proxy(proxy) => proxy.handle_timeout(now),
        }
    }

    pub(super) fn kill(&mut self, now: Instant, member: usize) {
        match self {
            Self::Cluster(cluster) => cluster.kill(now, member),
            Self::Proxy(proxy) => proxy.kill(now, member),
        }
    }

    pub(super) fn start(&mut self, now: Instant, member: usize) {
        match self {
            Self::Cluster(cluster) => cluster.start(now, member),
            Self::Proxy(proxy) => proxy.start(now, member),
        }
    }

    pub(super) fn restore(&mut self, now: Instant, backup: &Backup, cluster_id: Option<u64>) {
        match self {
            Self::Cluster(cluster) => cluster.restore(now, backup, cluster_id),
            Self::Proxy(proxy) => proxy.restore(now, backup, cluster_id),
        }
    }
}
