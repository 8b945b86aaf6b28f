//! When leases expire: the leader's half of the lessor (server/lease/lessor.go).
//!
//! Every half second the leader proposes to revoke what has expired, at most 500 leases at a time, and again after 3 s if
//! that came to nothing. A new leader gives every lease its full time and one election time-out more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::Cluster;
use crate::model::cluster::Timer;
use crate::model::log::Origin;
use crate::model::state::{LeaseChange, Proposal};

const TICK: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(3);
const REVOKED_PER_TICK: usize = 500;

/// A lease as the leader knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) ttl: i64,
    pub(crate) expiry: Instant,
    /// When it is to be looked at.
    look: Instant,
}

/// Leases with their times; empty while nobody is in charge.
#[derive(Debug, Default)]
pub(crate) struct Lessor {
    /// The leader, once it has applied all that was committed before it led.
    primary: Option<usize>,
    leases: BTreeMap<i64, Timed>,
    order: BTreeSet<(Instant, i64)>,
    tick: Option<Instant>,
}

impl Lessor {
    pub(crate) fn primary(&self) -> Option<usize> {
        self.primary
    }

    pub(crate) fn get(&self, id: i64) -> Option<Timed> {
        self.leases.get(&id).copied()
    }

    fn insert(&mut self, id: i64, ttl: i64, expiry: Instant) {
        self.remove(id);
        self.leases.insert(id, Timed { ttl, expiry, look: expiry });
        self.order.insert((expiry, id));
    }

    fn remove(&mut self, id: i64) {
        if let Some(lease) = self.leases.remove(&id) {
            self.order.remove(&(lease.look, id));
        }
    }

    /// The next lease to be looked at by `now`; it is looked at again later.
    fn next_expired(&mut self, now: Instant) -> Option<i64> {
        let &(look, id) = self.order.first()?;
        if look > now {
            return None;
        }
        self.order.pop_first();
        let lease = self.leases.get_mut(&id)?;
        lease.look = now + RETRY;
        self.order.insert((lease.look, id));
        Some(id)
    }
}

fn after(now: Instant, seconds: i64) -> Instant {
    // 9,000,000,000 s, the longest, still is a time.
    now.checked_add(Duration::from_secs(seconds.max(0) as u64)).unwrap_or(now)
}

impl Cluster {
    /// When the lease expires if nobody renews it; `None` if the leader does not have it, or there is no leader.
    pub fn lease_expiry(&self, id: i64) -> Option<Instant> {
        self.lessor.get(id).map(|lease| lease.expiry)
    }

    /// Whether the leader has applied all that is committed, so that it counts by the leases that are there, rather than by
    /// others of the same ids.
    pub(crate) fn leases_are_current(&self) -> bool {
        let leader = self.lessor.primary.and_then(|leader| self.members.get(leader));
        leader.is_some_and(|leader| leader.position.index >= self.log.end().index)
    }

    /// Whether the lease is there, as of the committed log: granted and not revoked, whoever leads.
    pub fn has_lease(&self, id: i64) -> bool {
        self.state.leases.get(id).is_some()
    }

    /// The leader is in charge once it has applied what was committed before it led.
    pub(crate) fn promote(&mut self, now: Instant) {
        let Some(leader) = self.raft.leader() else { return };
        let applied = self.members.get(leader).map_or(0, |member| member.position.index);
        if self.lessor.primary.is_some() || applied < self.raft.elected_at_index() {
            return;
        }
        self.lessor.primary = Some(leader);
        let extra = self.config.election_timeout;
        for (id, ttl) in self.leases_known_to(leader) {
            self.lessor.insert(id, ttl, after(now, ttl) + extra);
        }
        self.arm_lessor();
        self.answer_asks(now);
    }

    /// The leader is in charge no longer.
    pub(crate) fn demote(&mut self, now: Instant) {
        if let Some(tick) = std::mem::take(&mut self.lessor).tick {
            self.timers.remove(tick, Timer::Lessor);
        }
        self.answer_asks(now);
    }

    /// The leader has applied an entry that grants or revokes.
    pub(crate) fn lease_changed(&mut self, now: Instant, change: LeaseChange) {
        match change {
            LeaseChange::Granted { id, ttl } => self.lessor.insert(id, ttl, after(now, ttl)),
            LeaseChange::Revoked { id, .. } => self.lessor.remove(id),
        }
        self.arm_lessor();
    }

    /// Gives a lease its full time again.
    pub(crate) fn refresh_lease(&mut self, now: Instant, id: i64, ttl: i64) {
        self.lessor.insert(id, ttl, after(now, ttl));
        self.arm_lessor();
    }

    /// One turn of the leader's loop.
    pub(crate) fn lessor_tick(&mut self, now: Instant) {
        if self.lessor.tick != Some(now) {
            return;
        }
        self.lessor.tick = None;
        let Some(leader) = self.lessor.primary else { return };
        let mut expired = Vec::new();
        while expired.len() < REVOKED_PER_TICK {
            let Some(id) = self.lessor.next_expired(now) else { break };
            if self.lessor.get(id).is_some_and(|lease| lease.expiry <= now) {
                expired.push(id);
            }
        }
        for id in expired {
            self.propose(now, leader, Origin::Server, Proposal::Revoke { id });
        }
        self.arm_lessor();
    }

    /// Sets the timer to the first turn of the loop at which there is something to do.
    fn arm_lessor(&mut self) {
        let started =
            self.lessor.primary.and_then(|leader| self.members.get(leader)).map(|leader| leader.started);
        let due = self.lessor.order.first().zip(started).map(|(&(look, _), started)| {
            let turns = look.saturating_duration_since(started).as_nanos().div_ceil(TICK.as_nanos());
            let wait = Duration::from_millis((turns * TICK.as_millis()) as u64);
            started.checked_add(wait).unwrap_or(look)
        });
        if due == self.lessor.tick {
            return;
        }
        if let Some(tick) = self.lessor.tick {
            self.timers.remove(tick, Timer::Lessor);
        }
        self.lessor.tick = due;
        if let Some(due) = due {
            self.timers.insert(due, Timer::Lessor);
        }
    }

    /// The leases a member knows: those of the whole log less what it has yet to apply.
    pub(crate) fn leases_known_to(&self, member: usize) -> BTreeMap<i64, i64> {
        let mut known: BTreeMap<i64, i64> =
            self.state.leases.iter().map(|(id, lease)| (id, lease.ttl)).collect();
        let index = self.members.get(member).map_or(0, |member| member.position.index);
        let ahead: Vec<LeaseChange> = self
            .log
            .iter()
            .filter(|entry| entry.after.index > index)
            .filter_map(|entry| entry.lease)
            .collect();
        for change in ahead.into_iter().rev() {
            match change {
                LeaseChange::Granted { id, .. } => known.remove(&id),
                LeaseChange::Revoked { id, ttl } => known.insert(id, ttl),
            };
        }
        known
    }
}
