//! The replicated state machine: what an entry of the log does (server/etcdserver/apply).

use std::collections::BTreeSet;

use etcdium_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdium_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse, PutRequest, PutResponse, ResponseHeader,
    TxnRequest, TxnResponse,
};

use super::lease::Leases;
use super::status::{
    COMPACTED, CORRUPT, FUTURE_REVISION, LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE, NO_SPACE,
};
use super::store::{NOTHING_COMPACTED, Span, Store, Writer};
use super::{ClusterConfig, Status, rpc, txn};

/// Longest time to live a lease can have, in seconds (lessor.go).
const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// What can be proposed.
#[derive(Debug, Clone)]
pub(crate) enum Proposal {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact { revision: i64 },
    Grant { id: i64, ttl: i64 },
    Revoke { id: i64 },
    Alarm(AlarmRequest),
}

/// The answer to a proposal; its header says at most the revision.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Grant(LeaseGrantResponse),
    Revoke(LeaseRevokeResponse),
    Alarm(AlarmResponse),
}

/// What an entry did to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseChange {
    Granted { id: i64, ttl: i64 },
    Revoked { id: i64, ttl: i64 },
}

/// The state of the cluster as of its whole log.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) leases: Leases,
    /// Revisions below are compacted.
    pub(crate) compacted: i64,
    /// Type and member.
    pub(crate) alarms: BTreeSet<(i32, u64)>,
    /// Size of the database file: what was in use at most since the last defragmentation.
    pub(crate) file_size: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            store: Store::default(),
            leases: Leases::default(),
            compacted: NOTHING_COMPACTED,
            alarms: BTreeSet::new(),
            file_size: 0,
        }
    }
}

/// Pages of an empty bbolt file.
const EMPTY_FILE: u64 = 20_480;

impl State {
    /// Bytes of the database in use.
    pub(crate) fn in_use(&self) -> u64 {
        EMPTY_FILE + self.store.in_use()
    }

    /// Bytes of the database file.
    pub(crate) fn file_size(&self) -> u64 {
        self.file_size.max(self.in_use())
    }

    /// Some member has raised the alarm.
    fn is_raised(&self, alarm: AlarmType) -> bool {
        self.alarms.iter().any(|&(raised, _)| raised == alarm as i32)
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.store.revision(), ..ResponseHeader::default() })
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.store, &mut self.leases, self.compacted)
    }

    /// Applies one entry.
    pub(crate) fn apply(
        &mut self,
        proposal: Proposal,
        config: &ClusterConfig,
    ) -> (Result<Reply, Status>, Option<LeaseChange>) {
        if self.is_raised(AlarmType::Corrupt) && !matches!(proposal, Proposal::Alarm(_)) {
            return (Err(CORRUPT), None);
        }
        let cost = rpc::quota::cost(&proposal);
        if cost > 0 {
            if self.is_raised(AlarmType::Nospace) {
                return (Err(NO_SPACE), None);
            }
            // Above the quota the entry is applied all the same, and then refused.
            let fits = self.file_size() + cost < config.quota;
            let (reply, change) = self.dispatch(proposal, config);
            self.file_size = self.file_size();
            return (if fits { reply } else { reply.and(Err(NO_SPACE)) }, change);
        }
        let applied = self.dispatch(proposal, config);
        self.file_size = self.file_size();
        applied
    }

    fn dispatch(
        &mut self,
        proposal: Proposal,
        config: &ClusterConfig,
    ) -> (Result<Reply, Status>, Option<LeaseChange>) {
        let reply = match proposal {
            Proposal::Put(put) => txn::put(&mut self.writer(), put).map(Reply::Put),
            Proposal::Delete(delete) => Ok(Reply::Delete(txn::delete_range(&mut self.writer(), &delete))),
            Proposal::Txn(txn) => txn::write_txn(&mut self.writer(), txn, config.version).map(Reply::Txn),
            Proposal::Compact { revision } => self.compact(revision).map(Reply::Compact),
            Proposal::Grant { id, ttl } => return self.grant(id, ttl, config),
            Proposal::Revoke { id } => return self.revoke(id),
            Proposal::Alarm(alarm) => Ok(Reply::Alarm(self.alarm(&alarm))),
        };
        (reply, None)
    }

    fn compact(&mut self, revision: i64) -> Result<CompactionResponse, Status> {
        if revision <= self.compacted {
            return Err(COMPACTED);
        }
        if revision > self.store.revision() {
            return Err(FUTURE_REVISION);
        }
        self.store.compacted(self.compacted, revision);
        self.compacted = revision;
        Ok(CompactionResponse { header: self.header() })
    }

    fn grant(
        &mut self,
        id: i64,
        ttl: i64,
        config: &ClusterConfig,
    ) -> (Result<Reply, Status>, Option<LeaseChange>) {
        if ttl > MAX_LEASE_TTL {
            return (Err(LEASE_TTL_TOO_LARGE), None);
        }
        if self.leases.get(id).is_some() {
            return (Err(LEASE_EXISTS), None);
        }
        let ttl = ttl.max(config.min_lease_ttl());
        self.leases.insert(id, ttl);
        let response = LeaseGrantResponse { header: self.header(), id, ttl, ..LeaseGrantResponse::default() };
        (Ok(Reply::Grant(response)), Some(LeaseChange::Granted { id, ttl }))
    }

    fn revoke(&mut self, id: i64) -> (Result<Reply, Status>, Option<LeaseChange>) {
        let Some(lease) = self.leases.remove(id) else { return (Err(LEASE_NOT_FOUND), None) };
        let mut writer = self.writer();
        for key in &lease.keys {
            writer.delete(Span::One(key));
        }
        let response = LeaseRevokeResponse { header: self.header() };
        (Ok(Reply::Revoke(response)), Some(LeaseChange::Revoked { id, ttl: lease.ttl }))
    }

    fn alarm(&mut self, request: &AlarmRequest) -> AlarmResponse {
        let one = (request.alarm, request.member_id);
        let changed = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => {
                let alarms =
                    self.alarms.iter().filter(|(alarm, _)| request.alarm == 0 || *alarm == request.alarm);
                let alarms = alarms.map(|&(alarm, member_id)| AlarmMember { member_id, alarm }).collect();
                return AlarmResponse { header: None, alarms };
            }
            Ok(AlarmAction::Activate) if request.alarm != 0 => {
                self.alarms.insert(one);
                true
            }
            Ok(AlarmAction::Deactivate) => self.alarms.remove(&one),
            _ => false,
        };
        let alarms = if changed {
            vec![AlarmMember { member_id: request.member_id, alarm: request.alarm }]
        } else {
            Vec::new()
        };
        AlarmResponse { header: None, alarms }
    }
}
