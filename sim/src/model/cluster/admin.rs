//! Faults, and what others do to the cluster.

use std::time::{Duration, Instant};

use super::{Cluster, Timer};
use crate::model::ClusterConfig;
use crate::model::log::Origin;
use crate::model::state::Proposal;

impl Cluster {
    /// The member's process ends. Its calls are dropped without a word: the network tells the clients.
    pub fn kill(&mut self, now: Instant, member: usize) {
        let now = self.advance(now);
        if !self.is_up(member) {
            return;
        }
        self.drop_calls(member);
        if let Some(known) = self.members.get_mut(member) {
            known.up = false;
        }
        self.reconsider(now);
        self.note_leaders(now);
    }

    /// The member's process starts again with what it had applied, and catches up.
    pub fn start(&mut self, now: Instant, member: usize) {
        let now = self.advance(now);
        let base = self.log.base();
        let Some(known) = self.members.get_mut(member) else { return };
        if known.up {
            return;
        }
        known.up = true;
        known.started = now;
        known.elected = None;
        if known.position.index < base.index {
            known.position = base;
        }
        self.forget_leadership(member);
        self.apply_due(now, member);
        self.reconsider(now);
        self.note_leaders(now);
    }

    /// The member's process runs.
    pub fn is_up(&self, member: usize) -> bool {
        self.members.get(member).is_some_and(|member| member.up)
    }

    /// From now on the member applies entries this much after their commit.
    pub fn set_lag(&mut self, now: Instant, member: usize, lag: Duration) {
        let now = self.advance(now);
        if let Some(known) = self.members.get_mut(member) {
            known.lag = lag;
        }
        self.apply_due(now, member);
    }

    /// Cuts the member off from its peers, or joins it again. Cut off, it has no leader.
    pub fn isolate(&mut self, now: Instant, member: usize, isolated: bool) {
        let now = self.advance(now);
        let Some(known) = self.members.get_mut(member) else { return };
        if known.isolated == isolated {
            return;
        }
        known.isolated = isolated;
        self.reconsider(now);
        self.note_leaders(now);
        if !isolated && self.raft.leader().is_some() {
            self.leader_found(now, member);
        }
    }

    /// Whether the member answers at all. One that is not capable does not know yet what version its cluster has.
    pub fn set_capable(&mut self, member: usize, capable: bool) {
        if let Some(known) = self.members.get_mut(member) {
            known.capable = capable;
        }
    }

    /// From now on renewals of this lease are refused, as to a user without permission on one of its keys.
    pub fn deny_renewals(&mut self, lease: i64) {
        self.denied.insert(lease);
    }

    /// Renewals are refused no more.
    pub fn allow_renewals(&mut self) {
        self.denied.clear();
    }

    /// Somebody else revokes a lease, through the leader.
    pub fn revoke(&mut self, now: Instant, id: i64) {
        if let Some(leader) = self.raft.leader() {
            self.propose(now, leader, Origin::Server, Proposal::Revoke { id });
        }
    }

    /// Makes room: limits on requests, backlog and space are etcd's own from now on, and no alarm is raised.
    pub fn lift_limits(&mut self) {
        let ClusterConfig { max_request_bytes, max_gap, quota, .. } = ClusterConfig::default();
        self.config = ClusterConfig { max_request_bytes, max_gap, quota, ..self.config.clone() };
        self.state.alarms.clear();
    }

    /// Somebody else compacts the store. Nothing happens without a leader, or if there is nothing to compact.
    pub fn compact(&mut self, now: Instant, revision: i64) {
        let now = self.advance(now);
        if let Some(leader) = self.raft.leader() {
            self.propose(now, leader, Origin::Server, Proposal::Compact { revision });
        }
    }

    /// Forgets every call of a member.
    pub(super) fn drop_calls(&mut self, member: usize) {
        let calls: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.member == member).map(|(&call, _)| call).collect();
        for call in calls {
            self.forget(call);
            self.blocked.retain(|blocked| blocked.call != call);
        }
        if let Some(known) = self.members.get_mut(member) {
            if let Some((timeout, _)) = std::mem::take(&mut known.reads).asking {
                self.timers.remove(timeout, Timer::Reads(member));
            }
        }
    }
}
