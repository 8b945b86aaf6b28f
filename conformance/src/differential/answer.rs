//! Answers with everything masked that two servers cannot agree on.

use std::cell::Cell;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::HealthCheckResponse;
use etcdium_sim::model::Status;
use prost::Message;

/// Leaves the revision alone.
fn mask_header(header: &mut ResponseHeader) {
    (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
}

/// The ids that a server has told first. Two servers have different ones, but each of them always the same.
#[derive(Debug, Default)]
pub(super) struct Identity(Cell<Option<(u64, u64)>>);

impl Identity {
    /// What is wrong with the ids of a header.
    fn check(&self, header: &ResponseHeader) -> Result<(), String> {
        let told = (header.cluster_id, header.member_id);
        if told.0 == 0 || told.1 == 0 {
            return Err(format!("a cluster or member id is 0: {header:?}"));
        }
        match self.0.replace(Some(told)) {
            Some(before) if before != told => Err(format!("ids were {before:?}: {header:?}")),
            _ => Ok(()),
        }
    }
}

/// An answer to compare.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Range(RangeResponse),
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Grant(LeaseGrantResponse),
    Revoke(LeaseRevokeResponse),
    TimeToLive(LeaseTimeToLiveResponse),
    Leases(LeaseLeasesResponse),
    KeepAlive(LeaseKeepAliveResponse),
    Watch(WatchResponse),
    ServerStatus(StatusResponse),
    Members(MemberListResponse),
    Alarm(AlarmResponse),
    Health(HealthCheckResponse),
    RangeStream(RangeResponse),
    /// The call ended with this status.
    Status(Status),
    /// The bytes are no such message.
    Garbage(String),
}

/// Which message to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Range,
    Put,
    Delete,
    Txn,
    Compact,
    Grant,
    Revoke,
    TimeToLive,
    Leases,
    KeepAlive,
    Watch,
    Status,
    Members,
    Alarm,
    Health,
    RangeStream,
}

impl Kind {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Range => "/etcdserverpb.KV/Range",
            Self::Put => "/etcdserverpb.KV/Put",
            Self::Delete => "/etcdserverpb.KV/DeleteRange",
            Self::Txn => "/etcdserverpb.KV/Txn",
            Self::Compact => "/etcdserverpb.KV/Compact",
            Self::Grant => "/etcdserverpb.Lease/LeaseGrant",
            Self::Revoke => "/etcdserverpb.Lease/LeaseRevoke",
            Self::TimeToLive => "/etcdserverpb.Lease/LeaseTimeToLive",
            Self::Leases => "/etcdserverpb.Lease/LeaseLeases",
            Self::KeepAlive => "/etcdserverpb.Lease/LeaseKeepAlive",
            Self::Watch => "/etcdserverpb.Watch/Watch",
            Self::Status => "/etcdserverpb.Maintenance/Status",
            Self::Members => "/etcdserverpb.Cluster/MemberList",
            Self::Alarm => "/etcdserverpb.Maintenance/Alarm",
            Self::Health => "/grpc.health.v1.Health/Check",
            Self::RangeStream => "/etcdserverpb.KV/RangeStream",
        }
    }

    /// Decodes and masks, and looks whether the ids are those of this server.
    pub(super) fn read(self, message: &Bytes, identity: &Identity) -> Answer {
        let mut answer = match self {
            Self::Range => decode(message, Answer::Range),
            Self::Put => decode(message, Answer::Put),
            Self::Delete => decode(message, Answer::Delete),
            Self::Txn => decode(message, Answer::Txn),
            Self::Compact => decode(message, Answer::Compact),
            Self::Grant => decode(message, Answer::Grant),
            Self::Revoke => decode(message, Answer::Revoke),
            Self::TimeToLive => decode(message, Answer::TimeToLive),
            Self::Leases => decode(message, Answer::Leases),
            Self::KeepAlive => decode(message, Answer::KeepAlive),
            Self::Watch => decode(message, Answer::Watch),
            Self::Status => decode(message, Answer::ServerStatus),
            Self::Members => decode(message, Answer::Members),
            Self::Alarm => decode(message, Answer::Alarm),
            Self::Health => decode(message, Answer::Health),
            Self::RangeStream => decode(message, |chunk: RangeStreamResponse| {
                Answer::RangeStream(chunk.range_response.unwrap_or_default())
            }),
        };
        if let Some(Err(wrong)) = header(&mut answer).map(|header| identity.check(header)) {
            return Answer::Garbage(wrong);
        }
        mask(&mut answer);
        answer
    }
}

