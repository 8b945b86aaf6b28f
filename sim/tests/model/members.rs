//! Several members: lag, lost leaders, learners, restarts, restores.

use std::time::Duration;

use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::HealthCheckRequest;
use etcdium_sim::model::ClusterConfig;

use crate::support::{KEEP_ALIVE, Rig, put, range, text};

const SECOND: Duration = Duration::from_secs(1);

fn serializable(key: &str) -> RangeRequest {
    RangeRequest { serializable: true, ..range(key) }
}

fn revision<T>(response: T, header: impl Fn(&T) -> Option<ResponseHeader>) -> i64 {
    header(&response).expect("a header").revision
}

#[test]
fn a_lagging_member_answers_serializable_reads_from_the_past() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 2, SECOND);
    rig.put("k", "1");
    let stale = rig.try_call(2, &serializable("k")).expect("success");
    assert_eq!((stale.count, revision(stale, |response| response.header)), (0, 1));
    rig.pass(SECOND);
    let fresh = rig.try_call(2, &serializable("k")).expect("success");
    assert_eq!((fresh.count, revision(fresh, |response| response.header)), (1, 2));
}

#[test]
fn a_linearizable_read_waits_until_its_member_has_applied() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 2, SECOND);
    rig.put("k", "1");
    let read = rig.start(2, &range("k"));
    assert!(rig.status(read).is_none());
    rig.pass(SECOND - Duration::from_nanos(1));
    assert!(rig.status(read).is_none());
    rig.pass(Duration::from_nanos(1));
    assert_eq!(rig.result::<RangeResponse>(read).expect("over").expect("success").count, 1);
}

#[test]
fn a_write_is_answered_when_its_member_has_applied_it() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 2, SECOND);
    let write = rig.start(2, &put("k", "1"));
    assert_eq!(rig.get("k"), Some("1".to_owned()));
    assert!(rig.status(write).is_none());
    rig.pass(SECOND);
    assert!(rig.result::<PutResponse>(write).expect("over").is_ok());
}

#[test]
fn commits_take_their_time() {
    let mut rig =
        Rig::new(ClusterConfig { commit_latency: Duration::from_millis(5), ..ClusterConfig::default() });
    let first = rig.start(0, &put("k", "1"));
    rig.pass(Duration::from_millis(3));
    let second = rig.start(0, &put("k", "2"));
    assert_eq!(rig.cluster.committed_revision(), 1);
    rig.pass(Duration::from_millis(2));
    assert!(rig.status(first).is_some() && rig.status(second).is_none());
    rig.pass(Duration::from_millis(3));
    assert!(rig.status(second).is_some());
}

#[test]
fn without_a_leader_calls_that_need_one_are_refused_at_once() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    let no_leader = (14, "etcdserver: no leader".to_owned());
    for member in 0..3 {
        let write = rig.start_with(member, &put("k", "1"), true);
        assert_eq!(rig.status(write).map(text), Some(no_leader.clone()));
        let read = rig.start_with(member, &serializable("k"), true);
        assert_eq!(rig.status(read).map(text), Some(no_leader.clone()));
        let stream = rig.open(member, KEEP_ALIVE, true);
        assert_eq!(rig.status(stream).map(text), Some(no_leader.clone()));
        assert!(rig.try_call(member, &serializable("k")).is_ok());
    }
}

#[test]
fn without_a_leader_calls_time_out_after_seven_seconds() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    let write = rig.start(0, &put("k", "1"));
    let read = rig.start(1, &range("k"));
    rig.pass(SECOND);
    let later = rig.start(1, &range("k"));
    rig.pass(6 * SECOND);
    // Raft had nobody to hand the proposal to, and says only that time is over.
    assert_eq!(rig.status(write).map(text), Some((4, "context deadline exceeded".to_owned())));
    let timeout = (14, "etcdserver: request timed out".to_owned());
    assert_eq!(rig.status(read).map(text), Some(timeout.clone()));
    // The second read asked only after the first had given up.
    assert_eq!(rig.status(later), None);
    rig.pass(7 * SECOND);
    assert_eq!(rig.status(later).map(text), Some(timeout));
    assert_eq!(rig.cluster.committed_revision(), 1);
    assert_eq!(rig.cluster.poll_timeout(), None);
}

