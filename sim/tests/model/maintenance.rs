//! Status, alarms, members, health, what is not there.

use std::time::Duration;

use etcdium_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::HealthCheckRequest;
use etcdium_sim::model::{ClusterConfig, V3_4, V3_5, V3_6, V3_7};
use prost::Message;

use crate::support::{Rig, bytes, delete, put, range, span, text};

#[test]
fn status_tells_version_leader_and_size() {
    for (version, release, storage) in
        [(V3_4, "3.4.", ""), (V3_5, "3.5.", ""), (V3_6, "3.6.", "3.6.0"), (V3_7, "3.7.3", "3.7.0")]
    {
        let mut rig = Rig::new(ClusterConfig { version, ..ClusterConfig::default() });
        let empty = rig.call(&StatusRequest {});
        rig.put("k", "v");
        let status = rig.call(&StatusRequest {});
        assert!(status.version.starts_with(release), "{}", status.version);
        assert_eq!(status.storage_version, storage);
        assert_eq!(status.leader, rig.cluster.member_id(0));
        assert!(status.db_size > empty.db_size && status.raft_index > empty.raft_index);
        assert_eq!(status.raft_applied_index, status.raft_index);
        assert!(status.errors.is_empty());
    }
}

#[test]
fn status_tells_that_there_is_no_leader() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    let status = rig.call(&StatusRequest {});
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
}

#[test]
fn above_the_quota_writes_are_refused_until_space_is_made_and_the_alarm_disarmed() {
    let mut rig = Rig::new(ClusterConfig { quota: 30_000, ..ClusterConfig::default() });
    let no_space = (8, "etcdserver: mvcc: database space exceeded".to_owned());
    let value = "x".repeat(4_000);
    let refused = loop {
        if let Err(status) = rig.try_call(0, &put("k", &value)) {
            break status;
        }
    };
    assert_eq!(text(refused), no_space);
    let revision = rig.cluster.committed_revision();
    let alarms = rig.call(&AlarmRequest::default()).alarms;
    assert_eq!(
        alarms,
        [AlarmMember { member_id: rig.cluster.member_id(0), alarm: AlarmType::Nospace as i32 }]
    );
    assert_eq!(rig.call(&StatusRequest {}).errors.len(), 1);
    // While the alarm is on, nothing that costs space is applied; deletions are.
    assert_eq!(rig.try_call(0, &put("k", "")).map_err(text).err(), Some(no_space.clone()));
    assert_eq!(rig.try_call(0, &LeaseGrantRequest { id: 1, ttl: 9 }).map_err(text).err(), Some(no_space));
    assert_eq!(rig.cluster.committed_revision(), revision);
    assert_eq!(rig.call(&delete("k", "")).deleted, 1);
    rig.call(&CompactionRequest { revision: revision + 1, physical: true });
    rig.call(&DefragmentRequest {});
    rig.call(&AlarmRequest { action: AlarmAction::Deactivate as i32, ..alarm(&alarms[0]) });
    assert!(rig.try_call(0, &put("k", "")).is_ok());
}

fn alarm(member: &AlarmMember) -> AlarmRequest {
    AlarmRequest { member_id: member.member_id, alarm: member.alarm, ..AlarmRequest::default() }
}

#[test]
fn members_are_listed_without_a_revision() {
    let mut rig = Rig::new(ClusterConfig { members: 3, learners: 1, ..ClusterConfig::default() });
    let list = rig.call(&MemberListRequest { linearizable: true });
    assert_eq!(list.header.expect("a header").revision, 0);
    let ids: Vec<u64> = list.members.iter().map(|member| member.id).collect();
    assert_eq!(ids, (0..3).map(|member| rig.cluster.member_id(member)).collect::<Vec<_>>());
    assert_eq!(list.members.iter().filter(|member| member.is_learner).count(), 1);
}

#[test]
fn only_a_linearizable_list_of_members_needs_a_leader() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    assert!(rig.try_call(0, &MemberListRequest { linearizable: false }).is_ok());
    let call = rig.start(0, &MemberListRequest { linearizable: true });
    rig.pass(Duration::from_secs(7));
    assert_eq!(rig.status(call).map(|status| status.code), Some(14));
}

