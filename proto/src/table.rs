//! The table of methods: one line each.

use crate::etcdserverpb::*;
use crate::etcdserverpb::{HashKvRequest as HashKVRequest, HashKvResponse as HashKVResponse};
use crate::healthpb::*;
use crate::method::{Method, MethodKind, RetryClass, Version};
use crate::request::{StreamMethod, UnaryRequest, alarm_retry_class, txn_needs_leader, txn_retry_class};
use crate::v3electionpb::*;
use crate::v3lockpb::*;

const V3_0: Version = Version { major: 3, minor: 0 };
const V3_1: Version = Version { major: 3, minor: 1 };
const V3_2: Version = Version { major: 3, minor: 2 };
const V3_3: Version = Version { major: 3, minor: 3 };
const V3_4: Version = Version { major: 3, minor: 4 };
const V3_5: Version = Version { major: 3, minor: 5 };
const V3_7: Version = Version { major: 3, minor: 7 };

/// The answer comes from, or is confirmed by, the leader.
const LEADER: bool = true;
/// The member answers from what it has.
const LOCAL: bool = false;

/// Ties the message types to a method: a request type for a unary one, a marker type for a streaming one.
macro_rules! tie {
    (Unary $const:ident $name:ident $request:ident $response:ident { $($rule:tt)* }) => {
        impl UnaryRequest for $request {
            type Response = $response;
            const METHOD: &'static Method = &methods::$const;
            $($rule)*
        }
    };
    ($stream:ident $const:ident $name:ident $request:ident $response:ident { $($rule:tt)* }) => {
        impl StreamMethod for streams::$name {
            type Request = $request;
            type Response = $response;
            const METHOD: &'static Method = &methods::$const;
            $($rule)*
        }
    };
}

macro_rules! methods {
    ($($package:literal $service:ident {
        $($const:ident = $kind:ident $name:ident($request:ident) -> $response:ident,
            $retry:ident, $leader:ident, $since:ident $({ $($rule:tt)* })?;)*
    })*) => {
        /// Every method by name.
        pub mod methods {
            use super::*;
            $($(
                #[doc = concat!("`/", $package, ".", stringify!($service), "/", stringify!($name), "`")]
                pub static $const: Method = Method {
                    path: concat!("/", $package, ".", stringify!($service), "/", stringify!($name)),
                    service: concat!($package, ".", stringify!($service)),
                    name: stringify!($name),
                    kind: MethodKind::$kind,
                    request: concat!($package, ".", stringify!($request)),
                    response: concat!($package, ".", stringify!($response)),
                    retry: RetryClass::$retry,
                    needs_leader: $leader,
                    since: $since,
                };
            )*)*
        }

        /// Every method: the 49 of etcd, service by service, then the health check.
        pub static METHODS: &[&Method] = &[$($(&methods::$const,)*)*];

        $($(tie! { $kind $const $name $request $response { $($($rule)*)? } })*)*
    };
}

/// Marker types for the streaming methods.
pub mod streams {
    /// Reads a range of keys in chunks.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct RangeStream;
    /// Carries watches.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Watch;
    /// Renews leases.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct LeaseKeepAlive;
    /// Downloads a member's database.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Snapshot;
    /// Follows the leader of an election.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Observe;
}

