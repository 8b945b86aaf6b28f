//! From a message to the method that answers it.

use std::time::Instant;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DefragmentRequest, DeleteRangeRequest, LeaseGrantRequest,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberListRequest, MoveLeaderRequest,
    PutRequest, RangeRequest, StatusRequest, TxnRequest,
};
use etcdium_proto::healthpb::HealthCheckRequest;
use prost::Message;

use super::Rpc;
use crate::model::Cluster;
use crate::model::cluster::Asked;

impl Cluster {
    /// Decodes the request of a call that has sent none before, asks the interceptors, and answers.
    pub(crate) fn dispatch(&mut self, now: Instant, asked: Asked, rpc: Rpc, message: Bytes) {
        match rpc {
            Rpc::Range => {
                let Some(request) = self.decode::<RangeRequest>(asked.call, message) else { return };
                if self.admit(asked, request.serializable) {
                    self.range(now, asked, request);
                }
            }
            Rpc::Put => self.unary(asked, message, |this, request: PutRequest| this.put(now, asked, request)),
            Rpc::DeleteRange => self.unary(asked, message, |this, request: DeleteRangeRequest| {
                this.delete_range(now, asked, request);
            }),
            Rpc::Txn => self.unary(asked, message, |this, request: TxnRequest| this.txn(now, asked, request)),
            Rpc::Compact => self.unary(asked, message, |this, request: CompactionRequest| {
                this.compaction(now, asked, request);
            }),
            Rpc::LeaseGrant => self.unary(asked, message, |this, request: LeaseGrantRequest| {
                this.lease_grant(now, asked, request);
            }),
            Rpc::LeaseRevoke => self.unary(asked, message, |this, request: LeaseRevokeRequest| {
                this.lease_revoke(now, asked, request);
            }),
            Rpc::LeaseTimeToLive => self.unary(asked, message, |this, request: LeaseTimeToLiveRequest| {
                this.time_to_live(now, asked, request);
            }),
            Rpc::LeaseLeases => {
                self.unary(asked, message, |this, _: LeaseLeasesRequest| this.lease_leases(asked));
            }
            Rpc::LeaseKeepAlive => self.keep_alive_message(now, asked, message),
            Rpc::MoveLeader => self.unary(asked, message, |this, request: MoveLeaderRequest| {
                this.move_leader(now, asked, request);
            }),
            Rpc::MemberList => self.unary(asked, message, |this, request: MemberListRequest| {
                this.member_list(now, asked, request);
            }),
            Rpc::Alarm => {
                self.unary(asked, message, |this, request: AlarmRequest| this.alarm(now, asked, request));
            }
            Rpc::Defragment => {
                self.unary(asked, message, |this, _: DefragmentRequest| this.defragment(asked));
            }
            Rpc::Health => {
                self.unary(asked, message, |this, request: HealthCheckRequest| this.health(asked, &request));
            }
            Rpc::Status => {
                if self.decode::<StatusRequest>(asked.call, message).is_some() && self.admit(asked, true) {
                    self.status(asked);
                }
            }
            // Its requests go to the stream that opening it has made.
            Rpc::Watch => {}
            Rpc::RangeStream => {
                if let Some(request) = self.decode::<RangeRequest>(asked.call, message) {
                    self.range_stream(now, asked, request);
                }
            }
        }
    }

    /// A request that learners do not answer.
    fn unary<M: Message + Default>(&mut self, asked: Asked, message: Bytes, go: impl FnOnce(&mut Self, M)) {
        if let Some(request) = self.decode(asked.call, message) {
            if self.admit(asked, false) {
                go(self, request);
            }
        }
    }

    /// Asks the interceptors; ends the call if they refuse it.
    fn admit(&mut self, asked: Asked, local: bool) -> bool {
        match self.intercept(asked.member, self.requires_leader(asked.call), local) {
            Ok(()) => true,
            Err(status) => {
                self.end(asked.call, status);
                false
            }
        }
    }
}