#[test]
fn health_is_known_of_the_whole_server_only() {
    let mut rig = Rig::single();
    assert_eq!(rig.call(&HealthCheckRequest::default()).status, 1);
    let unknown = rig.try_call(0, &HealthCheckRequest { service: "etcdserverpb.KV".into() });
    assert_eq!(unknown.map_err(text), Err((5, "unknown service".to_owned())));
}

#[test]
fn what_is_not_there_is_unimplemented() {
    let mut rig = Rig::single();
    let call = rig.open(0, "/etcdserverpb.KV/Nothing", false);
    let message = "unknown method Nothing for service etcdserverpb.KV".to_owned();
    assert_eq!(rig.status(call).map(text), Some((12, message)));
}

#[test]
fn nonsense_is_an_internal_error() {
    let mut rig = Rig::single();
    let call = rig.open(0, "/etcdserverpb.KV/Put", false);
    rig.cluster.message(rig.now, call, vec![0xff; 3].into());
    rig.pass(Duration::ZERO);
    assert_eq!(rig.status(call).map(|status| status.code), Some(13));
}

#[test]
fn a_range_comes_in_chunks() {
    let mut rig = Rig::single();
    for key in 0..35 {
        rig.put(&format!("k{key:02}"), "v");
    }
    let stream = |rig: &mut Rig, request: RangeRequest| {
        let call = rig.open(0, "/etcdserverpb.KV/RangeStream", false);
        rig.send(call, &request);
        assert_eq!(rig.status(call).map(|status| status.code), Some(0));
        let chunks = rig.messages(call).into_iter();
        chunks
            .map(|message| {
                RangeStreamResponse::decode(message).expect("a chunk").range_response.expect("a response")
            })
            .collect::<Vec<_>>()
    };
    let chunks = stream(&mut rig, span("k", "l"));
    assert_eq!(chunks.iter().map(|chunk| chunk.kvs.len()).collect::<Vec<_>>(), [10, 20, 5]);
    assert_eq!(chunks.iter().map(|chunk| chunk.count).collect::<Vec<_>>(), [0, 0, 35]);
    assert_eq!(chunks.iter().map(|chunk| chunk.header.is_some()).collect::<Vec<_>>(), [false, false, true]);
    let chunks = stream(&mut rig, RangeRequest { limit: 12, ..span("k", "l") });
    let last = chunks.last().expect("a chunk");
    assert_eq!((chunks.len(), last.kvs.len(), last.more, last.count), (2, 2, true, 35));
    let chunks = stream(&mut rig, RangeRequest { count_only: true, ..span("k", "l") });
    assert_eq!((chunks.len(), chunks[0].count), (1, 35));
}

#[test]
fn a_range_in_chunks_is_not_sorted_or_filtered() {
    let mut rig = Rig::single();
    for request in
        [RangeRequest { sort_order: 2, ..range("k") }, RangeRequest { min_mod_revision: 2, ..range("k") }]
    {
        let call = rig.open(0, "/etcdserverpb.KV/RangeStream", false);
        rig.send(call, &request);
        assert_eq!(rig.status(call).map(|status| status.code), Some(12));
    }
    let call = rig.open(0, "/etcdserverpb.KV/RangeStream", false);
    rig.send(call, &RangeRequest { key: bytes(""), ..RangeRequest::default() });
    assert_eq!(rig.status(call).map(|status| status.code), Some(3));
}

#[test]
fn while_a_member_is_corrupt_nothing_is_applied() {
    let mut rig = Rig::single();
    let raise = AlarmRequest { alarm: AlarmType::Corrupt as i32, member_id: 7, ..AlarmRequest::default() };
    rig.call(&AlarmRequest { action: AlarmAction::Activate as i32, ..raise });
    let corrupt = (15, "etcdserver: corrupt cluster".to_owned());
    assert_eq!(rig.try_call(0, &put("k", "")).map_err(text).err(), Some(corrupt.clone()));
    assert_eq!(rig.try_call(0, &delete("k", "")).map_err(text).err(), Some(corrupt));
    assert!(rig.try_call(0, &range("k")).is_ok());
    rig.call(&AlarmRequest { action: AlarmAction::Deactivate as i32, ..raise });
    assert_eq!(rig.put("k", "v"), 2);
}
