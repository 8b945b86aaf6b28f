//! The driver: the one task of a client. It owns every connection, moves what happens there into the core and carries
//! out what the core says.
//!
//! A turn: read the sockets that are ready, tell the core and hear its answer under one short lock, wake whose call
//! ended, do what the core said. When nothing is left to do, everything to be written leaves in one write per socket,
//! and the task sleeps. The core's lock is never held while hyper runs.

mod bell;
mod link;
#[cfg(test)]
mod tests;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdium_core::Transmit;

pub(crate) use self::bell::Bell;
use self::bell::TimerBell;
use self::link::Link;
use crate::http2::Links;
use crate::shared::Shared;
use crate::{Runtime, Timer};

/// Turns of one poll. More than a few come only under constant load, when other tasks shall have their time too.
const TURNS: usize = 32;

/// The task of a client. It ends when the client is closed.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    links: Links<Link>,
    transmits: Vec<Transmit>,
    woken: Vec<Waker>,
    /// When the core wants to be woken.
    deadline: Option<Instant>,
    alarm: Alarm,
    /// Whether this poll was put off once in favour of the callers.
    yielded: bool,
    max_in_flight: usize,
    closed: bool,
}

/// The longest sleep while leases are kept alive. Timers stand still while a machine is suspended: this is how long it may take
/// afterwards until a lease is told to be lost, or renewed.
const NAP: Duration = Duration::from_secs(1);

/// What a turn leaves to do.
enum After {
    /// Nothing, unless writing allows more.
    Nothing,
    /// Another turn.
    Turn,
    /// Another turn, after the callers it woke: they hold answers, and big ones are best taken, while they are in the
    /// processor's cache, before more are read.
    Callers,
}

/// The timer, and when it fires if it is set. It is set again only for an earlier time: calls that end before their
/// deadline leave it alone, and when it fires for nothing it is set for what is next.
struct Alarm {
    timer: Option<Pin<Box<dyn Timer>>>,
    set: Option<Instant>,
    /// Rings [`Bell::TIMER`].
    waker: Waker,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let max_in_flight = shared.lock().core.max_in_flight();
        let waker = Waker::from(Arc::new(TimerBell(shared.bell.clone())));
        let alarm = Alarm { timer: None, set: None, waker };
        Self {
            shared,
            links: Links::default(),
            transmits: Vec::new(),
            woken: Vec::new(),
            deadline: None,
            alarm,
            yielded: false,
            max_in_flight,
            closed: false,
        }
    }

    /// One turn.
    fn turn(&mut self, called: bool, now: Instant) -> After {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        let (mut unread, mut woke, mut sent) = (false, false, false);
        let mut news = due;
        // What was asked for goes out with this turn. What is due has to wait until everything is read that has come.
        if called && !due {
            woke = self.talk(now);
            self.carry_out(now);
        }
        for link in self.links.iter_mut() {
            unread |= link.advance(now);
            news |= link.has_news();
        }
        if news {
            woke |= self.talk(now);
            sent = self.carry_out(now);
        }
        match unread {
            true if woke => After::Callers,
            _ if unread || sent => After::Turn,
            _ => After::Nothing,
        }
    }

    /// Tells the core what happened and hears what it wants. Says whether that woke a caller.
    fn talk(&mut self, now: Instant) -> bool {
        let mut state = self.shared.lock();
        for link in self.links.iter_mut() {
            link.tell(now, &mut state.core);
        }
        state.core.handle_timeout(now);
        while let Some(transmit) = state.core.poll_transmit() {
            self.transmits.push(transmit);
        }
        state.take_woken(&mut self.woken);
        self.deadline = state.core.poll_timeout();
        if state.core.keeps_leases() {
            self.deadline = self.deadline.map(|at| at.min(now + NAP));
        }
        self.closed = state.core.is_closed();
        drop(state);
        let woke = !self.woken.is_empty();
        self.woken.drain(..).for_each(Waker::wake);
        self.links.iter_mut().for_each(Link::forget_news);
        self.links.sweep(
            |link| link.is_over(),
            |mut link| {
                link.flush();
            },
        );
        woke
    }

    /// Does what the core said. Says whether that left something to do.
    fn carry_out(&mut self, now: Instant) -> bool {
        let mut transmits = core::mem::take(&mut self.transmits);
        let any = !transmits.is_empty();
        for transmit in transmits.drain(..) {
            match self.links.carry_out(transmit, now) {
                Some(Transmit::Connect(connect)) => {
                    self.links.insert(Link::dial(connect, &self.shared, self.max_in_flight));
                }
                Some(Transmit::Disconnect(connection)) => {
                    if let Some(link) = self.links.remove(connection) {
                        link.close();
                    }
                }
                // The core's list of things to do may grow, and this driver with it.
                _ => {}
            }
        }
        self.transmits = transmits;
        any
    }

    /// Writes what is to be written, and sees to being woken in time. Says whether that left something to do.
    fn settle(&mut self) -> bool {
        let mut more = false;
        for link in self.links.iter_mut() {
            more |= link.flush();
        }
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let wanted = links.chain(self.deadline).min();
        self.alarm.set(wanted, &*self.shared.runtime);
        more
    }
}

impl Alarm {
    /// Looks whether it has fired.
    fn poll(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if self.set.is_some()
            && self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(&mut cx).is_ready())
        {
            self.set = None;
        }
    }

    /// Forgets a time that has come, whether it has fired or not.
    fn pass(&mut self, now: Instant) {
        self.set = self.set.filter(|set| *set > now);
    }

    /// Sets it for `wanted`, unless it fires before anyway.
    fn set(&mut self, wanted: Option<Instant>, runtime: &dyn Runtime) {
        let Some(at) = wanted.filter(|wanted| self.set.is_none_or(|set| *wanted < set)) else { return };
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(runtime.to_std(at)),
            none => *none = Some(runtime.timer(runtime.to_std(at))),
        }
        self.set = Some(at);
        self.poll();
        if self.set.is_none() {
            // It has fired at once.
            self.waker.wake_by_ref();
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.shared.bell.belongs_to(cx.waker());
        let rung_by = this.shared.bell.rung_by();
        if rung_by == Bell::CALLER && !this.yielded && this.shared.runtime.yields_to_callers() {
            this.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = false;
        let mut now = this.shared.runtime.now();
        this.alarm.pass(now);
        for turn in 0..TURNS {
            if turn > 0 {
                now = this.shared.runtime.now();
            }
            let rung_by = this.shared.bell.answer();
            if rung_by & Bell::TIMER != 0 {
                this.alarm.poll();
            }
            let after = this.turn(rung_by & Bell::CALLER != 0, now);
            if this.closed {
                return Poll::Ready(());
            }
            match after {
                After::Callers => {
                    this.yielded = true;
                    break;
                }
                After::Nothing if !this.settle() && this.shared.bell.sleep() => {
                    return Poll::Pending;
                }
                After::Turn | After::Nothing => {}
            }
        }
        this.settle();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// The runtime ends, or the client was closed: nobody shall wait for this task any more.
    fn drop(&mut self) {
        self.shared.abandon();
    }
}
