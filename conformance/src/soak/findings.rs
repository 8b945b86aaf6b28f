//! What went wrong, and what is counted, shared by all tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Findings that are kept; more are counted.
const KEPT: usize = 100;
/// Characters of a finding that are kept: values may be long.
const LENGTH: usize = 1_000;

/// Broken promises, in the order they were found. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    inner: Arc<Mutex<(Vec<String>, usize)>>,
    begin: Instant,
}

impl Findings {
    pub(super) fn new() -> Self {
        Self { inner: Arc::default(), begin: Instant::now() }
    }

    /// Notes one.
    pub(super) fn add(&self, what: impl Into<String>) {
        let at = self.seconds(Instant::now());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 += 1;
        if inner.0.len() < KEPT {
            let what: String = what.into().chars().take(LENGTH).collect();
            inner.0.push(format!("[{at:.3} s] {what}"));
        }
    }

    /// How long after the begin that was, in seconds.
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.begin).as_secs_f64()
    }

    /// Those that were kept, and how many there are.
    pub(super) fn take(&self) -> (Vec<String>, usize) {
        std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A number that many add to. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    inner: Arc<AtomicU64>,
}

impl Counter {
    /// One more.
    pub(super) fn bump(&self) {
        self.add(1);
    }

    /// So many more.
    pub(super) fn add(&self, more: u64) {
        self.inner.fetch_add(more, Ordering::Relaxed);
    }

    /// The number.
    pub(super) fn get(&self) -> u64 {
        self.inner.load(Ordering::Relaxed)
    }
}

/// What is counted during a soak. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) writes: Counter,
    pub(super) writes_unknown: Counter,
    pub(super) writes_not_applied: Counter,
    pub(super) events: Counter,
    pub(super) revisions: Counter,
    pub(super) lives: Counter,
    pub(super) cancelled: Counter,
    pub(super) dropped: Counter,
    pub(super) disconnected: Counter,
    pub(super) resumed: Counter,
    pub(super) parked: Counter,
    pub(super) progress: Counter,
    pub(super) progress_late: Counter,
    /// Revisions without the pairs before.
    pub(super) bare: Counter,
    pub(super) granted: Counter,
    pub(super) grants_failed: Counter,
    pub(super) renewed: Counter,
    pub(super) at_risk: Counter,
    pub(super) expired: Counter,
    pub(super) not_found: Counter,
    pub(super) revoked: Counter,
    pub(super) left: Counter,
    pub(super) looked_up: Counter,
    pub(super) betrayed: Counter,
    /// Leases that etcd revoked although they were renewed, or renewed although they were revoked: see
    /// [`Thaws`](crate::chaos::Thaws).
    pub(super) let_go: Counter,
}
