//! Linearizable reads: a member asks the leader how far the log goes, applies so far, and answers
//! (server/etcdserver/read).
//!
//! One question is under way at a time. Reads that come meanwhile wait for the next. Without a leader the question goes
//! unanswered until it times out or a new leader is there, which ends the reads of that question with an error.

use std::time::Instant;

use etcdium_proto::etcdserverpb::{RangeRequest, TxnRequest};

use super::{Asked, Cluster, Stage, Timer};
use crate::model::status::{LEADER_CHANGED, TIMEOUT};
use crate::model::{CallId, Status};

/// A read that waits for its turn.
#[derive(Debug)]
pub(crate) enum Read {
    Range(RangeRequest),
    RangeStream(RangeRequest),
    Txn(TxnRequest),
    Members,
}

impl Cluster {
    /// Answers a read: at once if it may be stale, else when the member is known to be up to date.
    pub(crate) fn read(&mut self, now: Instant, asked: Asked, serializable: bool, read: Read) {
        let Asked { call, member } = asked;
        if serializable {
            return self.serve(call, member, read);
        }
        let has_leader = self.leader_of(member).is_some() && self.raft.leader().is_some();
        let end = self.log.end().index;
        let timeout = now + self.config.request_timeout();
        let Some(known) = self.members.get_mut(member) else { return };
        if has_leader {
            if known.position.index >= end {
                return self.serve(call, member, read);
            }
            known.reads.confirmed.push_back((end, call));
        } else if known.reads.asking.is_none() {
            known.reads.asking = Some((timeout, vec![call]));
            self.timers.insert(timeout, Timer::Reads(member));
        } else {
            known.reads.queued.push(call);
        }
        self.stage(call, Stage::Reading(read));
    }

    /// Answers from what the member has.
    fn serve(&mut self, call: CallId, member: usize, read: Read) {
        match read {
            Read::Range(request) => self.serve_range(call, member, &request),
            Read::RangeStream(request) => self.serve_range_stream(call, member, request),
            Read::Txn(request) => self.serve_txn(call, member, &request),
            Read::Members => self.serve_members(call, member),
        }
    }

    /// Answers the reads for which the member has applied enough.
    pub(super) fn serve_confirmed(&mut self, member: usize) {
        while let Some(known) = self.members.get_mut(member) {
            let Some(&(index, call)) = known.reads.confirmed.front() else { return };
            if index > known.position.index {
                return;
            }
            known.reads.confirmed.pop_front();
            self.serve_waiting(call, member);
        }
    }

    fn serve_waiting(&mut self, call: CallId, member: usize) {
        // Cancelled calls are gone.
        let Some(known) = self.calls.get_mut(&call) else { return };
        let stage = std::mem::replace(&mut known.stage, Stage::Blocked);
        if let Stage::Reading(read) = stage {
            self.serve(call, member, read);
        }
    }

    /// The question has gone unanswered for too long.
    pub(super) fn give_up_reads(&mut self, now: Instant, member: usize) {
        self.end_asking(member, &TIMEOUT);
        self.ask_again(now, member);
    }

    pub(super) fn reads_meet_new_leader(&mut self, now: Instant, member: usize) {
        self.end_asking(member, &LEADER_CHANGED);
        self.ask_again(now, member);
    }

    /// The question is answered after all.
    pub(super) fn resume_reads(&mut self, now: Instant, member: usize) {
        let Some(known) = self.members.get_mut(member) else { return };
        if let Some((timeout, calls)) = known.reads.asking.take() {
            known.reads.queued.splice(0..0, calls);
            self.timers.remove(timeout, Timer::Reads(member));
        }
        self.ask_again(now, member);
    }

    fn end_asking(&mut self, member: usize, status: &Status) {
        let asking = self.members.get_mut(member).and_then(|member| member.reads.asking.take());
        if let Some((timeout, calls)) = asking {
            self.timers.remove(timeout, Timer::Reads(member));
            for call in calls {
                if self.calls.contains_key(&call) {
                    self.end(call, status.clone());
                }
            }
        }
    }

    /// The reads that came meanwhile have their turn.
    fn ask_again(&mut self, now: Instant, member: usize) {
        let queued = self
            .members
            .get_mut(member)
            .map(|member| std::mem::take(&mut member.reads.queued))
            .unwrap_or_default();
        for call in queued {
            let Some(known) = self.calls.get_mut(&call) else { continue };
            let stage = std::mem::replace(&mut known.stage, Stage::Blocked);
            if let Stage::Reading(read) = stage {
                self.read(now, Asked { call, member }, false, read);
            }
        }
    }
}
