//! Questions about leases, which only the leader answers: renewals and times to live (v3_server.go, `LeaseRenew`,
//! `leaseTimeToLive`; lease/leasehttp). A member that does not lead passes them on.

use std::time::{Duration, Instant};

use super::lessor::Timed;
use crate::model::cluster::Timer;
use crate::model::config::{V3_5, V3_7};
use crate::model::status::{NO_LEADER, PERMISSION_DENIED, TIMEOUT, TIMEOUT_APPLIED_INDEX};
use crate::model::{CallId, Cluster, Status};

/// How long a leader waits until it has applied what is committed.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) call: CallId,
    pub(crate) member: usize,
    pub(crate) lease: i64,
    /// Renew it, rather than say how long it has to live.
    pub(crate) renew: bool,
    /// When it came.
    pub(crate) since: Instant,
    /// What the leader must have applied to answer, as of when it was first asked, and when that was.
    reached: Option<(usize, u64, Instant)>,
    /// When to look at it again, if nothing happens before.
    wake: Option<Instant>,
}

impl Ask {
    pub(crate) fn new(call: CallId, member: usize, lease: i64, renew: bool, since: Instant) -> Self {
        Self { call, member, lease, renew, since, reached: None, wake: None }
    }
}

/// The questions that wait.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    waiting: Vec<Ask>,
    timer: Option<Instant>,
}

/// The answer, if there is one yet: the lease, or that there is none, or why there is no telling.
type Answer = Option<Result<Option<Timed>, Status>>;

impl Cluster {
    /// Asks; what cannot be answered now waits.
    pub(crate) fn ask(&mut self, now: Instant, mut ask: Ask) -> Answer {
        let answer = self.try_ask(now, &mut ask);
        if answer.is_none() {
            self.asks.waiting.push(ask);
            self.arm_asks();
        }
        answer
    }

    /// Forgets the question of a call.
    pub(crate) fn forget_ask(&mut self, call: CallId) {
        if !self.asks.waiting.is_empty() {
            self.asks.waiting.retain(|ask| ask.call != call);
            self.arm_asks();
        }
    }

    fn arm_asks(&mut self) {
        let due = self.asks.waiting.iter().filter_map(|ask| ask.wake).min();
        if due != self.asks.timer {
            if let Some(timer) = self.asks.timer {
                self.timers.remove(timer, Timer::Asks);
            }
            self.asks.timer = due;
            if let Some(due) = due {
                self.timers.insert(due, Timer::Asks);
            }
        }
    }

    /// Something has changed: looks at every question again.
    pub(crate) fn answer_asks(&mut self, now: Instant) {
        if self.asks.waiting.is_empty() {
            return;
        }
        for mut ask in std::mem::take(&mut self.asks.waiting) {
            match self.try_ask(now, &mut ask) {
                None => self.asks.waiting.push(ask),
                Some(answer) if ask.renew => self.renewed(now, ask.call, ask.lease, answer),
                Some(answer) => self.time_to_live_known(now, ask.call, ask.lease, answer),
            }
        }
        self.arm_asks();
    }

    fn try_ask(&mut self, now: Instant, ask: &mut Ask) -> Answer {
        let deadline = ask.since + self.config.request_timeout();
        let timed_out = now >= deadline;
        ask.wake = (!timed_out).then_some(deadline);
        let Some(leader) = self.leader_of(ask.member) else {
            return timed_out.then_some(Err(NO_LEADER));
        };
        let local = leader == ask.member;
        let or_time_out = (timed_out && !local).then_some(Err(TIMEOUT));
        if self.raft.acting().is_none() {
            // A dead leader does not answer.
            return or_time_out;
        }
        let applied = self.members.get(leader).map_or(0, |leader| leader.position.index);
        let (_, index, asked) = match ask.reached {
            Some(reached) if reached.0 == leader => reached,
            _ => *ask.reached.insert((leader, self.log.end().index, now)),
        };
        if applied < index && self.must_catch_up(ask, local) {
            if local && now >= asked + APPLY_TIMEOUT {
                return Some(Err(TIMEOUT_APPLIED_INDEX));
            }
            ask.wake = ask.wake.map(|wake| if local { wake.min(asked + APPLY_TIMEOUT) } else { wake });
            return or_time_out;
        }
        if self.lessor.primary() != Some(leader) {
            return timed_out.then_some(Err(TIMEOUT));
        }
        let Some(lease) = self.lessor.get(ask.lease) else { return Some(Ok(None)) };
        if ask.renew && self.denied.contains(&ask.lease) {
            return Some(Err(PERMISSION_DENIED));
        }
        if ask.renew {
            if lease.expiry <= now {
                // It may still be revoked, or saved by a new leader.
                return or_time_out;
            }
            self.refresh_lease(now, ask.lease, lease.ttl);
        }
        Some(Ok(Some(lease)))
    }

    /// Since 3.5 a leader first applies what is committed; 3.7 only to renew a lease it does not know.
    fn must_catch_up(&self, ask: &Ask, local: bool) -> bool {
        let version = self.config.version;
        let fast = ask.renew && local && version >= V3_7 && self.lessor.get(ask.lease).is_some();
        version >= V3_5 && !fast
    }
}
