//! Who of a connection's futures wants to be polled: a flag for each of the two that always live, a list for the rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use crate::shared::lock;

/// Ids of futures to poll, in the order they were woken.
#[derive(Debug, Default)]
pub(crate) struct ReadyList(Mutex<Vec<Id>>);

/// One future of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// One that hyper handed over.
    Task(u32),
    /// The response to a call.
    Exchange(u32),
}

impl ReadyList {
    /// Swaps the list with an empty one.
    pub(crate) fn swap(&self, other: &mut Vec<Id>) {
        core::mem::swap(&mut *lock(&self.0), other);
    }
}

/// The waker of one place for futures: used by one after the other. A wake that comes late wakes the next for nothing.
#[derive(Debug)]
pub(crate) struct Token {
    id: Id,
    queued: AtomicBool,
    list: Arc<ReadyList>,
    /// The serial number of the latest call here whose message was handed to HTTP/2, plus one.
    handed_over: AtomicU64,
}

impl Token {
    pub(crate) fn new(id: Id, list: Arc<ReadyList>) -> Self {
        Self { id, queued: AtomicBool::new(false), list, handed_over: AtomicU64::new(0) }
    }

    /// To be called before its future is polled: a wake from then on queues it again.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Notes that the message of a call was handed over.
    pub(crate) fn hand_over(&self, serial: u64) {
        self.handed_over.store(serial + 1, Ordering::Release);
    }

    /// Whether the message of a call was handed over.
    pub(crate) fn was_handed_over(&self, serial: u64) -> bool {
        self.handed_over.load(Ordering::Acquire) == serial + 1
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            lock(&self.list.0).push(self.id);
        }
    }
}

/// The waker of a future that has a place of its own in each round.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn take(&self) -> bool {
        // Mostly unset, and a plain read is cheaper than a swap.
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
