//! Proposals: from a request to an applied entry (server/etcdserver/v3_server.go, `processInternalRaftRequestOnce`).

use std::time::Instant;

use etcdium_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdium_proto::etcdserverpb::{AlarmRequest, AlarmType};
use prost::Message;

use super::{Asked, Cluster, Stage, Timer};
use crate::model::config::V3_5;
use crate::model::log::{Entry, Origin, Position};
use crate::model::rpc::Answerer;
use crate::model::state::{Proposal, Reply};
use crate::model::status::{
    DEADLINE_EXCEEDED, NO_SPACE, REQUEST_TOO_LARGE, TIMEOUT, TIMEOUT_CONNECTION_LOST, TIMEOUT_LEADER_FAILED,
    TOO_MANY_REQUESTS,
};
use crate::model::{CallId, Status};

/// A proposal on its way through the leader.
#[derive(Debug)]
pub(crate) struct InFlight {
    committed: Instant,
    member: usize,
    origin: Origin,
    proposal: Proposal,
}

/// A proposal that waits for a leader.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub(super) call: CallId,
    member: usize,
    origin: Origin,
    proposal: Proposal,
}

/// Bytes that the envelope of a proposal takes: its header with a ten-byte id, tag and length of the request.
const ENVELOPE: usize = 14 + 5;

impl Cluster {
    /// Proposes what a call asks for; the call is answered when its member has applied it.
    pub(crate) fn propose_call(&mut self, now: Instant, asked: Asked, proposal: Proposal) {
        let applied = self.members.get(asked.member).map_or(0, |member| member.position.index);
        if self.log.end().index > applied + self.config.max_gap {
            return self.end(asked.call, TOO_MANY_REQUESTS);
        }
        if encoded_len(&proposal) + ENVELOPE > self.config.max_request_bytes {
            return self.end(asked.call, REQUEST_TOO_LARGE);
        }
        self.wait_and_propose(now, asked, Origin::Call(asked.call), proposal);
    }

