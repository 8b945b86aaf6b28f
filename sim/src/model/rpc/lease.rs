//! `etcdserverpb.Lease` (v3rpc/lease.go); keep-alive streams are in `lease/stream.rs`.

use std::time::Instant;

use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};

use crate::model::cluster::{Asked, Stage};
use crate::model::lease::{Ask, Timed};
use crate::model::state::Proposal;
use crate::model::{CallId, Cluster, Status};

impl Cluster {
    pub(super) fn lease_grant(&mut self, now: Instant, asked: Asked, request: LeaseGrantRequest) {
        let mut id = request.id;
        while id == 0 {
            id = (self.rng.next_u64() >> 1) as i64;
        }
        self.propose_within_quota(now, asked, Proposal::Grant { id, ttl: request.ttl }, Ok(()));
    }

    pub(super) fn lease_revoke(&mut self, now: Instant, asked: Asked, request: LeaseRevokeRequest) {
        self.propose_call(now, asked, Proposal::Revoke { id: request.id });
    }

    pub(super) fn time_to_live(&mut self, now: Instant, asked: Asked, request: LeaseTimeToLiveRequest) {
        let LeaseTimeToLiveRequest { id, keys } = request;
        self.stage(asked.call, Stage::TimeToLive { keys });
        if let Some(answer) = self.ask(now, Ask::new(asked.call, asked.member, id, false, now)) {
            self.time_to_live_known(now, asked.call, id, answer);
        }
    }

    /// The leader has said how long a lease has to live.
    pub(crate) fn time_to_live_known(
        &mut self,
        now: Instant,
        call: CallId,
        id: i64,
        answer: Result<Option<Timed>, Status>,
    ) {
        let Some(known) = self.calls.get(&call) else { return };
        let (member, Stage::TimeToLive { keys }) = (known.member, &known.stage) else { return };
        let attached = if *keys {
            self.state.leases.get(id).map(|lease| lease.keys.iter().cloned().collect()).unwrap_or_default()
        } else {
            Vec::new()
        };
        let header = self.answerer(member).header();
        let response = match answer {
            Err(status) => return self.end(call, status),
            Ok(None) => LeaseTimeToLiveResponse { header, id, ttl: -1, ..LeaseTimeToLiveResponse::default() },
            Ok(Some(lease)) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: lease.expiry.saturating_duration_since(now).as_secs() as i64,
                granted_ttl: lease.ttl,
                keys: attached,
            },
        };
        self.answer(call, &response);
    }

    /// Answers from what the member has.
    pub(super) fn lease_leases(&mut self, asked: Asked) {
        let mut ids: Vec<i64> = self.leases_known_to(asked.member).into_keys().collect();
        if self.lessor.primary() == Some(asked.member) {
            ids.sort_by_key(|&id| self.lessor.get(id).map(|lease| lease.expiry));
        }
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        let response = LeaseLeasesResponse { header: self.answerer(asked.member).header(), leases };
        self.answer(asked.call, &response);
    }
}
