//! Leadership: who leads, who sees it, what a change does.
//!
//! A leader that dies or is cut off is believed in by the others until they elect a new one, one to two election time-outs
//! later; until then what they are asked to propose is lost. If they are no majority, they find after that time that
//! there is no leader. A leader that has lost its majority believes in itself as long: what is proposed to it meanwhile is
//! committed if the majority is back in time, and may be if not.

use std::time::Instant;

use super::{Cluster, Timer};
use crate::model::CallId;
use crate::model::status::NO_LEADER;

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Leader {
    /// Nobody, as all know.
    #[default]
    None,
    /// A member that can.
    Alive(usize),
    /// A member that reaches no majority, which nobody has noticed.
    Stale(usize),
    /// A member that is dead or cut off, which the others have not noticed.
    Lost(usize),
}

/// Leadership of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Raft {
    leader: Leader,
    term: u64,
    /// What was committed by the last election.
    elected_at_index: u64,
    /// The next one.
    election: Option<Instant>,
    /// There is to be no leader until one is set.
    forbidden: bool,
}

impl Raft {
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    pub(crate) fn elected_at_index(&self) -> u64 {
        self.elected_at_index
    }

    /// The member that leads and can.
    pub(crate) fn leader(&self) -> Option<usize> {
        match self.leader {
            Leader::Alive(leader) => Some(leader),
            Leader::None | Leader::Stale(_) | Leader::Lost(_) => None,
        }
    }

    /// The member that leads, or believes so.
    pub(crate) fn acting(&self) -> Option<usize> {
        match self.leader {
            Leader::Alive(leader) | Leader::Stale(leader) => Some(leader),
            Leader::None | Leader::Lost(_) => None,
        }
    }
}

impl Cluster {
    /// Whom this member takes for the leader.
    pub(crate) fn leader_of(&self, member: usize) -> Option<usize> {
        if !self.is_connected(member) {
            return None;
        }
        match self.raft.leader {
            Leader::None => None,
            Leader::Alive(leader) | Leader::Stale(leader) | Leader::Lost(leader) => Some(leader),
        }
    }

    /// The member is up and reaches its peers. A single member has none to be cut off from.
    pub(super) fn is_connected(&self, member: usize) -> bool {
        let alone = self.members.len() == 1;
        self.members.get(member).is_some_and(|member| member.up && (alone || !member.isolated))
    }

    fn can_lead(&self, member: usize) -> bool {
        self.is_connected(member) && self.members.get(member).is_some_and(|member| !member.learner)
    }

    fn has_quorum(&self) -> bool {
        let voters = self.members.iter().filter(|member| !member.learner).count();
        let connected = (0..self.members.len()).filter(|&member| self.can_lead(member)).count();
        connected * 2 > voters
    }

    /// Follows a change of who is up and who reaches whom.
    pub(super) fn reconsider(&mut self, now: Instant) {
        let quorum = self.has_quorum();
        match self.raft.leader {
            Leader::Alive(leader) if quorum && self.can_lead(leader) => return,
            Leader::Stale(leader) if quorum && self.can_lead(leader) => return self.recover(now, leader),
            Leader::Alive(leader) if self.can_lead(leader) => self.raft.leader = Leader::Stale(leader),
            Leader::Alive(leader) => self.lose_leader(now, Leader::Lost(leader)),
            Leader::Stale(leader) if !self.can_lead(leader) => self.lose_leader(now, Leader::Lost(leader)),
            Leader::Stale(_) | Leader::Lost(_) | Leader::None => {}
        }
        if self.raft.forbidden {
            return;
        }
        if quorum && self.members.iter().filter(|member| !member.learner).count() == 1 {
            return self.elect_at_once(now);
        }
        if self.raft.election.is_some() {
            return;
        }
        if quorum || self.raft.leader != Leader::None {
            let at = now + self.election_delay();
            self.raft.election = Some(at);
            self.timers.insert(at, Timer::Election);
        }
    }

    /// The time of an election has come.
    pub(super) fn elect(&mut self, now: Instant) {
        if self.raft.election != Some(now) {
            return;
        }
        self.raft.election = None;
        if self.has_quorum() && !self.raft.forbidden {
            self.elect_at_once(now);
        } else {
            self.lose_leader(now, Leader::None);
            self.note_leaders(now);
        }
    }