// Columns: kind, name, request, response; retry class; who is needed for the answer; first version; rules for
// requests whose content decides.
methods! {
    "etcdserverpb" KV {
        KV_RANGE = Unary Range(RangeRequest) -> RangeResponse, Read, LEADER, V3_0 {
            fn needs_leader(&self) -> bool {
                !self.serializable
            }
        };
        KV_RANGE_STREAM = ServerStream RangeStream(RangeRequest) -> RangeStreamResponse, Read, LEADER, V3_7 {
            fn needs_leader(request: &RangeRequest) -> bool {
                !request.serializable
            }
        };
        KV_PUT = Unary Put(PutRequest) -> PutResponse, Write, LEADER, V3_0;
        KV_DELETE_RANGE = Unary DeleteRange(DeleteRangeRequest) -> DeleteRangeResponse, Write, LEADER, V3_0;
        KV_TXN = Unary Txn(TxnRequest) -> TxnResponse, Write, LEADER, V3_0 {
            fn retry_class(&self) -> RetryClass {
                txn_retry_class(self)
            }
            fn needs_leader(&self) -> bool {
                txn_needs_leader(self)
            }
        };
        KV_COMPACT = Unary Compact(CompactionRequest) -> CompactionResponse, Write, LEADER, V3_0;
    }
    "etcdserverpb" Watch {
        WATCH = Bidi Watch(WatchRequest) -> WatchResponse, Read, LEADER, V3_0;
    }
    "etcdserverpb" Lease {
        LEASE_GRANT = Unary LeaseGrant(LeaseGrantRequest) -> LeaseGrantResponse, Write, LEADER, V3_0;
        LEASE_REVOKE = Unary LeaseRevoke(LeaseRevokeRequest) -> LeaseRevokeResponse, Write, LEADER, V3_0;
        LEASE_KEEP_ALIVE =
            Bidi LeaseKeepAlive(LeaseKeepAliveRequest) -> LeaseKeepAliveResponse, Write, LEADER, V3_0;
        LEASE_TIME_TO_LIVE =
            Unary LeaseTimeToLive(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse, Read, LEADER, V3_1;
        LEASE_LEASES = Unary LeaseLeases(LeaseLeasesRequest) -> LeaseLeasesResponse, Read, LOCAL, V3_3;
    }
    "etcdserverpb" Cluster {
        CLUSTER_MEMBER_ADD = Unary MemberAdd(MemberAddRequest) -> MemberAddResponse, Write, LEADER, V3_0;
        CLUSTER_MEMBER_REMOVE =
            Unary MemberRemove(MemberRemoveRequest) -> MemberRemoveResponse, Write, LEADER, V3_0;
        CLUSTER_MEMBER_UPDATE =
            Unary MemberUpdate(MemberUpdateRequest) -> MemberUpdateResponse, Write, LEADER, V3_0;
        CLUSTER_MEMBER_LIST = Unary MemberList(MemberListRequest) -> MemberListResponse, Read, LOCAL, V3_0 {
            fn needs_leader(&self) -> bool {
                self.linearizable
            }
        };
        CLUSTER_MEMBER_PROMOTE =
            Unary MemberPromote(MemberPromoteRequest) -> MemberPromoteResponse, Write, LEADER, V3_4;
    }
    "etcdserverpb" Maintenance {
        MAINTENANCE_ALARM = Unary Alarm(AlarmRequest) -> AlarmResponse, Write, LEADER, V3_0 {
            fn retry_class(&self) -> RetryClass {
                alarm_retry_class(self)
            }
        };
        MAINTENANCE_STATUS = Unary Status(StatusRequest) -> StatusResponse, Read, LOCAL, V3_0;
        MAINTENANCE_DEFRAGMENT =
            Unary Defragment(DefragmentRequest) -> DefragmentResponse, Write, LOCAL, V3_0;
        MAINTENANCE_HASH = Unary Hash(HashRequest) -> HashResponse, Read, LOCAL, V3_0;
        MAINTENANCE_HASH_KV = Unary HashKV(HashKVRequest) -> HashKVResponse, Read, LOCAL, V3_3;
        MAINTENANCE_SNAPSHOT = ServerStream Snapshot(SnapshotRequest) -> SnapshotResponse, Read, LOCAL, V3_0;
        MAINTENANCE_MOVE_LEADER =
            Unary MoveLeader(MoveLeaderRequest) -> MoveLeaderResponse, Write, LEADER, V3_3;
        MAINTENANCE_DOWNGRADE = Unary Downgrade(DowngradeRequest) -> DowngradeResponse, Write, LEADER, V3_5;
    }
    "etcdserverpb" Auth {
        AUTH_ENABLE = Unary AuthEnable(AuthEnableRequest) -> AuthEnableResponse, Write, LEADER, V3_0;
        AUTH_DISABLE = Unary AuthDisable(AuthDisableRequest) -> AuthDisableResponse, Write, LEADER, V3_0;
        AUTH_STATUS = Unary AuthStatus(AuthStatusRequest) -> AuthStatusResponse, Read, LEADER, V3_5;
        AUTHENTICATE = Unary Authenticate(AuthenticateRequest) -> AuthenticateResponse, Read, LEADER, V3_0;
        AUTH_USER_ADD = Unary UserAdd(AuthUserAddRequest) -> AuthUserAddResponse, Write, LEADER, V3_0;
        AUTH_USER_GET = Unary UserGet(AuthUserGetRequest) -> AuthUserGetResponse, Read, LEADER, V3_0;
        AUTH_USER_LIST = Unary UserList(AuthUserListRequest) -> AuthUserListResponse, Read, LEADER, V3_0;
        AUTH_USER_DELETE =
            Unary UserDelete(AuthUserDeleteRequest) -> AuthUserDeleteResponse, Write, LEADER, V3_0;
        AUTH_USER_CHANGE_PASSWORD =
            Unary UserChangePassword(AuthUserChangePasswordRequest) -> AuthUserChangePasswordResponse,
            Write, LEADER, V3_0;
        AUTH_USER_GRANT_ROLE =
            Unary UserGrantRole(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse, Write, LEADER, V3_0;
        AUTH_USER_REVOKE_ROLE =
            Unary UserRevokeRole(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse, Write, LEADER, V3_0;
        AUTH_ROLE_ADD = Unary RoleAdd(AuthRoleAddRequest) -> AuthRoleAddResponse, Write, LEADER, V3_0;
        AUTH_ROLE_GET = Unary RoleGet(AuthRoleGetRequest) -> AuthRoleGetResponse, Read, LEADER, V3_0;
        AUTH_ROLE_LIST = Unary RoleList(AuthRoleListRequest) -> AuthRoleListResponse, Read, LEADER, V3_0;
        AUTH_ROLE_DELETE =
            Unary RoleDelete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse, Write, LEADER, V3_0;
        AUTH_ROLE_GRANT_PERMISSION =
            Unary RoleGrantPermission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse,
            Write, LEADER, V3_0;
        AUTH_ROLE_REVOKE_PERMISSION =
            Unary RoleRevokePermission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse,
            Write, LEADER, V3_0;
    }
    "v3lockpb" Lock {
        LOCK = Unary Lock(LockRequest) -> LockResponse, Write, LEADER, V3_2;
        UNLOCK = Unary Unlock(UnlockRequest) -> UnlockResponse, Write, LEADER, V3_2;
    }
    "v3electionpb" Election {
        ELECTION_CAMPAIGN = Unary Campaign(CampaignRequest) -> CampaignResponse, Write, LEADER, V3_2;
        ELECTION_PROCLAIM = Unary Proclaim(ProclaimRequest) -> ProclaimResponse, Write, LEADER, V3_2;
        ELECTION_LEADER = Unary Leader(LeaderRequest) -> LeaderResponse, Read, LEADER, V3_2;
        ELECTION_OBSERVE = ServerStream Observe(LeaderRequest) -> LeaderResponse, Read, LEADER, V3_2;
        ELECTION_RESIGN = Unary Resign(ResignRequest) -> ResignResponse, Write, LEADER, V3_2;
    }
    "grpc.health.v1" Health {
        HEALTH_CHECK = Unary Check(HealthCheckRequest) -> HealthCheckResponse, Read, LOCAL, V3_3;
    }
}
