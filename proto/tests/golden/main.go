// Command golden prints the bytes that Go's protobuf encoder gives for a choice of etcd messages or, with the argument
// `schema` (schema.go), the schemas compiled into etcd's Go modules. The tests `golden.rs` and `schema.rs` compare.
package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

func header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: math.MaxUint64, MemberId: 1 << 63, Revision: math.MaxInt64, RaftTerm: 2}
}

func pair() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: []byte("k"), CreateRevision: 5, ModRevision: 300, Version: 2, Value: []byte{0, 255, 128},
		Lease: 0x7fff_0000_0000_0001,
	}
}

func opRange(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func opPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func opDelete(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func opTxn(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

func txn() *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{
			{Result: pb.Compare_EQUAL, Target: pb.Compare_VERSION, Key: []byte("a"),
				TargetUnion: &pb.Compare_Version{Version: 0}},
			{Result: pb.Compare_GREATER, Target: pb.Compare_CREATE, Key: []byte("b"),
				TargetUnion: &pb.Compare_CreateRevision{CreateRevision: -1}},
			{Result: pb.Compare_LESS, Target: pb.Compare_MOD, Key: []byte("c"),
				TargetUnion: &pb.Compare_ModRevision{ModRevision: math.MaxInt64}},
			{Result: pb.Compare_NOT_EQUAL, Target: pb.Compare_VALUE, Key: []byte("d"),
				TargetUnion: &pb.Compare_Value{Value: []byte{}}},
			{Result: pb.Compare_EQUAL, Target: pb.Compare_LEASE, Key: []byte("e"),
				TargetUnion: &pb.Compare_Lease{Lease: 7}},
			{Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte("f")},
		},
		Success: []*pb.RequestOp{
			opPut(&pb.PutRequest{Key: []byte("a"), Value: []byte("1")}),
			opTxn(&pb.TxnRequest{
				Success: []*pb.RequestOp{opTxn(&pb.TxnRequest{Failure: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: []byte("deep")})}})},
			}),
		},
		Failure: []*pb.RequestOp{
			opRange(&pb.RangeRequest{}),
			opDelete(&pb.DeleteRangeRequest{Key: []byte("x"), RangeEnd: []byte("y"), PrevKv: true}),
			{},
		},
	}
}

func members() []*pb.Member {
	return []*pb.Member{
		{ID: math.MaxUint64, Name: "größe", PeerURLs: []string{"http://a:2380", "http://b:2380"},
			ClientURLs: []string{"http://a:2379", ""}, IsLearner: true},
		{},
	}
}

