//! The services: one file each. Here: which method a path names, and who may be asked (v3rpc/interceptor.go).

mod cluster;
mod dispatch;
mod health;
mod kv;
mod lease;
mod maintenance;
pub(crate) mod quota;

use etcdium_proto::etcdserverpb::ResponseHeader;
use etcdium_proto::{METHODS, Method, Version};

use super::Status;

/// A method the model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    Range,
    RangeStream,
    Put,
    DeleteRange,
    Txn,
    Compact,
    LeaseGrant,
    LeaseRevoke,
    LeaseKeepAlive,
    LeaseTimeToLive,
    LeaseLeases,
    MemberList,
    Status,
    Alarm,
    Defragment,
    MoveLeader,
    Health,
    Watch,
}

impl Rpc {
    /// The method of a path.
    ///
    /// # Errors
    ///
    /// What grpc-go says of paths that a server of this version does not have.
    pub(crate) fn find(path: &str, version: Version) -> Result<Self, Status> {
        let rpc = match path {
            "/etcdserverpb.KV/Range" => Self::Range,
            "/etcdserverpb.KV/Put" => Self::Put,
            "/etcdserverpb.KV/DeleteRange" => Self::DeleteRange,
            "/etcdserverpb.KV/Txn" => Self::Txn,
            "/etcdserverpb.KV/Compact" => Self::Compact,
            "/etcdserverpb.KV/RangeStream" if has(path, version) => Self::RangeStream,
            "/etcdserverpb.Lease/LeaseGrant" => Self::LeaseGrant,
            "/etcdserverpb.Lease/LeaseRevoke" => Self::LeaseRevoke,
            "/etcdserverpb.Lease/LeaseKeepAlive" => Self::LeaseKeepAlive,
            "/etcdserverpb.Lease/LeaseTimeToLive" => Self::LeaseTimeToLive,
            "/etcdserverpb.Lease/LeaseLeases" => Self::LeaseLeases,
            "/etcdserverpb.Cluster/MemberList" => Self::MemberList,
            "/etcdserverpb.Maintenance/Status" => Self::Status,
            "/etcdserverpb.Maintenance/Alarm" => Self::Alarm,
            "/etcdserverpb.Maintenance/Defragment" => Self::Defragment,
            "/etcdserverpb.Watch/Watch" => Self::Watch,
            "/etcdserverpb.Maintenance/MoveLeader" => Self::MoveLeader,
            "/grpc.health.v1.Health/Check" => Self::Health,
            _ => return Err(unknown(path)),
        };
        Ok(rpc)
    }

    /// The client may send more than one message, or the server.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::RangeStream | Self::LeaseKeepAlive | Self::Watch)
    }
}

fn has(path: &str, version: Version) -> bool {
    METHODS.iter().any(|method| method.path() == path && method.since() <= version)
}

fn unknown(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
        return Status::unimplemented(format!("malformed method name: {path:?}"));
    };
    if METHODS.iter().map(|method: &&Method| method.service()).any(|known| known == service) {
        Status::unimplemented(format!("unknown method {method} for service {service}"))
    } else {
        Status::unimplemented(format!("unknown service {service}"))
    }
}

/// Who answers: what a header says besides the revision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answerer {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) raft_term: u64,
    /// The member's own revision, said where the request has none of its own.
    pub(crate) revision: i64,
}

impl Answerer {
    /// Completes a header (v3rpc/header.go, `fill`).
    pub(crate) fn fill(&self, header: &mut Option<ResponseHeader>) {
        let header = header.get_or_insert_default();
        header.cluster_id = self.cluster_id;
        header.member_id = self.member_id;
        header.raft_term = self.raft_term;
        if header.revision == 0 {
            header.revision = self.revision;
        }
    }

    pub(crate) fn header(&self) -> Option<ResponseHeader> {
        let mut header = None;
        self.fill(&mut header);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{V3_6, V3_7};

    #[test]
    fn unknown_paths_are_told_apart() {
        for (path, message) in [
            ("/etcdserverpb.KV/Rangee", "unknown method Rangee for service etcdserverpb.KV"),
            ("/nothing.Here/Call", "unknown service nothing.Here"),
            ("nonsense", "malformed method name: \"nonsense\""),
        ] {
            let status = Rpc::find(path, V3_7).expect_err(path);
            assert_eq!((status.code, status.message.as_ref()), (12, message));
        }
    }

    #[test]
    fn a_method_is_unknown_before_its_first_version() {
        let path = "/etcdserverpb.KV/RangeStream";
        assert_eq!(Rpc::find(path, V3_7), Ok(Rpc::RangeStream));
        assert_eq!(Rpc::find(path, V3_6).map_err(|status| status.code), Err(12));
    }
}