fn decode<M: Message + Default>(message: &Bytes, wrap: fn(M) -> Answer) -> Answer {
    M::decode(message.clone()).map_or_else(|error| Answer::Garbage(error.to_string()), wrap)
}

/// The header of an answer.
fn header(answer: &mut Answer) -> Option<&mut ResponseHeader> {
    let header = match answer {
        Answer::Range(response) | Answer::RangeStream(response) => &mut response.header,
        Answer::Put(response) => &mut response.header,
        Answer::Delete(response) => &mut response.header,
        Answer::Txn(response) => &mut response.header,
        Answer::Compact(response) => &mut response.header,
        Answer::Grant(response) => &mut response.header,
        Answer::Revoke(response) => &mut response.header,
        Answer::TimeToLive(response) => &mut response.header,
        Answer::Leases(response) => &mut response.header,
        Answer::KeepAlive(response) => &mut response.header,
        Answer::Watch(response) => &mut response.header,
        Answer::ServerStatus(response) => &mut response.header,
        Answer::Members(response) => &mut response.header,
        Answer::Alarm(response) => &mut response.header,
        Answer::Health(_) | Answer::Status(_) | Answer::Garbage(_) => return None,
    };
    header.as_mut()
}

fn mask(answer: &mut Answer) {
    let mut own = 0;
    if let Some(header) = header(answer) {
        own = header.member_id;
        mask_header(header);
    }
    match answer {
        Answer::Txn(response) => mask_txn(response),
        Answer::TimeToLive(response) => {
            response.ttl = response.ttl.signum();
            // The keys of a lease come out of a hash map.
            response.keys.sort();
        }
        Answer::ServerStatus(status) => mask_status(status, own),
        Answer::Members(response) => response.members.iter_mut().for_each(|member| {
            member.id = u64::from(member.id == own);
            member.name.truncate(1);
            member.peer_urls.iter_mut().chain(&mut member.client_urls).for_each(|url| url.truncate(4));
        }),
        _ => {}
    }
}

/// Leaves what does not depend on the history of the process: sizes and places in the log are there or not, the leader is
/// the server itself or not, and of the version the patch does not count.
fn mask_status(status: &mut StatusResponse, own: u64) {
    status.leader = u64::from(status.leader == own);
    status.db_size = status.db_size.signum();
    status.db_size_in_use = status.db_size_in_use.signum();
    for place in [&mut status.raft_index, &mut status.raft_term, &mut status.raft_applied_index] {
        *place = (*place).min(1);
    }
    status.version = status.version.rsplit_once('.').map_or("", |(minor, _)| minor).to_owned();
}

/// One answer out of the messages of a call. Where a range is cut is not compared.
pub(super) fn join(messages: Vec<Answer>) -> Answer {
    let joined = messages.into_iter().reduce(|first, next| match (first, next) {
        (Answer::RangeStream(mut first), Answer::RangeStream(mut next)) if first.header.is_none() => {
            first.kvs.append(&mut next.kvs);
            Answer::RangeStream(RangeResponse { kvs: first.kvs, ..next })
        }
        (first, next) => Answer::Garbage(format!("two messages: {first:?} and {next:?}")),
    });
    joined.unwrap_or_else(|| Answer::Garbage("no message".to_owned()))
}

fn mask_txn(txn: &mut TxnResponse) {
    txn.header.iter_mut().for_each(mask_header);
    for response in &mut txn.responses {
        match &mut response.response {
            Some(Response::ResponseRange(response)) => response.header.iter_mut().for_each(mask_header),
            Some(Response::ResponsePut(response)) => response.header.iter_mut().for_each(mask_header),
            Some(Response::ResponseDeleteRange(response)) => response.header.iter_mut().for_each(mask_header),
            Some(Response::ResponseTxn(response)) => mask_txn(response),
            None => {}
        }
    }
}

/// The revision that an answer's header tells.
pub(super) fn revision(answer: &Answer) -> Option<i64> {
    let header = match answer {
        Answer::Range(response) => &response.header,
        Answer::Put(response) => &response.header,
        Answer::Delete(response) => &response.header,
        Answer::Txn(response) => &response.header,
        _ => &None,
    };
    header.as_ref().map(|header| header.revision)
}