func leader() *v3electionpb.LeaderKey {
	return &v3electionpb.LeaderKey{Name: []byte("e"), Key: []byte("e/1"), Rev: 9, Lease: 1}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "schema" {
		printSchema()
		return
	}
	fmt.Println("# Made by Go's encoder from main.go: cd proto/tests/golden && go run . > messages.hex")
	fmt.Println("# Modules: go.etcd.io/etcd/api/v3 and go.etcd.io/etcd/server/v3, versions in go.mod.")
	for _, c := range []struct {
		name    string
		message proto.Message
	}{
		{"header_large", header()},
		{"header_empty", &pb.ResponseHeader{}},
		{"range_full", &pb.RangeRequest{
			Key: []byte("k"), RangeEnd: []byte{0}, Limit: 100, Revision: 1 << 40,
			SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_VALUE,
			Serializable: true, KeysOnly: true, CountOnly: true,
			MinModRevision: 1, MaxModRevision: 127, MinCreateRevision: 128, MaxCreateRevision: 16384,
		}},
		{"range_negative", &pb.RangeRequest{Key: []byte("k"), Limit: -1, Revision: math.MinInt64}},
		{"range_response", &pb.RangeResponse{Header: header(), Kvs: []*mvccpb.KeyValue{pair(), {}}, More: true, Count: 12345}},
		{"range_stream_response", &pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{pair()}}}},
		{"put_full", &pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: -2, PrevKv: true, IgnoreValue: true, IgnoreLease: true}},
		{"put_response", &pb.PutResponse{Header: &pb.ResponseHeader{}, PrevKv: pair()}},
		{"delete_response", &pb.DeleteRangeResponse{Header: header(), Deleted: 2, PrevKvs: []*mvccpb.KeyValue{pair(), pair()}}},
		{"txn_nested", txn()},
		{"compare_range", &pb.Compare{Result: pb.Compare_LESS, Target: pb.Compare_LEASE, Key: []byte("e"), RangeEnd: []byte{0},
			TargetUnion: &pb.Compare_Lease{Lease: 7}}},
		{"txn_empty", &pb.TxnRequest{}},
		{"txn_response", &pb.TxnResponse{Header: header(), Succeeded: true, Responses: []*pb.ResponseOp{
			{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}},
			{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Count: 1}}},
			{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: &pb.DeleteRangeResponse{Deleted: 3}}},
			{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: &pb.TxnResponse{Succeeded: true}}},
		}}},
		{"compaction", &pb.CompactionRequest{Revision: 77, Physical: true}},
		{"watch_create", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte("w"), RangeEnd: []byte("x"), StartRevision: 42, ProgressNotify: true,
			Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE, pb.WatchCreateRequest_NOPUT},
			PrevKv:  true, WatchId: 11, Fragment: true,
		}}}},
		{"watch_cancel", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: -1}}}},
		{"watch_progress", &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}},
		{"watch_response", &pb.WatchResponse{
			Header: header(), WatchId: -1, Created: true, Canceled: true, CompactRevision: 9, CancelReason: "why", Fragment: true,
			Events: []*mvccpb.Event{
				{Type: mvccpb.Event_PUT, Kv: pair()},
				{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 301}, PrevKv: pair()},
			},
		}},
		{"lease_grant", &pb.LeaseGrantRequest{TTL: 9_000_000_000, ID: math.MaxInt64}},
		{"lease_grant_response", &pb.LeaseGrantResponse{Header: header(), ID: 1, TTL: 2, Error: "e"}},
		{"lease_time_to_live", &pb.LeaseTimeToLiveRequest{ID: 3, Keys: true}},
		{"lease_time_to_live_response", &pb.LeaseTimeToLiveResponse{Header: header(), ID: 3, TTL: -1, GrantedTTL: 60,
			Keys: [][]byte{[]byte("a"), {}, []byte("b")}}},
		{"lease_leases_response", &pb.LeaseLeasesResponse{Leases: []*pb.LeaseStatus{{ID: 1}, {ID: -1}}}},
		{"member_add", &pb.MemberAddRequest{PeerURLs: []string{"http://c:2380"}, IsLearner: true}},
		{"member_list", &pb.MemberListRequest{Linearizable: true}},
		{"member_list_response", &pb.MemberListResponse{Header: header(), Members: members()}},
		{"alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 5, Alarm: pb.AlarmType_CORRUPT}},
		{"alarm_response", &pb.AlarmResponse{Alarms: []*pb.AlarmMember{{MemberID: 5, Alarm: pb.AlarmType_NOSPACE}}}},
		{"status_empty", &pb.StatusRequest{}},
		{"status_response", &pb.StatusResponse{
			Header: header(), Version: "3.7.3", DbSize: 20480, Leader: 1 << 60, RaftIndex: 10, RaftTerm: 3,
			RaftAppliedIndex: 9, Errors: []string{"etcdserver: no leader", "x"}, DbSizeInUse: 16384, IsLearner: true,
			StorageVersion: "3.7.0", DbSizeQuota: 2 << 30, DowngradeInfo: &pb.DowngradeInfo{Enabled: true, TargetVersion: "3.6.0"},
		}},
		{"hash_kv_response", &pb.HashKVResponse{Header: header(), Hash: math.MaxUint32, CompactRevision: 4, HashRevision: 8}},
		{"snapshot_response", &pb.SnapshotResponse{RemainingBytes: math.MaxUint64, Blob: []byte{1, 2, 3}, Version: "3.7.0"}},
		{"move_leader", &pb.MoveLeaderRequest{TargetID: math.MaxUint64}},
		{"downgrade", &pb.DowngradeRequest{Action: pb.DowngradeRequest_CANCEL, Version: "3.6"}},
		{"authenticate", &pb.AuthenticateRequest{Name: "root", Password: "pässword"}},
		{"user_add", &pb.AuthUserAddRequest{Name: "u", Password: "p", Options: &authpb.UserAddOptions{NoPassword: true}, HashedPassword: "h"}},
		{"user_add_default_options", &pb.AuthUserAddRequest{Name: "u", Password: "p", Options: &authpb.UserAddOptions{}}},
		{"role_grant_permission", &pb.AuthRoleGrantPermissionRequest{Name: "r",
			Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: []byte("k"), RangeEnd: []byte{0}}}},
		{"role_get_response", &pb.AuthRoleGetResponse{Header: header(), Perm: []*authpb.Permission{{Key: []byte("k")}, {PermType: authpb.WRITE}}}},
		{"auth_status_response", &pb.AuthStatusResponse{Header: header(), Enabled: true, AuthRevision: 12}},
		{"stored_user", &authpb.User{Name: []byte("u"), Password: []byte{9}, Roles: []string{"a", "b"}, Options: &authpb.UserAddOptions{NoPassword: true}}},
		{"lock", &v3lockpb.LockRequest{Name: []byte("l"), Lease: 1 << 62}},
		{"lock_response", &v3lockpb.LockResponse{Header: header(), Key: []byte("l/4000000000000000")}},
		{"campaign", &v3electionpb.CampaignRequest{Name: []byte("e"), Lease: 1, Value: []byte("v")}},
		{"campaign_response", &v3electionpb.CampaignResponse{Header: header(), Leader: leader()}},
		{"proclaim", &v3electionpb.ProclaimRequest{Leader: leader(), Value: []byte("w")}},
		{"leader_response", &v3electionpb.LeaderResponse{Header: header(), Kv: pair()}},
		{"health", &grpc_health_v1.HealthCheckRequest{Service: "etcd"}},
		{"health_response", &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}},
	} {
		bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.message)
		if err != nil {
			panic(err)
		}
		text := hex.EncodeToString(bytes)
		if text == "" {
			text = "-"
		}
		fmt.Println(c.name, text)
	}
}
