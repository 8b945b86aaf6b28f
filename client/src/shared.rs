//! What the clones of a client, their calls and the driver share: the core behind one lock, and a bell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use etcdium_core::{Address, Core, Event, KeeperKey, OpKey, WatchKey};

use crate::Runtime;
use crate::driver::Bell;

/// Locks, whatever became of an earlier holder: nothing here is left half done by a panic that matters more than
/// going on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The core, those who wait for it, and the way to wake its driver.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) runtime: Arc<dyn Runtime>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    /// Who waits for which operation.
    ops: Waiters,
    /// Who waits for news of which watch.
    watches: Waiters,
    /// Who waits for news of which lease.
    keepers: Crowds,
    /// Nobody drives the core any more.
    abandoned: bool,
}

/// Who waits for what, by the slot of its key.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Option<Waker>>);

impl Waiters {
    /// Remembers whom to wake.
    pub(crate) fn wait(&mut self, slot: usize, waker: &Waker) {
        if self.0.len() <= slot {
            self.0.resize(slot + 1, None);
        }
        match &mut self.0[slot] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Forgets whom to wake.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.take(slot);
    }

    /// Whom to wake, once.
    fn take(&mut self, slot: usize) -> Option<Waker> {
        self.0.get_mut(slot).and_then(Option::take)
    }
}

/// Any number of those who wait for one thing, by the slot of its key.
#[derive(Debug, Default)]
struct Crowds(Vec<Vec<Waker>>);

impl Crowds {
    fn wait(&mut self, slot: usize, waker: &Waker) {
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, Vec::new);
        }
        let crowd = &mut self.0[slot];
        if !crowd.iter().any(|known| known.will_wake(waker)) {
            crowd.push(waker.clone());
        }
    }

    fn take(&mut self, slot: usize) -> Vec<Waker> {
        self.0.get_mut(slot).map(std::mem::take).unwrap_or_default()
    }
}

impl Shared {
    pub(crate) fn new(core: Core, runtime: Arc<dyn Runtime>) -> Self {
        let state = State {
            core,
            ops: Waiters::default(),
            watches: Waiters::default(),
            keepers: Crowds::default(),
            abandoned: false,
        };
        Self { state: Mutex::new(state), bell: Arc::default(), runtime }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Does something with the core under the lock, and has the driver do what the core wants done.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        // Read under the lock, so that the core sees time in order.
        let now = self.runtime.now();
        let due = state.core.poll_timeout();
        let result = act(&mut state, now);
        let sooner = state.core.poll_timeout().is_some_and(|at| due.is_none_or(|due| at < due));
        let rings = sooner || state.core.has_transmit();
        state.discard_outputs();
        drop(state);
        if rings {
            self.bell.ring(Bell::CALLER);
        }
        result
    }

    /// Closes the core. Idempotent.
    pub(crate) fn close(&self) {
        self.lock().core.close(self.runtime.now());
        self.bell.ring(Bell::CALLER);
    }

    /// Closes the core as soon as it has nothing left to do: nobody uses it any more.
    pub(crate) fn retire(&self) {
        self.lock().core.retire(self.runtime.now());
        self.bell.ring(Bell::CALLER);
    }

    /// Gives an operation up.
    pub(crate) fn cancel(&self, op: OpKey) {
        let mut state = self.lock();
        state.forget(op);
        state.core.cancel(self.runtime.now(), op);
        state.discard_outputs();
        drop(state);
        self.bell.ring(Bell::CALLER);
    }

    /// Forgets a watch.
    pub(crate) fn drop_watch(&self, watch: WatchKey) {
        self.act(|state, now| {
            state.watches.forget(watch.slot());
            state.core.drop_watch(now, watch);
        });
    }

    /// Replaces the endpoints.
    pub(crate) fn set_endpoints(&self, endpoints: Vec<Address>) {
        self.lock().core.set_endpoints(self.runtime.now(), endpoints);
        self.bell.ring(Bell::CALLER);
    }

    /// Closes the core because its driver is gone, and ends everyone's wait.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.core.close(self.runtime.now());
        state.abandoned = true;
        let mut waiting = Vec::new();
        state.take_woken(&mut waiting);
        state.discard_outputs();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Remembers whom to wake when the operation ends.
    pub(crate) fn wait(&mut self, op: OpKey, waker: &Waker) {
        self.ops.wait(op.slot(), waker);
    }

    /// Forgets whom to wake.
    pub(crate) fn forget(&mut self, op: OpKey) {
        self.ops.forget(op.slot());
    }

    /// Remembers whom to wake when there is news of the watch.
    pub(crate) fn wait_for_watch(&mut self, watch: WatchKey, waker: &Waker) {
        self.watches.wait(watch.slot(), waker);
    }

    /// Remembers whom to wake when there is news of the lease.
    pub(crate) fn wait_for_keeper(&mut self, keeper: KeeperKey, waker: &Waker) {
        self.core.await_keeper(keeper);
        self.keepers.wait(keeper.slot(), waker);
    }

    /// Forgets whom to wake.
    pub(crate) fn forget_keeper(&mut self, keeper: KeeperKey) {
        self.keepers.take(keeper.slot());
    }

    /// Drains the core's events, moving the wakers of ended operations to `woken`.
    ///
    /// An event may name an operation cancelled meanwhile, whose slot has a new owner: that one is woken for nothing
    /// and waits again.
    pub(crate) fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::OpDone(op) => woken.extend(self.ops.take(op.slot())),
                Event::KeeperChanged(keeper) => woken.append(&mut self.keepers.take(keeper.slot())),
                Event::WatchReadable(watch) => woken.extend(self.watches.take(watch.slot())),
                _ => {}
            }
        }
    }

    /// Does for an abandoned core what its driver did: the outputs go nowhere, but must not pile up. Says whether it is
    /// abandoned.
    pub(crate) fn discard_outputs(&mut self) -> bool {
        if self.abandoned {
            while self.core.poll_transmit().is_some() {}
            while self.core.poll_event().is_some() {}
        }
        self.abandoned
    }
}
