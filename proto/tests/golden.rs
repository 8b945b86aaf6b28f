//! Wire bytes pinned against an independent encoder.
//!
//! `golden/messages.hex` was written by Go's protobuf encoder over etcd's own Go types (`golden/main.go`; the
//! command is in its first line). Each message is built here a second time: it must encode to those bytes and
//! decode from them.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use etcdium_proto::authpb::{Permission, User, UserAddOptions, permission};
use etcdium_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcdium_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::watch_create_request::FilterType;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::{HealthCheckRequest, HealthCheckResponse, health_check_response};
use etcdium_proto::mvccpb::{Event, KeyValue, event};
use etcdium_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderResponse, ProclaimRequest,
};
use etcdium_proto::v3lockpb::{LockRequest, LockResponse};
use prost::Message;

/// The pinned bytes that have not been compared yet, by name.
struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn load() -> Self {
        let lines = include_str!("golden/messages.hex").lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .map(|line| {
                    let (name, hex) = line.split_once(' ').expect("name and bytes");
                    (name, unhex(hex.trim_start_matches('-')))
                })
                .collect(),
        )
    }

    fn check<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: M) {
        assert_eq!(message.encode_to_vec(), self.0[name], "{name} encodes differently");
        self.check_reordered(name, message);
    }

    /// For a message whose fields the two encoders write in a different order, as the protocol allows.
    fn check_reordered<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: M) {
        let bytes = self.0.remove(name).expect(name);
        assert_eq!(message.encoded_len(), bytes.len(), "{name} has another length");
        assert_eq!(M::decode(bytes.as_slice()).expect(name), message, "{name} decodes differently");
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn large_header() -> ResponseHeader {
    ResponseHeader { cluster_id: u64::MAX, member_id: 1 << 63, revision: i64::MAX, raft_term: 2 }
}

fn pair() -> KeyValue {
    KeyValue {
        key: "k".into(),
        create_revision: 5,
        mod_revision: 300,
        version: 2,
        value: vec![0, 255, 128].into(),
        lease: 0x7fff_0000_0000_0001,
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn answer(response: Response) -> ResponseOp {
    ResponseOp { response: Some(response) }
}

fn watch(request: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(request) }
}

fn leader() -> LeaderKey {
    LeaderKey { name: "e".into(), key: "e/1".into(), rev: 9, lease: 1 }
}

fn txn() -> TxnRequest {
    let compare = |result: CompareResult, target: CompareTarget, key: &'static str, union| Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        range_end: Default::default(),
        target_union: union,
    };
    let deep = TxnRequest {
        failure: vec![op(Request::RequestRange(RangeRequest { key: "deep".into(), ..Default::default() }))],
        ..Default::default()
    };
    let inner = TxnRequest { success: vec![op(Request::RequestTxn(deep))], ..Default::default() };
    TxnRequest {
        compare: vec![
            compare(CompareResult::Equal, CompareTarget::Version, "a", Some(TargetUnion::Version(0))),
            compare(
                CompareResult::Greater,
                CompareTarget::Create,
                "b",
                Some(TargetUnion::CreateRevision(-1)),
            ),
            compare(CompareResult::Less, CompareTarget::Mod, "c", Some(TargetUnion::ModRevision(i64::MAX))),
            compare(
                CompareResult::NotEqual,
                CompareTarget::Value,
                "d",
                Some(TargetUnion::Value(Default::default())),
            ),
            compare(CompareResult::Equal, CompareTarget::Lease, "e", Some(TargetUnion::Lease(7))),
            compare(CompareResult::Equal, CompareTarget::Mod, "f", None),
        ],
        success: vec![
            op(Request::RequestPut(PutRequest { key: "a".into(), value: "1".into(), ..Default::default() })),
            op(Request::RequestTxn(inner)),
        ],
        failure: vec![
            op(Request::RequestRange(RangeRequest::default())),
            op(Request::RequestDeleteRange(DeleteRangeRequest {
                key: "x".into(),
                range_end: "y".into(),
                prev_kv: true,
            })),
            RequestOp { request: None },
        ],
    }
}

fn check_kv(golden: &mut Golden) {
    golden.check("header_large", large_header());
    golden.check("header_empty", ResponseHeader::default());
    golden.check(
        "range_full",
        RangeRequest {
            key: "k".into(),
            range_end: vec![0].into(),
            limit: 100,
            revision: 1 << 40,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Value.into(),
            serializable: true,
            keys_only: true,
            count_only: true,
            min_mod_revision: 1,
            max_mod_revision: 127,
            min_create_revision: 128,
            max_create_revision: 16384,
        },
    );
    golden.check(
        "range_negative",
        RangeRequest { key: "k".into(), limit: -1, revision: i64::MIN, ..Default::default() },
    );
    golden.check(
        "range_response",
        RangeResponse {
            header: Some(large_header()),
            kvs: vec![pair(), KeyValue::default()],
            more: true,
            count: 12345,
        },
    );
    golden.check(
        "range_stream_response",
        RangeStreamResponse {
            range_response: Some(RangeResponse { kvs: vec![pair()], ..Default::default() }),
        },
    );
    golden.check(
        "put_full",
        PutRequest {
            key: "k".into(),
            value: "v".into(),
            lease: -2,
            prev_kv: true,
            ignore_value: true,
            ignore_lease: true,
        },
    );
    golden.check(
        "put_response",
        PutResponse { header: Some(ResponseHeader::default()), prev_kv: Some(pair()) },
    );
    golden.check(
        "delete_response",
        DeleteRangeResponse { header: Some(large_header()), deleted: 2, prev_kvs: vec![pair(), pair()] },
    );
    golden.check("txn_nested", txn());
    // Go writes a oneof after all other fields, prost by its lowest tag.
    golden.check_reordered(
        "compare_range",
        Compare {
            result: CompareResult::Less.into(),
            target: CompareTarget::Lease.into(),
            key: "e".into(),
            range_end: vec![0].into(),
            target_union: Some(TargetUnion::Lease(7)),
        },
    );
    golden.check("txn_empty", TxnRequest::default());
    golden.check(
        "txn_response",
        TxnResponse {
            header: Some(large_header()),
            succeeded: true,
            responses: vec![
                answer(Response::ResponsePut(PutResponse::default())),
                answer(Response::ResponseRange(RangeResponse { count: 1, ..Default::default() })),
                answer(Response::ResponseDeleteRange(DeleteRangeResponse {
                    deleted: 3,
                    ..Default::default()
                })),
                answer(Response::ResponseTxn(TxnResponse { succeeded: true, ..Default::default() })),
            ],
        },
    );
    golden.check("compaction", CompactionRequest { revision: 77, physical: true });
}

fn check_watch(golden: &mut Golden) {
    golden.check(
        "watch_create",
        watch(RequestUnion::CreateRequest(WatchCreateRequest {
            key: "w".into(),
            range_end: "x".into(),
            start_revision: 42,
            progress_notify: true,
            filters: vec![FilterType::Nodelete.into(), FilterType::Noput.into()],
            prev_kv: true,
            watch_id: 11,
            fragment: true,
        })),
    );
    golden.check("watch_cancel", watch(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: -1 })));
    golden.check("watch_progress", watch(RequestUnion::ProgressRequest(WatchProgressRequest {})));
    golden.check(
        "watch_response",
        WatchResponse {
            header: Some(large_header()),
            watch_id: -1,
            created: true,
            canceled: true,
            compact_revision: 9,
            cancel_reason: "why".into(),
            fragment: true,
            events: vec![
                Event { r#type: event::EventType::Put.into(), kv: Some(pair()), prev_kv: None },
                Event {
                    r#type: event::EventType::Delete.into(),
                    kv: Some(KeyValue { key: "k".into(), mod_revision: 301, ..Default::default() }),
                    prev_kv: Some(pair()),
                },
            ],
        },
    );
}