#[test]
fn a_new_leader_takes_waiting_writes_and_fails_the_read_under_way() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    let write = rig.start(0, &put("k", "1"));
    let read = rig.start(0, &range("k"));
    let later = rig.start(0, &range("k"));
    let term = rig.try_call(0, &StatusRequest {}).expect("success").raft_term;
    rig.pass(SECOND);
    rig.cluster.set_leader(rig.now, Some(2));
    rig.pass(Duration::ZERO);
    assert!(rig.result::<PutResponse>(write).expect("over").is_ok());
    assert_eq!(rig.status(read).map(text), Some((14, "etcdserver: leader changed".to_owned())));
    assert!(rig.result::<RangeResponse>(later).expect("over").is_ok());
    let status = rig.try_call(0, &StatusRequest {}).expect("success");
    assert_eq!((status.raft_term, status.leader), (term + 1, rig.cluster.member_id(2)));
}

#[test]
fn streams_that_need_a_leader_end_at_the_third_look_without_one() {
    let mut rig = Rig::three();
    let (needs, bears) = (rig.open(1, KEEP_ALIVE, true), rig.open(1, KEEP_ALIVE, false));
    rig.pass(SECOND / 2);
    rig.cluster.set_leader(rig.now, None);
    rig.pass(SECOND * 5 / 2 - Duration::from_nanos(1));
    assert_eq!(rig.status(needs), None);
    rig.pass(Duration::from_nanos(1));
    assert_eq!(rig.status(needs).map(text), Some((14, "etcdserver: no leader".to_owned())));
    assert_eq!(rig.status(bears), None);
}

#[test]
fn a_leader_back_in_time_saves_the_streams() {
    let mut rig = Rig::three();
    let needs = rig.open(1, KEEP_ALIVE, true);
    rig.cluster.set_leader(rig.now, None);
    rig.pass(2 * SECOND);
    rig.cluster.set_leader(rig.now, Some(0));
    rig.pass(60 * SECOND);
    assert_eq!(rig.status(needs), None);
}

#[test]
fn the_others_elect_a_leader_in_place_of_a_dead_one() {
    let mut rig = Rig::three();
    rig.cluster.kill(rig.now, 0);
    assert!(!rig.cluster.is_up(0));
    let lost = rig.start(1, &put("k", "lost"));
    let read = rig.start(1, &range("k"));
    rig.pass(2 * SECOND);
    assert!(matches!(rig.cluster.leader(), Some(1 | 2)));
    assert_eq!(rig.status(read).map(text), Some((14, "etcdserver: leader changed".to_owned())));
    assert!(rig.try_call(1, &put("k", "2")).is_ok());
    rig.pass(5 * SECOND);
    assert_eq!(rig.status(lost).map(|status| status.code), Some(14));
    assert_eq!(rig.cluster.committed_revision(), 2);
}

#[test]
fn a_minority_has_no_leader() {
    let mut rig = Rig::three();
    rig.cluster.kill(rig.now, 1);
    rig.cluster.kill(rig.now, 2);
    rig.pass(2 * SECOND);
    assert_eq!(rig.cluster.leader(), None);
    let write = rig.start_with(0, &put("k", "1"), true);
    assert_eq!(rig.status(write).map(|status| status.code), Some(14));
    rig.cluster.start(rig.now, 1);
    rig.pass(2 * SECOND);
    assert!(rig.cluster.leader().is_some());
    assert!(rig.try_call(1, &put("k", "1")).is_ok());
}

#[test]
fn a_single_member_leads_again_as_soon_as_it_is_up() {
    let mut rig = Rig::single();
    rig.put("k", "1");
    rig.cluster.kill(rig.now, 0);
    rig.cluster.start(rig.now, 0);
    assert_eq!(rig.get("k"), Some("1".to_owned()));
    rig.cluster.isolate(rig.now, 0, true);
    assert_eq!(rig.put("k", "2"), 3);
}

#[test]
fn a_member_cut_off_has_no_leader_and_the_others_go_on() {
    let mut rig = Rig::three();
    rig.cluster.isolate(rig.now, 0, true);
    let refused = rig.start_with(0, &put("k", "1"), true);
    assert_eq!(rig.status(refused).map(text), Some((14, "etcdserver: no leader".to_owned())));
    assert!(rig.try_call(0, &serializable("k")).is_ok());
    rig.pass(2 * SECOND);
    assert!(rig.try_call(1, &put("k", "2")).is_ok());
    rig.cluster.isolate(rig.now, 0, false);
    assert_eq!(rig.get("k"), Some("2".to_owned()));
}