    /// The majority is back before its absence was noticed.
    fn recover(&mut self, now: Instant, leader: usize) {
        self.cancel_election();
        self.raft.leader = Leader::Alive(leader);
        self.commit_due(now);
        for member in 0..self.members.len() {
            self.resume_reads(now, member);
        }
    }

    fn cancel_election(&mut self) {
        if let Some(at) = self.raft.election.take() {
            self.timers.remove(at, Timer::Election);
        }
    }

    /// One of those that can lead does.
    pub(super) fn elect_at_once(&mut self, now: Instant) {
        let able: Vec<usize> = (0..self.members.len()).filter(|&member| self.can_lead(member)).collect();
        if let Some(&leader) = able.get(self.rng.index(able.len())) {
            self.lead(now, leader);
        }
    }

    /// All processes are started anew.
    pub(super) fn elect_anew(&mut self, now: Instant) {
        self.lose_leader(now, Leader::None);
        if self.has_quorum() && !self.raft.forbidden {
            self.elect_at_once(now);
        }
        self.note_leaders(now);
    }

    /// A member that starts does not take itself for the leader.
    pub(super) fn forget_leadership(&mut self, member: usize) {
        if self.raft.leader == Leader::Lost(member) {
            self.raft.leader = Leader::None;
        }
    }

    /// Makes a member the leader; if it cannot lead, the members elect one in time. `None`: there is none until one is
    /// set. A change makes the raft term grow.
    pub fn set_leader(&mut self, now: Instant, leader: Option<usize>) {
        let now = self.advance(now);
        self.raft.forbidden = leader.is_none();
        match leader {
            None => {
                self.lose_leader(now, Leader::None);
                self.note_leaders(now);
            }
            Some(leader) if self.raft.leader() == Some(leader) => {}
            Some(leader) if self.can_lead(leader) && self.has_quorum() => {
                self.lose_leader(now, Leader::None);
                self.lead(now, leader);
            }
            Some(_) => self.reconsider(now),
        }
    }

    /// The member that leads, if one does and can.
    pub fn leader(&self) -> Option<usize> {
        self.raft.leader()
    }

    fn lose_leader(&mut self, now: Instant, leader: Leader) {
        if self.raft.acting().is_some() {
            self.settle_in_flight();
        }
        self.raft.leader = leader;
        self.demote(now);
    }

    fn lead(&mut self, now: Instant, leader: usize) {
        self.cancel_election();
        self.raft.leader = Leader::Alive(leader);
        self.raft.term += 1;
        self.commit_survivors(now);
        if let Some(known) = self.members.get_mut(leader) {
            known.elected = Some(now);
        }
        self.raft.elected_at_index = self.log.end().index;
        self.promote(now);
        for member in 0..self.members.len() {
            if self.is_connected(member) {
                self.leader_found(now, member);
            }
        }
        self.note_leaders(now);
    }

    /// A member that had no leader, or a dead one, has a new one.
    pub(super) fn leader_found(&mut self, now: Instant, member: usize) {
        self.reads_meet_new_leader(now, member);
        self.propose_blocked(now, member);
    }

    /// Notes which members have no leader; if they find none, the streams that need one end at the third look, one
    /// election time-out apart (v3rpc/interceptor.go, `monitorLeader`).
    pub(super) fn note_leaders(&mut self, now: Instant) {
        let election = self.config.election_timeout;
        for member in 0..self.members.len() {
            let leaderless = self.is_up(member) && self.leader_of(member).is_none();
            let Some(known) = self.members.get_mut(member) else { continue };
            match (leaderless, known.leaderless) {
                (true, None) => {
                    let looks =
                        now.saturating_duration_since(known.started).as_nanos() / election.as_nanos().max(1);
                    let at = known.started + election.saturating_mul(looks as u32 + 3);
                    known.leaderless = Some(at);
                    self.timers.insert(at, Timer::Leaderless(member));
                }
                (false, Some(at)) => {
                    known.leaderless = None;
                    self.timers.remove(at, Timer::Leaderless(member));
                }
                _ => {}
            }
        }
        self.answer_asks(now);
    }

    /// Streams that need a leader have waited for one long enough.
    pub(super) fn end_leaderless(&mut self, now: Instant, member: usize) {
        if self.members.get(member).is_none_or(|known| known.leaderless != Some(now)) {
            return;
        }
        let streams: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.member == member && call.require_leader && call.is_stream())
            .map(|(&call, _)| call)
            .collect();
        for call in streams {
            self.end(call, NO_LEADER);
        }
    }
}
