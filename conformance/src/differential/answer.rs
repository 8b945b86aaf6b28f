//! Answers with everything masked that two servers cannot agree on.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::Status;
use prost::Message;

/// Leaves the revision alone.
fn mask_header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
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
        }
    }

    /// Decodes and masks.
    pub(super) fn read(self, message: &Bytes) -> Answer {
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
        };
        mask(&mut answer);
        answer
    }
}

fn decode<M: Message + Default>(message: &Bytes, wrap: fn(M) -> Answer) -> Answer {
    M::decode(message.clone()).map_or_else(|error| Answer::Garbage(error.to_string()), wrap)
}

fn mask(answer: &mut Answer) {
    match answer {
        Answer::Range(response) => mask_header(&mut response.header),
        Answer::Put(response) => mask_header(&mut response.header),
        Answer::Delete(response) => mask_header(&mut response.header),
        Answer::Txn(response) => mask_txn(response),
        Answer::Compact(response) => mask_header(&mut response.header),
        Answer::Grant(response) => mask_header(&mut response.header),
        Answer::Revoke(response) => mask_header(&mut response.header),
        Answer::TimeToLive(response) => {
            mask_header(&mut response.header);
            response.ttl = response.ttl.signum();
            // The keys of a lease come out of a hash map.
            response.keys.sort();
        }
        Answer::Leases(response) => {
            mask_header(&mut response.header);
            // By expiry, and leases of one script may expire in any order.
            response.leases.sort_by_key(|lease| lease.id);
        }
        Answer::KeepAlive(response) => mask_header(&mut response.header),
        Answer::Watch(response) => mask_header(&mut response.header),
        Answer::Status(_) | Answer::Garbage(_) => {}
    }
}

fn mask_txn(txn: &mut TxnResponse) {
    mask_header(&mut txn.header);
    for response in &mut txn.responses {
        match &mut response.response {
            Some(Response::ResponseRange(response)) => mask_header(&mut response.header),
            Some(Response::ResponsePut(response)) => mask_header(&mut response.header),
            Some(Response::ResponseDeleteRange(response)) => mask_header(&mut response.header),
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
