//! What is due when.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Cluster;
use crate::model::CallId;

/// Something to look at when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The members without a leader elect one, if they can.
    Election,
    /// The oldest proposal in flight is committed.
    Commit,
    /// A lagging member applies its next entry.
    Apply(usize),
    /// A member gives up asking up to where it must apply the log.
    Reads(usize),
    /// The watches of a member have something to do.
    Watch(usize),
    /// A member has been without a leader for so long that its streams end.
    Leaderless(usize),
    /// The leader looks for expired leases.
    Lessor,
    /// Questions about leases have waited for too long.
    Asks,
    /// The client's deadline of a call.
    Deadline(CallId),
    /// The server's own deadline of a proposal.
    Request(CallId),
}

/// The timers, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Instant, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn remove(&mut self, at: Instant, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first()
    }
}

impl Cluster {
    /// Does everything that is due. Early or needless calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some((at, timer)) = self.timers.pop(now) {
            match timer {
                Timer::Election => self.elect(at),
                Timer::Commit => self.commit_due(at),
                Timer::Apply(member) => self.apply_due(at, member),
                Timer::Reads(member) => self.give_up_reads(at, member),
                Timer::Watch(member) => self.watch_due(at, member),
                Timer::Leaderless(member) => self.end_leaderless(at, member),
                Timer::Lessor => self.lessor_tick(at),
                Timer::Asks => self.answer_asks(at),
                Timer::Deadline(call) => self.deadline(call),
                Timer::Request(call) => self.request_timed_out(call),
            }
        }
    }
}
