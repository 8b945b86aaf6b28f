//! The schemas against etcd's own, the generated code and the method table against the schemas.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use etcdium_proto::{METHODS, MethodKind, RetryClass, StreamMethod, UnaryRequest, Version, methods};
use etcdium_proto::{
    authpb::*, etcdserverpb::*, healthpb::*, mvccpb::*, streams, v3electionpb::*, v3lockpb::*,
};
use prost::{Message, Name};
use protox::prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    Value,
};

fn schemas() -> DescriptorPool {
    fn find(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("schemas") {
            let path = entry.expect("schema").path();
            if path.is_dir() { find(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut files = Vec::new();
    find(&root, &mut files);
    let set = protox::compile(files, [root]).expect("schemas compile");
    DescriptorPool::from_file_descriptor_set(set).expect("schemas are complete")
}

/// Schemas as text, one line for every message, enum and method: the form of `golden/schema.txt`.
fn lines(pool: &DescriptorPool) -> BTreeSet<String> {
    let stream = |is| if is { "stream:" } else { "" };
    let messages = pool.all_messages().map(|message| {
        let mut line = format!("message {}", message.full_name());
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields {
            line += &format!(" {}:{}:{:?}", field.number(), field.name(), field.kind());
            line += if field.is_list() { ":repeated" } else { "" };
            line += if field.is_packed() { ":packed" } else { "" };
            line += &field.containing_oneof().map_or(String::new(), |oneof| format!(":{}", oneof.name()));
        }
        line
    });
    let enums = pool.all_enums().map(|descriptor| {
        let values = descriptor.values().map(|value| format!(" {}:{}", value.number(), value.name()));
        format!("enum {}{}", descriptor.full_name(), values.collect::<String>())
    });
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).map(|method| {
        format!(
            "method {} {}{} {}{}",
            method.full_name(),
            stream(method.is_client_streaming()),
            method.input().full_name(),
            stream(method.is_server_streaming()),
            method.output().full_name()
        )
    });
    messages.chain(enums).chain(methods).collect()
}

#[test]
fn the_schemas_say_what_etcds_own_say() {
    /// Parts of the health service that the client has no use for.
    const OMITTED: [&str; 4] = [
        "grpc.health.v1.HealthListRequest",
        "grpc.health.v1.HealthListResponse",
        "grpc.health.v1.Health.List",
        "grpc.health.v1.Health.Watch",
    ];
    let theirs: BTreeSet<_> = include_str!("golden/schema.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter(|line| !OMITTED.contains(&line.split(' ').nth(1).expect("a name")))
        .map(str::to_owned)
        .collect();
    let ours = lines(&schemas());
    assert_eq!(ours.symmetric_difference(&theirs).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Decodes bytes and encodes the outcome again.
type Recode = fn(&[u8]) -> Vec<u8>;

/// Every message type of the crate.
fn message_types() -> BTreeMap<String, Recode> {
    fn again<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) -> Vec<u8> {
        let message = M::decode(bytes).expect("decodes");
        assert_eq!(message == M::default(), bytes.is_empty(), "{message:?}");
        message.encode_to_vec()
    }
    macro_rules! types {
        ($($message:ident)*) => {
            [$(($message::full_name(), again::<$message> as Recode)),*].into()
        };
    }
    types! {
        UserAddOptions User Permission Role KeyValue Event
        ResponseHeader RangeRequest RangeResponse RangeStreamResponse PutRequest PutResponse
        DeleteRangeRequest DeleteRangeResponse RequestOp ResponseOp Compare TxnRequest TxnResponse
        CompactionRequest CompactionResponse
        WatchRequest WatchCreateRequest WatchCancelRequest WatchProgressRequest WatchResponse
        LeaseGrantRequest LeaseGrantResponse LeaseRevokeRequest LeaseRevokeResponse LeaseCheckpoint
        LeaseCheckpointRequest LeaseCheckpointResponse LeaseKeepAliveRequest LeaseKeepAliveResponse
        LeaseTimeToLiveRequest LeaseTimeToLiveResponse LeaseLeasesRequest LeaseStatus LeaseLeasesResponse
        Member MemberAddRequest MemberAddResponse MemberRemoveRequest MemberRemoveResponse
        MemberUpdateRequest MemberUpdateResponse MemberListRequest MemberListResponse
        MemberPromoteRequest MemberPromoteResponse
        AlarmRequest AlarmMember AlarmResponse StatusRequest StatusResponse DowngradeInfo
        DefragmentRequest DefragmentResponse HashRequest HashResponse HashKvRequest HashKvResponse
        SnapshotRequest SnapshotResponse MoveLeaderRequest MoveLeaderResponse
        DowngradeRequest DowngradeResponse DowngradeVersionTestRequest
        AuthEnableRequest AuthEnableResponse AuthDisableRequest AuthDisableResponse
        AuthStatusRequest AuthStatusResponse AuthenticateRequest AuthenticateResponse
        AuthUserAddRequest AuthUserAddResponse AuthUserGetRequest AuthUserGetResponse
        AuthUserListRequest AuthUserListResponse AuthUserDeleteRequest AuthUserDeleteResponse
        AuthUserChangePasswordRequest AuthUserChangePasswordResponse
        AuthUserGrantRoleRequest AuthUserGrantRoleResponse
        AuthUserRevokeRoleRequest AuthUserRevokeRoleResponse
        AuthRoleAddRequest AuthRoleAddResponse AuthRoleGetRequest AuthRoleGetResponse
        AuthRoleListRequest AuthRoleListResponse AuthRoleDeleteRequest AuthRoleDeleteResponse
        AuthRoleGrantPermissionRequest AuthRoleGrantPermissionResponse
        AuthRoleRevokePermissionRequest AuthRoleRevokePermissionResponse
        LockRequest LockResponse UnlockRequest UnlockResponse
        CampaignRequest CampaignResponse LeaderKey LeaderRequest LeaderResponse ResignRequest
        ResignResponse ProclaimRequest ProclaimResponse
        HealthCheckRequest HealthCheckResponse
    }
}

/// A message with every field set, those of a oneof excepted: of each, the one at `choice` (counted round)
/// is.
fn filled(descriptor: &MessageDescriptor, choice: usize, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if let Some(oneof) = field.containing_oneof() {
            if oneof.fields().nth(choice % oneof.fields().len()).as_ref() != Some(&field) {
                continue;
            }
        }
        if depth == 0 && matches!(field.kind(), Kind::Message(_)) {
            continue;
        }
        let value = if field.cardinality() == Cardinality::Repeated {
            Value::List((0..3).map(|at| scalar(&field, choice + at, depth)).collect())
        } else {
            scalar(&field, choice, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn scalar(field: &FieldDescriptor, choice: usize, depth: usize) -> Value {
    let number = field.number();
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Int64 => Value::I64(if choice % 2 == 0 { i64::from(number) << 40 } else { -i64::from(number) }),
        Kind::Uint64 => Value::U64(u64::MAX - u64::from(number)),
        Kind::Uint32 => Value::U32(u32::MAX - number),
        Kind::String => Value::String(format!("ü{number}")),
        Kind::Bytes => Value::Bytes(vec![0, 255, u8::try_from(number).expect("small")].into()),
        Kind::Enum(values) => Value::EnumNumber(values.values().last().expect("not empty").number()),
        Kind::Message(inner) => Value::Message(filled(&inner, choice, depth - 1)),
        kind => panic!("no field is a {kind:?}"),
    }
}

#[test]
fn the_list_of_message_types_is_complete() {
    let listed: BTreeSet<_> = message_types().into_keys().collect();
    let in_schemas: BTreeSet<_> =
        schemas().all_messages().map(|message| message.full_name().to_owned()).collect();
    assert_eq!(listed, in_schemas);
}

#[test]
fn every_message_encodes_and_decodes_with_every_field_set() {
    let pool = schemas();
    for (name, again) in message_types() {
        let descriptor = pool.get_message_by_name(&name).expect("listed in the schemas");
        for choice in 0..5 {
            let message = filled(&descriptor, choice, 4);
            let bytes = message.encode_to_vec();
            let outcome = DynamicMessage::decode(descriptor.clone(), again(&bytes).as_slice())
                .expect("decodes by its schema");
            assert_eq!(outcome, message, "{name}");
            assert_eq!(bytes.is_empty(), descriptor.fields().len() == 0, "{name}");
        }
        assert_eq!(again(&[]), [], "{name}");
    }
}

/// Version in the last "Since etcd x.y." of a method's comment, else 3.0.
fn since(method: &MethodDescriptor) -> Version {
    let file = method.parent_file();
    let comment = file
        .file_descriptor_proto()
        .source_code_info
        .as_ref()
        .expect("schemas keep their comments")
        .location
        .iter()
        .find(|location| location.path == method.path())
        .map(|location| location.leading_comments().to_owned())
        .expect("every method has a comment");
    let minor = comment.split("Since etcd 3.").last().filter(|_| comment.contains("Since etcd 3."));
    let minor = minor.map_or(0, |text| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("minor version")
    });
    Version { major: 3, minor }
}

#[test]
fn the_table_lists_the_methods_of_the_schemas() {
    let mut in_schemas = BTreeMap::new();
    for service in schemas().services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            in_schemas.insert(path, method);
        }
    }
    assert_eq!(METHODS.len(), 50);
    let paths: BTreeSet<_> = METHODS.iter().map(|method| method.path().to_owned()).collect();
    assert_eq!(paths, in_schemas.keys().cloned().collect());
    for method in METHODS {
        let schema = &in_schemas[method.path()];
        let path = method.path();
        assert_eq!(path, format!("/{}/{}", method.service(), method.name()));
        assert_eq!(method.request(), schema.input().full_name(), "{path}");
        assert_eq!(method.response(), schema.output().full_name(), "{path}");
        let kind = match (schema.is_client_streaming(), schema.is_server_streaming()) {
            (false, false) => MethodKind::Unary,
            (false, true) => MethodKind::ServerStream,
            (true, true) => MethodKind::Bidi,
            (true, false) => panic!("etcd has no client streams"),
        };
        assert_eq!(method.kind(), kind, "{path}");
        assert_eq!(method.since(), since(schema), "{path}");
    }
}

#[test]
fn message_types_are_tied_to_their_methods() {
    fn unary<R: UnaryRequest + Name>(seen: &mut BTreeSet<&'static str>)
    where
        R::Response: Name,
    {
        assert_eq!(R::METHOD.kind(), MethodKind::Unary);
        assert_eq!(
            (R::METHOD.request(), R::METHOD.response()),
            (&*R::full_name(), &*R::Response::full_name())
        );
        seen.insert(R::METHOD.path());
    }
    fn stream<S: StreamMethod>(seen: &mut BTreeSet<&'static str>)
    where
        S::Request: Name,
        S::Response: Name,
    {
        assert_ne!(S::METHOD.kind(), MethodKind::Unary);
        assert_eq!(
            (S::METHOD.request(), S::METHOD.response()),
            (&*S::Request::full_name(), &*S::Response::full_name())
        );
        seen.insert(S::METHOD.path());
    }
    macro_rules! tied {
        ($check:ident: $($ty:path),*) => {{
            let mut seen = BTreeSet::new();
            $($check::<$ty>(&mut seen);)*
            seen
        }};
    }
    let mut seen = tied!(stream: streams::RangeStream, streams::Watch, streams::LeaseKeepAlive,
        streams::Snapshot, streams::Observe);
    seen.extend(tied!(unary: RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest, CompactionRequest,
        LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseLeasesRequest,
        MemberAddRequest, MemberRemoveRequest, MemberUpdateRequest, MemberListRequest,
        MemberPromoteRequest, AlarmRequest, StatusRequest, DefragmentRequest, HashRequest, HashKvRequest,
        MoveLeaderRequest, DowngradeRequest, AuthEnableRequest, AuthDisableRequest, AuthStatusRequest,
        AuthenticateRequest, AuthUserAddRequest, AuthUserGetRequest, AuthUserListRequest,
        AuthUserDeleteRequest, AuthUserChangePasswordRequest, AuthUserGrantRoleRequest,
        AuthUserRevokeRoleRequest, AuthRoleAddRequest, AuthRoleGetRequest, AuthRoleListRequest,
        AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
        LockRequest, UnlockRequest, CampaignRequest, ProclaimRequest, LeaderRequest, ResignRequest,
        HealthCheckRequest));
    assert_eq!(seen.len(), METHODS.len());
}

#[test]
fn reads_and_local_calls_are_these_and_no_others() {
    let pick = |filter: fn(&etcdium_proto::Method) -> bool| -> Vec<_> {
        METHODS.iter().filter(|method| filter(method)).map(|method| method.name()).collect()
    };
    assert_eq!(
        pick(|method| method.retry() == RetryClass::Read),
        [
            "Range",
            "RangeStream",
            "Watch",
            "LeaseTimeToLive",
            "LeaseLeases",
            "MemberList",
            "Status",
            "Hash",
            "HashKV",
            "Snapshot",
            "AuthStatus",
            "Authenticate",
            "UserGet",
            "UserList",
            "RoleGet",
            "RoleList",
            "Leader",
            "Observe",
            "Check",
        ]
    );
    assert_eq!(
        pick(|method| !method.needs_leader()),
        ["LeaseLeases", "MemberList", "Status", "Defragment", "Hash", "HashKV", "Snapshot", "Check"]
    );
    assert_eq!(methods::KV_RANGE.path(), "/etcdserverpb.KV/Range");
}