fn check_lease(golden: &mut Golden) {
    golden.check("lease_grant", LeaseGrantRequest { ttl: 9_000_000_000, id: i64::MAX });
    golden.check(
        "lease_grant_response",
        LeaseGrantResponse { header: Some(large_header()), id: 1, ttl: 2, error: "e".into() },
    );
    golden.check("lease_time_to_live", LeaseTimeToLiveRequest { id: 3, keys: true });
    golden.check(
        "lease_time_to_live_response",
        LeaseTimeToLiveResponse {
            header: Some(large_header()),
            id: 3,
            ttl: -1,
            granted_ttl: 60,
            keys: vec!["a".into(), "".into(), "b".into()],
        },
    );
    golden.check(
        "lease_leases_response",
        LeaseLeasesResponse { header: None, leases: vec![LeaseStatus { id: 1 }, LeaseStatus { id: -1 }] },
    );
}

fn check_cluster_and_maintenance(golden: &mut Golden) {
    golden
        .check("member_add", MemberAddRequest { peer_urls: vec!["http://c:2380".into()], is_learner: true });
    golden.check("member_list", MemberListRequest { linearizable: true });
    golden.check(
        "member_list_response",
        MemberListResponse {
            header: Some(large_header()),
            members: vec![
                Member {
                    id: u64::MAX,
                    name: "größe".into(),
                    peer_urls: vec!["http://a:2380".into(), "http://b:2380".into()],
                    client_urls: vec!["http://a:2379".into(), String::new()],
                    is_learner: true,
                },
                Member::default(),
            ],
        },
    );
    golden.check(
        "alarm",
        AlarmRequest {
            action: alarm_request::AlarmAction::Deactivate.into(),
            member_id: 5,
            alarm: AlarmType::Corrupt.into(),
        },
    );
    golden.check(
        "alarm_response",
        AlarmResponse {
            header: None,
            alarms: vec![AlarmMember { member_id: 5, alarm: AlarmType::Nospace.into() }],
        },
    );
    golden.check("status_empty", StatusRequest {});
    golden.check(
        "status_response",
        StatusResponse {
            header: Some(large_header()),
            version: "3.7.3".into(),
            db_size: 20480,
            leader: 1 << 60,
            raft_index: 10,
            raft_term: 3,
            raft_applied_index: 9,
            errors: vec!["etcdserver: no leader".into(), "x".into()],
            db_size_in_use: 16384,
            is_learner: true,
            storage_version: "3.7.0".into(),
            db_size_quota: 2 << 30,
            downgrade_info: Some(DowngradeInfo { enabled: true, target_version: "3.6.0".into() }),
        },
    );
    golden.check(
        "hash_kv_response",
        HashKvResponse {
            header: Some(large_header()),
            hash: u32::MAX,
            compact_revision: 4,
            hash_revision: 8,
        },
    );
    golden.check(
        "snapshot_response",
        SnapshotResponse {
            header: None,
            remaining_bytes: u64::MAX,
            blob: vec![1, 2, 3].into(),
            version: "3.7.0".into(),
        },
    );
    golden.check("move_leader", MoveLeaderRequest { target_id: u64::MAX });
    golden.check(
        "downgrade",
        DowngradeRequest { action: downgrade_request::DowngradeAction::Cancel.into(), version: "3.6".into() },
    );
}

