//! Wakes the driver's task, once however many ask for it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::shared::lock;

/// A bell that many ring and one answers.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Who rang since the driver last answered, and whether it sleeps.
    bits: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// Someone gave the core something to do.
    pub(crate) const CALLER: u8 = 1;
    /// A socket is ready.
    pub(crate) const SOCKET: u8 = 2;
    /// The timer wants to be polled.
    pub(crate) const TIMER: u8 = 4;
    const ASLEEP: u8 = 8;

    /// Wakes the driver if it sleeps and nobody woke it yet.
    pub(crate) fn ring(&self, who: u8) {
        if self.bits.fetch_or(who, Ordering::AcqRel) == Self::ASLEEP {
            let task = lock(&self.task).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }

    /// Makes the bell wake this task.
    pub(crate) fn belongs_to(&self, waker: &Waker) {
        let mut task = lock(&self.task);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    /// Whether it was rung, and by whom.
    pub(crate) fn rung_by(&self) -> u8 {
        self.bits.load(Ordering::Acquire) & !Self::ASLEEP
    }

    /// Takes note of everyone who rang.
    pub(crate) fn answer(&self) -> u8 {
        self.bits.swap(0, Ordering::AcqRel) & !Self::ASLEEP
    }

    /// Goes to sleep, unless somebody rang since the last answer.
    pub(crate) fn sleep(&self) -> bool {
        self.bits.compare_exchange(0, Self::ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The waker of one socket: remembers that it is this one.
#[derive(Debug)]
pub(crate) struct SocketBell {
    ready: AtomicBool,
    bell: Arc<Bell>,
}

impl SocketBell {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { ready: AtomicBool::new(true), bell }
    }

    /// Makes the socket be looked at in the next turn.
    pub(crate) fn set(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether the socket is to be looked at.
    pub(crate) fn take(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.ready.swap(false, Ordering::AcqRel)
    }
}

impl Wake for SocketBell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
        self.bell.ring(Bell::SOCKET);
    }
}

/// The waker of the timer. It has one of its own, so that it is polled whenever it woke anyone: a timer may be pending
/// and wake at once, and a wake by it must not be taken for one by a socket.
#[derive(Debug)]
pub(crate) struct TimerBell(pub(crate) Arc<Bell>);

impl Wake for TimerBell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring(Bell::TIMER);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let count = Arc::new(Count::default());
        let bell = Arc::new(Bell::default());
        let socket = Arc::new(SocketBell::new(bell.clone()));
        let waker = Waker::from(count.clone());
        bell.belongs_to(&waker);
        bell.ring(Bell::CALLER);
        assert!(!bell.sleep(), "someone rang while it was awake");
        assert_eq!((bell.rung_by(), bell.answer(), bell.answer()), (Bell::CALLER, Bell::CALLER, 0));
        assert!(socket.take() && !socket.take(), "a new socket is to be looked at");
        assert!(bell.sleep());
        socket.wake_by_ref();
        bell.ring(Bell::CALLER);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(socket.take());
        assert_eq!(bell.answer(), Bell::CALLER | Bell::SOCKET);
        assert!(bell.sleep());
        Waker::from(Arc::new(TimerBell(bell.clone()))).wake();
        assert_eq!((count.0.load(Ordering::Relaxed), bell.answer()), (2, Bell::TIMER));
    }
}
