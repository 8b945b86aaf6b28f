//! `etcdserverpb.Cluster` (v3rpc/member.go).

use std::time::Instant;

use etcdium_proto::etcdserverpb::{Member, MemberListRequest, MemberListResponse, ResponseHeader};

use crate::model::cluster::{Asked, Read};
use crate::model::config::V3_5;
use crate::model::{CallId, Cluster};

impl Cluster {
    pub(super) fn member_list(&mut self, now: Instant, asked: Asked, request: MemberListRequest) {
        let local = !request.linearizable || self.config.version < V3_5;
        self.read(now, asked, local, Read::Members);
    }

    /// Answers from what the member knows. Such headers say no revision.
    pub(crate) fn serve_members(&mut self, call: CallId, member: usize) {
        let answerer = self.answerer(member);
        let header = Some(ResponseHeader {
            cluster_id: answerer.cluster_id,
            member_id: answerer.member_id,
            revision: 0,
            raft_term: answerer.raft_term,
        });
        let members = (0..self.members.len())
            .map(|member| Member {
                id: self.member_id(member),
                name: format!("m{member}"),
                peer_urls: vec![format!("http://127.0.0.1:{}", 2380 + 10 * member)],
                client_urls: vec![format!("http://127.0.0.1:{}", 2379 + 10 * member)],
                is_learner: self.members.get(member).is_some_and(|member| member.learner),
            })
            .collect();
        self.answer(call, &MemberListResponse { header, members });
    }
}
