//! What a server runs on: an executor, and a clock that is real or moved by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use smol::{Executor, Task, Timer};

use crate::http::{BoxFuture, Runner};

/// An executor and a clock.
pub(super) struct Engine {
    executor: Executor<'static>,
    /// None for real time.
    hands: Option<Mutex<Hands>>,
}

/// A clock moved by hand.
struct Hands {
    now: Instant,
    sleepers: BTreeMap<(Instant, u64), Waker>,
    serial: u64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(super) fn new(virtual_time: bool) -> Arc<Self> {
        let hands = Hands { now: Instant::now(), sleepers: BTreeMap::new(), serial: 0 };
        Arc::new(Self { executor: Executor::new(), hands: virtual_time.then_some(Mutex::new(hands)) })
    }

    /// Runs tasks until `end` is done.
    pub(super) async fn run(&self, end: impl Future<Output = ()>) {
        self.executor.run(end).await;
    }

    /// Begins a task that can be ended.
    pub(super) fn start<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.executor.spawn(task)
    }

    /// Moves the clock to `at`, if it is moved by hand and not there yet.
    pub(super) fn set(&self, at: Instant) {
        let Some(hands) = &self.hands else { return };
        let mut hands = lock(hands);
        hands.now = hands.now.max(at);
        let first_later = (hands.now + Duration::from_nanos(1), 0);
        let later = hands.sleepers.split_off(&first_later);
        let woken = std::mem::replace(&mut hands.sleepers, later);
        drop(hands);
        woken.into_values().for_each(Waker::wake);
    }

    /// Whether the clock is moved by hand.
    pub(super) const fn is_virtual(&self) -> bool {
        self.hands.is_some()
    }
}

impl Runner for Engine {
    fn spawn(&self, task: BoxFuture<()>) {
        self.executor.spawn(task).detach();
    }

    fn now(&self) -> Instant {
        match &self.hands {
            Some(hands) => lock(hands).now,
            None => Instant::now(),
        }
    }

    fn sleep_until(self: Arc<Self>, at: Instant) -> BoxFuture<()> {
        if !self.is_virtual() {
            return Box::pin(async move {
                Timer::at(at).await;
            });
        }
        let mut place = None;
        Box::pin(poll_fn(move |cx| {
            let Some(hands) = &self.hands else { return Poll::Ready(()) };
            let mut hands = lock(hands);
            if let Some(place) = place.take() {
                hands.sleepers.remove(&place);
            }
            if hands.now >= at {
                return Poll::Ready(());
            }
            hands.serial += 1;
            let new = (at, hands.serial);
            hands.sleepers.insert(new, cx.waker().clone());
            place = Some(new);
            Poll::Pending
        }))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("virtual", &self.is_virtual()).finish_non_exhaustive()
    }
}