#[test]
fn a_member_catches_up_when_it_starts() {
    let mut rig = Rig::three();
    rig.cluster.kill(rig.now, 2);
    rig.put("k", "1");
    rig.put("k", "2");
    rig.cluster.start(rig.now, 2);
    let read = rig.try_call(2, &serializable("k")).expect("success");
    assert_eq!(read.kvs[0].value, "2");
}

#[test]
fn a_dead_member_says_nothing() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 2, SECOND);
    rig.put("k", "1");
    let read = rig.start(2, &range("k"));
    rig.cluster.kill(rig.now, 2);
    let dead = rig.start(2, &range("k"));
    rig.pass(60 * SECOND);
    assert_eq!((rig.status(read), rig.status(dead)), (None, None));
}

#[test]
fn a_learner_answers_serializable_reads_and_its_status_only() {
    let mut rig = Rig::new(ClusterConfig { members: 2, learners: 1, ..ClusterConfig::default() });
    rig.put("k", "1");
    let refusal = (9, "etcdserver: rpc not supported for learner".to_owned());
    assert_eq!(rig.try_call(1, &range("k")).map_err(text).err(), Some(refusal.clone()));
    assert_eq!(rig.try_call(1, &put("k", "1")).map_err(text).err(), Some(refusal.clone()));
    assert_eq!(rig.try_call(1, &HealthCheckRequest::default()).map_err(text).err(), Some(refusal.clone()));
    let stream = rig.open(1, KEEP_ALIVE, false);
    assert_eq!(rig.status(stream).map(text), Some(refusal));
    assert_eq!(rig.try_call(1, &serializable("k")).expect("success").count, 1);
    assert!(rig.try_call(1, &StatusRequest {}).expect("success").is_learner);
}

#[test]
fn a_member_that_is_not_capable_answers_nothing() {
    let mut rig = Rig::three();
    rig.cluster.set_capable(1, false);
    let refusal = (9, "etcdserver: not capable".to_owned());
    assert_eq!(rig.try_call(1, &StatusRequest {}).map_err(text).err(), Some(refusal.clone()));
    let stream = rig.open(1, KEEP_ALIVE, false);
    assert_eq!(rig.status(stream).map(text), Some(refusal));
    rig.cluster.set_capable(1, true);
    assert!(rig.try_call(1, &StatusRequest {}).is_ok());
}

#[test]
fn the_leader_gives_its_place_away() {
    let mut rig = Rig::three();
    let to = |rig: &Rig, member| MoveLeaderRequest { target_id: rig.cluster.member_id(member) };
    let request = to(&rig, 2);
    let refused = rig.try_call(1, &request).map_err(text).err();
    assert_eq!(refused, Some((9, "etcdserver: not leader".to_owned())));
    let bad = rig.try_call(0, &MoveLeaderRequest { target_id: 1 }).map_err(text).err();
    assert_eq!(bad, Some((9, "etcdserver: bad leader transferee".to_owned())));
    assert!(rig.try_call(0, &request).is_ok());
    assert_eq!(rig.cluster.leader(), Some(2));
}

#[test]
fn a_restore_goes_back_and_may_change_the_cluster() {
    let mut rig = Rig::three();
    rig.put("k", "1");
    let backup = rig.cluster.backup();
    assert_eq!(backup.revision(), 2);
    rig.put("k", "2");
    let (cluster, member) = (rig.cluster.cluster_id(), rig.cluster.member_id(0));
    rig.cluster.restore(rig.now, &backup, None);
    assert_eq!(rig.get("k"), Some("1".to_owned()));
    assert_eq!((rig.cluster.cluster_id(), rig.cluster.member_id(0)), (cluster, member));
    assert_eq!(rig.put("k", "3"), 3);
    rig.cluster.restore(rig.now, &backup, Some(77));
    assert_eq!(rig.cluster.cluster_id(), 77);
    assert_ne!(rig.cluster.member_id(0), member);
    let history = rig.cluster.history();
    let epochs: Vec<_> =
        history.epochs().map(|epoch| (epoch.cluster_id(), epoch.restored_at(), epoch.revision())).collect();
    assert_eq!(epochs, [(cluster, 1, 3), (cluster, 2, 3), (77, 2, 2)]);
}