fn check_auth(golden: &mut Golden) {
    golden.check("authenticate", AuthenticateRequest { name: "root".into(), password: "pässword".into() });
    golden.check(
        "user_add",
        AuthUserAddRequest {
            name: "u".into(),
            password: "p".into(),
            options: Some(UserAddOptions { no_password: true }),
            hashed_password: "h".into(),
        },
    );
    golden.check(
        "user_add_default_options",
        AuthUserAddRequest {
            name: "u".into(),
            password: "p".into(),
            options: Some(UserAddOptions::default()),
            hashed_password: String::new(),
        },
    );
    golden.check(
        "role_grant_permission",
        AuthRoleGrantPermissionRequest {
            name: "r".into(),
            perm: Some(Permission {
                perm_type: permission::Type::Readwrite.into(),
                key: "k".into(),
                range_end: vec![0].into(),
            }),
        },
    );
    golden.check(
        "role_get_response",
        AuthRoleGetResponse {
            header: Some(large_header()),
            perm: vec![
                Permission { key: "k".into(), ..Default::default() },
                Permission { perm_type: permission::Type::Write.into(), ..Default::default() },
            ],
        },
    );
    golden.check(
        "auth_status_response",
        AuthStatusResponse { header: Some(large_header()), enabled: true, auth_revision: 12 },
    );
    golden.check(
        "stored_user",
        User {
            name: "u".into(),
            password: vec![9].into(),
            roles: vec!["a".into(), "b".into()],
            options: Some(UserAddOptions { no_password: true }),
        },
    );
}

fn check_lock_election_health(golden: &mut Golden) {
    golden.check("lock", LockRequest { name: "l".into(), lease: 1 << 62 });
    golden.check(
        "lock_response",
        LockResponse { header: Some(large_header()), key: "l/4000000000000000".into() },
    );
    golden.check("campaign", CampaignRequest { name: "e".into(), lease: 1, value: "v".into() });
    golden.check(
        "campaign_response",
        CampaignResponse { header: Some(large_header()), leader: Some(leader()) },
    );
    golden.check("proclaim", ProclaimRequest { leader: Some(leader()), value: "w".into() });
    golden.check("leader_response", LeaderResponse { header: Some(large_header()), kv: Some(pair()) });
    golden.check("health", HealthCheckRequest { service: "etcd".into() });
    golden.check(
        "health_response",
        HealthCheckResponse { status: health_check_response::ServingStatus::NotServing.into() },
    );
}

#[test]
fn messages_match_the_bytes_of_gos_encoder() {
    let mut golden = Golden::load();
    assert!(golden.0.len() >= 20);
    check_kv(&mut golden);
    check_watch(&mut golden);
    check_lease(&mut golden);
    check_cluster_and_maintenance(&mut golden);
    check_auth(&mut golden);
    check_lock_election_health(&mut golden);
    assert!(golden.0.is_empty(), "pinned but not built here: {:?}", golden.0.keys());
}

#[test]
fn filters_decode_unpacked_too() {
    let unpacked = [0x28, 1, 0x28, 0];
    let request = WatchCreateRequest::decode(unpacked.as_slice()).unwrap();
    assert_eq!(request.filters().collect::<Vec<_>>(), [FilterType::Nodelete, FilterType::Noput]);
}