    /// Raises the alarm, and refuses the call when it is raised.
    pub(crate) fn raise_no_space(&mut self, now: Instant, asked: Asked) {
        let alarm = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: self.member_id(asked.member),
            alarm: AlarmType::Nospace as i32,
        };
        self.wait_and_propose(now, asked, Origin::Quota(asked.call), Proposal::Alarm(alarm));
    }

    fn wait_and_propose(&mut self, now: Instant, asked: Asked, origin: Origin, proposal: Proposal) {
        let Asked { call, member } = asked;
        // Answered within this call, it needs no timer.
        if self.leader_of(member).is_some() && self.commits_at_once(member) {
            self.stage(call, Stage::Blocked);
            return self.propose(now, member, origin, proposal);
        }
        let timeout = now + self.config.request_timeout();
        self.timers.insert(timeout, Timer::Request(call));
        self.stage(call, Stage::Proposed { since: now });
        if self.leader_of(member).is_some() {
            self.propose(now, member, origin, proposal);
        } else {
            self.blocked.push(Blocked { call, member, origin, proposal });
        }
    }

    /// What this member proposes now it also applies now.
    fn commits_at_once(&self, member: usize) -> bool {
        self.raft.leader().is_some()
            && self.config.commit_latency.is_zero()
            && self.in_flight.is_empty()
            && self
                .members
                .get(member)
                .is_some_and(|member| member.lag.is_zero() && member.position.index == self.log.end().index)
    }

    /// Hands a proposal to the leader; if that one is dead and nobody knows, it is lost.
    pub(crate) fn propose(&mut self, now: Instant, member: usize, origin: Origin, proposal: Proposal) {
        if self.raft.acting().is_none() {
            return;
        }
        if self.raft.leader().is_some() && self.config.commit_latency.is_zero() && self.in_flight.is_empty() {
            return self.commit(now, member, origin, proposal);
        }
        let committed = now + self.config.commit_latency;
        self.timers.insert(committed, Timer::Commit);
        self.in_flight.push_back(InFlight { committed, member, origin, proposal });
    }

    /// The proposals whose time has come are committed.
    pub(super) fn commit_due(&mut self, now: Instant) {
        while self.raft.leader().is_some()
            && self.in_flight.front().is_some_and(|first| first.committed <= now)
        {
            if let Some(InFlight { member, origin, proposal, .. }) = self.in_flight.pop_front() {
                self.commit(now, member, origin, proposal);
            }
        }
    }

    /// The leader is lost: of what it was about to commit, a part from the front is committed by the next one, the rest
    /// never.
    pub(super) fn settle_in_flight(&mut self) {
        for settled in &self.in_flight {
            self.timers.remove(settled.committed, Timer::Commit);
        }
        let mut survivors = 0;
        while survivors < self.in_flight.len() && self.rng.chance(500) {
            survivors += 1;
        }
        self.in_flight.truncate(survivors);
    }

    /// A new leader commits what its predecessor had spread.
    pub(super) fn commit_survivors(&mut self, now: Instant) {
        for InFlight { member, origin, proposal, .. } in std::mem::take(&mut self.in_flight) {
            self.commit(now, member, origin, proposal);
        }
    }

    fn commit(&mut self, now: Instant, member: usize, origin: Origin, proposal: Proposal) {
        let (result, lease) = self.state.apply(proposal, &self.config);
        let after = Position {
            index: self.log.end().index + 1,
            revision: self.state.store.revision(),
            compacted: self.state.compacted,
        };
        self.log.push(Entry { committed: now, after, lease, member, origin, result: Some(result) });
        for member in 0..self.members.len() {
            self.apply_due(now, member);
        }
    }

    /// The member applies every entry whose time has come.
    pub(super) fn apply_due(&mut self, now: Instant, member: usize) {
        while let Some(known) = self.members.get_mut(member).filter(|member| member.up) {
            let Some(entry) = self.log.after(known.position.index) else { break };
            let due = entry.committed + known.lag;
            if due > now {
                self.timers.insert(due, Timer::Apply(member));
                break;
            }
            let before = known.position.revision;
            known.position = entry.after;
            let lease = entry.lease;
            let own = entry.member == member;
            let result = if own { entry.result.take() } else { None };
            let origin = entry.origin;
            self.watch_applied(now, member, before);
            if let Some(result) = result {
                self.conclude(member, origin, result);
            }
            if self.lessor.primary() == Some(member) {
                if let Some(change) = lease {
                    self.lease_changed(now, change);
                }
                self.answer_asks(now);
            } else if self.raft.leader() == Some(member) {
                self.promote(now);
            }
            self.serve_confirmed(member);
        }
        let living = self.members.iter().filter(|member| member.up);
        let applied = living.map(|member| member.position.index).min().unwrap_or(u64::MAX);
        self.log.prune(applied);
    }

    /// Tells the proposer.
    fn conclude(&mut self, member: usize, origin: Origin, result: Result<Reply, Status>) {
        match origin {
            Origin::Server => {}
            Origin::Quota(call) => {
                if self.calls.contains_key(&call) {
                    self.end(call, NO_SPACE);
                }
            }
            Origin::Call(call) => {
                if !self.calls.contains_key(&call) {
                    return;
                }
                match result {
                    Ok(reply) => self.reply(call, &self.answerer(member), reply),
                    Err(status) => self.end(call, status),
                }
            }
        }
    }

    fn reply(&mut self, call: CallId, answerer: &Answerer, reply: Reply) {
        match reply {
            Reply::Put(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Delete(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Txn(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Compact(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Grant(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Revoke(mut response) => {
                answerer.fill(&mut response.header);
                self.answer(call, &response);
            }
            Reply::Alarm(mut response) => {
                // In 3.4 it has no header.
                if self.config.version >= V3_5 {
                    answerer.fill(&mut response.header);
                }
                self.answer(call, &response);
            }
        }
    }

    /// A leader is there: what waited for one is proposed.
    pub(super) fn propose_blocked(&mut self, now: Instant, member: usize) {
        if self.blocked.is_empty() {
            return;
        }
        let (ready, rest) =
            std::mem::take(&mut self.blocked).into_iter().partition(|blocked| blocked.member == member);
        self.blocked = rest;
        for Blocked { member, origin, proposal, .. } in ready {
            self.propose(now, member, origin, proposal);
        }
    }

    /// A proposal has waited for too long (server.go, `parseProposeCtxErr`).
    pub(super) fn request_timed_out(&mut self, call: CallId) {
        let Some(known) = self.calls.get(&call) else { return };
        let Stage::Proposed { since } = known.stage else { return };
        let member = known.member;
        let blocked = self.blocked.iter().any(|blocked| blocked.call == call);
        self.blocked.retain(|blocked| blocked.call != call);
        let status = if blocked {
            // It was not even proposed: raft had nobody to hand it to.
            let code = if self.config.version < V3_5 { 2 } else { DEADLINE_EXCEEDED.code };
            Status { code, ..DEADLINE_EXCEEDED }
        } else if self.leader_failed_after(member, since) {
            TIMEOUT_LEADER_FAILED
        } else if self.leader_of(member).is_some() && self.raft.leader().is_none() {
            TIMEOUT_CONNECTION_LOST
        } else {
            TIMEOUT
        };
        self.end(call, status);
    }

    /// The proposal was made shortly before this very member became the leader.
    fn leader_failed_after(&self, member: usize, since: Instant) -> bool {
        let elected = self.members.get(member).and_then(|member| member.elected);
        elected.is_some_and(|elected| {
            since < elected && elected.duration_since(since) < 2 * self.config.election_timeout
        })
    }
}

fn encoded_len(proposal: &Proposal) -> usize {
    match proposal {
        Proposal::Put(request) => request.encoded_len(),
        Proposal::Delete(request) => request.encoded_len(),
        Proposal::Txn(request) => request.encoded_len(),
        Proposal::Compact { .. } | Proposal::Grant { .. } | Proposal::Revoke { .. } | Proposal::Alarm(_) => {
            24
        }
    }
}