#[test]
fn the_clients_deadline_ends_what_waits() {
    let mut rig = Rig::three();
    rig.cluster.set_leader(rig.now, None);
    let call = rig.open_with_timeout(0, "/etcdserverpb.KV/Put", SECOND);
    rig.send(call, &put("k", "1"));
    rig.pass(SECOND);
    assert_eq!(rig.status(call).map(text), Some((4, "context deadline exceeded".to_owned())));
    rig.cluster.set_leader(rig.now, Some(0));
    assert_eq!(rig.cluster.committed_revision(), 1);
}

#[test]
fn equal_seeds_give_equal_outputs() {
    let run = |seed| {
        let mut rig = Rig::seeded(ClusterConfig { members: 3, ..ClusterConfig::default() }, seed);
        let first = rig.call(&LeaseGrantRequest { id: 0, ttl: 5 });
        rig.cluster.kill(rig.now, 0);
        rig.start(1, &put("k", "1"));
        rig.pass(30 * SECOND);
        (first.id, rig.cluster.cluster_id(), rig.received.len(), rig.cluster.leader())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}

#[test]
fn a_leader_without_a_majority_believes_in_itself_for_a_while() {
    let mut rig = Rig::three();
    rig.grant(7, 60);
    let stream = rig.open(0, KEEP_ALIVE, true);
    rig.cluster.kill(rig.now, 1);
    rig.cluster.kill(rig.now, 2);
    let write = rig.start_with(0, &put("k", "1"), true);
    let read = rig.start_with(0, &range("k"), true);
    rig.renew(stream, 7);
    assert_eq!(rig.renewals(stream), [(7, 60)]);
    rig.pass(SECOND / 2);
    assert_eq!((rig.status(write), rig.status(read)), (None, None));
    rig.cluster.start(rig.now, 1);
    rig.pass(Duration::ZERO);
    assert_eq!(rig.cluster.leader(), Some(0));
    assert!(rig.result::<PutResponse>(write).expect("over").is_ok());
    assert_eq!(rig.result::<RangeResponse>(read).expect("over").expect("success").count, 1);
}

#[test]
fn a_write_to_a_leader_that_loses_its_majority_may_be_committed_by_the_next() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..20 {
        let mut rig = Rig::seeded(ClusterConfig { members: 3, ..ClusterConfig::default() }, seed);
        rig.cluster.set_leader(rig.now, Some(0));
        rig.cluster.kill(rig.now, 1);
        rig.cluster.kill(rig.now, 2);
        let write = rig.start(0, &put("k", "1"));
        rig.pass(2 * SECOND);
        assert_eq!(rig.cluster.committed_revision(), 1);
        rig.cluster.start(rig.now, 1);
        rig.pass(10 * SECOND);
        let committed = rig.cluster.committed_revision() == 2;
        let answered = rig.result::<PutResponse>(write).expect("over").is_ok();
        assert_eq!(committed, answered, "the members elect in time for the answer");
        *seen.entry(committed).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_member_far_behind_takes_no_proposals() {
    let mut rig = Rig::three();
    rig.cluster.set_lag(rig.now, 2, SECOND);
    for _ in 0..5_001 {
        rig.put("k", "v");
    }
    let refused = rig.try_call(2, &put("k", "v")).map_err(text).err();
    assert_eq!(refused, Some((2, "etcdserver: too many requests".to_owned())));
    rig.pass(SECOND);
    rig.cluster.set_lag(rig.now, 2, Duration::ZERO);
    assert!(rig.try_call(2, &put("k", "v")).is_ok());
}

#[test]
fn only_the_new_leader_puts_a_lost_write_down_to_the_old_one() {
    let mut texts = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let mut rig = Rig::seeded(ClusterConfig { members: 3, ..ClusterConfig::default() }, seed);
        rig.cluster.set_leader(rig.now, Some(0));
        rig.cluster.kill(rig.now, 0);
        let lost = rig.start(1, &put("k", "lost"));
        rig.pass(7 * SECOND);
        let expected = match rig.cluster.leader() {
            Some(1) => "etcdserver: request timed out, possibly due to previous leader failure",
            _ => "etcdserver: request timed out",
        };
        assert_eq!(rig.status(lost).map(text), Some((14, expected.to_owned())), "seed {seed}");
        texts.insert(expected);
    }
    assert_eq!(texts.len(), 2);
}
