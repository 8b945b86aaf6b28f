//! A handle of a lease in the core, from its beginning to its release.

use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{Core, Error, KeeperKey, Kept, LeaseLost, LeaseState, OnDrop};

use crate::Runtime;
use crate::client::Handle;

/// A handle of a lease that is kept alive. It is released when it is dropped.
pub(super) struct Held {
    handle: Arc<Handle>,
    key: KeeperKey,
    pub(super) on_drop: OnDrop,
}

/// What was seen of a state: two of equal sight are the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Alive(Instant),
    AtRisk(Instant),
    Lost,
}

impl Sight {
    fn of(state: &LeaseState) -> Self {
        match state {
            LeaseState::Alive { until } => Self::Alive(*until),
            LeaseState::AtRisk { until, .. } => Self::AtRisk(*until),
            _ => Self::Lost,
        }
    }
}

impl Held {
    /// Has the core begin to keep a lease alive.
    pub(super) fn start(
        handle: Arc<Handle>,
        on_drop: OnDrop,
        start: impl FnOnce(&mut Core, Instant) -> KeeperKey,
    ) -> Self {
        let key = handle.shared().act(|state, now| start(&mut state.core, now));
        Self { handle, key, on_drop }
    }

    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// How it began.
    pub(super) fn poll_started(&self, cx: &Context<'_>) -> Poll<Result<Kept, Error>> {
        self.handle.shared().act(|state, _| match state.core.started(self.key) {
            Some(result) => Poll::Ready(result),
            None => {
                state.wait_for_keeper(self.key, cx.waker());
                Poll::Pending
            }
        })
    }

    pub(super) fn state(&self) -> LeaseState {
        let shared = self.handle.shared();
        shown(shared.act(|state, now| look(&state.core, self.key, now)), &*shared.runtime)
    }

    /// The state, once it is another than was seen.
    pub(super) fn poll_changed(&self, cx: &Context<'_>, seen: Option<Sight>) -> Poll<(Sight, LeaseState)> {
        let shared = self.handle.shared();
        let known = shared.act(|state, now| {
            let known = look(&state.core, self.key, now);
            let news = seen != Some(Sight::of(&known));
            if !news {
                state.wait_for_keeper(self.key, cx.waker());
            }
            news.then_some(known)
        });
        match known {
            Some(known) => Poll::Ready((Sight::of(&known), shown(known, &*shared.runtime))),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll_lost(&self, cx: &Context<'_>) -> Poll<LeaseLost> {
        self.handle.shared().act(|state, now| match look(&state.core, self.key, now) {
            LeaseState::Lost { reason } => Poll::Ready(reason),
            _ => {
                state.wait_for_keeper(self.key, cx.waker());
                Poll::Pending
            }
        })
    }
}

/// What is known of a lease that began to be kept.
fn look(core: &Core, key: KeeperKey, now: Instant) -> LeaseState {
    core.keeper_state(key, now).unwrap_or(LeaseState::Lost { reason: LeaseLost::Closed })
}

/// A state with the times of std's clock, which is what its reader compares them with.
fn shown(state: LeaseState, runtime: &dyn Runtime) -> LeaseState {
    match state {
        LeaseState::Alive { until } => LeaseState::Alive { until: runtime.to_std(until) },
        LeaseState::AtRisk { until, cause } => LeaseState::AtRisk { until: runtime.to_std(until), cause },
        lost => lost,
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.handle.shared().act(|state, now| {
            state.forget_keeper(self.key);
            state.core.release(now, self.key, self.on_drop);
        });
    }
}
