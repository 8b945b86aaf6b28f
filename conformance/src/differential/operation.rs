//! What a script is made of.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::HealthCheckRequest;
use prost::Message;

use super::answer::Kind;

/// How many watch streams a script has; they are the first ones.
pub(super) const WATCHES: usize = 3;
/// How many streams a script has in all. Those that are no watches renew leases.
pub(super) const STREAMS: usize = 5;

/// One call with one answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    TimeToLive(LeaseTimeToLiveRequest),
    Leases(LeaseLeasesRequest),
    Status(StatusRequest),
    Members(MemberListRequest),
    Alarm(AlarmRequest),
    Health(HealthCheckRequest),
    RangeStream(RangeRequest),
}

impl Call {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Range(_) => Kind::Range,
            Self::Put(_) => Kind::Put,
            Self::Delete(_) => Kind::Delete,
            Self::Txn(_) => Kind::Txn,
            Self::Compact(_) => Kind::Compact,
            Self::Grant(_) => Kind::Grant,
            Self::Revoke(_) => Kind::Revoke,
            Self::TimeToLive(_) => Kind::TimeToLive,
            Self::Leases(_) => Kind::Leases,
            Self::Status(_) => Kind::Status,
            Self::Members(_) => Kind::Members,
            Self::Alarm(_) => Kind::Alarm,
            Self::Health(_) => Kind::Health,
            Self::RangeStream(_) => Kind::RangeStream,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Range(request) => request.encode_to_vec(),
            Self::Put(request) => request.encode_to_vec(),
            Self::Delete(request) => request.encode_to_vec(),
            Self::Txn(request) => request.encode_to_vec(),
            Self::Compact(request) => request.encode_to_vec(),
            Self::Grant(request) => request.encode_to_vec(),
            Self::Revoke(request) => request.encode_to_vec(),
            Self::TimeToLive(request) => request.encode_to_vec(),
            Self::Leases(request) => request.encode_to_vec(),
            Self::Status(request) => request.encode_to_vec(),
            Self::Members(request) => request.encode_to_vec(),
            Self::Alarm(request) => request.encode_to_vec(),
            Self::Health(request) => request.encode_to_vec(),
            Self::RangeStream(request) => request.encode_to_vec(),
        }
        .into()
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Call(Call),
    /// Grants a lease under an id of the server's choice, or for a time too short to rely on, and revokes it at once.
    Brief(LeaseGrantRequest),
    /// Grants this lease for the shortest time, puts a key with it, and waits until both are gone.
    Expire {
        lease: i64,
        key: &'static str,
    },
    /// Sends this on a watch stream, opening it if need be.
    Watch {
        stream: usize,
        request: WatchRequest,
    },
    /// Renews a lease on a stream, opening it if need be.
    KeepAlive {
        stream: usize,
        lease: i64,
    },
    /// Ends a stream if it is open: half-closed and waited for, or reset.
    End {
        stream: usize,
        politely: bool,
    },
    /// Waits until all watches have delivered what there is.
    Settle,
}
