//! `etcdserverpb.Maintenance` (v3rpc/maintenance.go), as far as clients of a model can make use of it.

use std::time::Instant;

use etcdium_proto::etcdserverpb::{
    AlarmRequest, AlarmType, DefragmentResponse, DowngradeInfo, MoveLeaderRequest, MoveLeaderResponse,
    StatusResponse,
};

use crate::model::Cluster;
use crate::model::cluster::Asked;
use crate::model::config::{V3_6, release};
use crate::model::state::Proposal;
use crate::model::status::{BAD_LEADER_TRANSFEREE, NOT_LEADER};

impl Cluster {
    /// Answers from what the member has, learner or not.
    pub(super) fn status(&mut self, asked: Asked) {
        let version = self.config.version;
        let leader = self.leader_of(asked.member);
        let mut errors = Vec::new();
        if leader.is_none() {
            errors.push("etcdserver: no leader".to_owned());
        }
        for &(alarm, member) in &self.state.alarms {
            let name = AlarmType::try_from(alarm).map_or("", |alarm| alarm.as_str_name());
            errors.push(format!("memberID:{member} alarm:{name} "));
        }
        let newer = version >= V3_6;
        let Some(member) = self.members.get(asked.member) else { return };
        let response = StatusResponse {
            header: self.answerer(asked.member).header(),
            version: release(version),
            db_size: self.state.file_size() as i64,
            leader: leader.map_or(0, |leader| self.member_id(leader)),
            raft_index: self.log.end().index,
            raft_term: self.raft.term(),
            raft_applied_index: member.position.index,
            errors,
            db_size_in_use: self.state.in_use() as i64,
            is_learner: member.learner,
            storage_version: if newer { format!("{version}.0") } else { String::new() },
            db_size_quota: if newer { self.config.quota as i64 } else { 0 },
            downgrade_info: newer.then(DowngradeInfo::default),
        };
        self.answer(asked.call, &response);
    }

    pub(super) fn alarm(&mut self, now: Instant, asked: Asked, request: AlarmRequest) {
        self.propose_call(now, asked, Proposal::Alarm(request));
    }

    /// Only the leader gives its place away, and not to a learner. The answer has no header.
    pub(super) fn move_leader(&mut self, now: Instant, asked: Asked, request: MoveLeaderRequest) {
        if self.raft.leader() != Some(asked.member) {
            return self.end(asked.call, NOT_LEADER);
        }
        let target = (0..self.members.len()).find(|&member| self.member_id(member) == request.target_id);
        match target {
            Some(target) if self.members.get(target).is_some_and(|target| !target.learner) => {
                self.set_leader(now, Some(target));
                self.answer(asked.call, &MoveLeaderResponse::default());
            }
            _ => self.end(asked.call, BAD_LEADER_TRANSFEREE),
        }
    }

    /// Gives back what compaction has set free. The answer has no header.
    pub(super) fn defragment(&mut self, asked: Asked) {
        self.state.file_size = 0;
        self.answer(asked.call, &DefragmentResponse::default());
    }
}
