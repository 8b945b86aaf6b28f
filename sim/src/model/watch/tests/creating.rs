//! Created answers, ids, refusals, cancels, ends.

use super::*;
use crate::model::{Refusal, WatchRules};

#[test]
fn created_ids_count_from_zero_and_skip_those_in_use() {
    let mut bed = bed();
    for id in [0, 1, 0, 0, 7, 0] {
        bed.create(WatchCreateRequest { watch_id: id, ..key("a") });
    }
    let ids: Vec<i64> = bed.responses().iter().map(|response| response.watch_id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 7, 4]);
    bed.cancel(2);
    bed.create(key("a"));
    assert_eq!(bed.seen(), ["2@1 canceled", "5@1 created"], "a free id below is not used again");
}

#[test]
fn refused_creates() {
    let table = [
        (
            WatchCreateRequest { watch_id: 5, ..key("a") },
            "-1@1 created canceled (mvcc: duplicate watch ID provided on the WatchStream)",
        ),
        (
            WatchCreateRequest { range_end: "a".into(), ..key("a") },
            "-1@1 created canceled (mvcc: watcher range is empty)",
        ),
        (from("a", -1), "-1@1 created canceled (etcdserver: mvcc: required revision has been compacted)"),
    ];
    let mut bed = bed();
    bed.create(WatchCreateRequest { watch_id: 5, ..key("a") });
    assert_eq!(bed.seen(), ["5@1 created"]);
    for (create, expected) in table {
        bed.create(create);
        assert_eq!(bed.seen(), [expected]);
    }
    bed.apply(&["a=1"]);
    assert_eq!(bed.seen(), ["5@2 a=1@2"], "the others live on");
}

#[test]
fn refused_by_authentication() {
    let table = [
        (Refusal::InvalidToken, "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"),
        (
            Refusal::OldRevision,
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old",
        ),
        (Refusal::UserEmpty, "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"),
        (
            Refusal::PermissionDenied,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        ),
    ];
    for (refusal, reason) in table {
        let mut bed = bed();
        bed.engine.set_refusal(Some(refusal));
        bed.create(key("a"));
        bed.engine.set_refusal(None);
        bed.create(key("a"));
        assert_eq!(bed.seen(), [format!("-1@1 created canceled ({reason})"), "0@1 created".to_owned()]);
    }
}

#[test]
fn refusal_of_an_old_server_silences_the_watch_of_that_id() {
    let rules = WatchRules { refusal_takes_id: true, ..Default::default() };
    let mut bed = Bed::new(WatchConfig { rules, ..Default::default() });
    bed.create(key("a"));
    bed.engine.set_refusal(Some(Refusal::InvalidToken));
    bed.create(key("b"));
    bed.apply(&["a=1"]);
    let denied =
        "0@1 created canceled (rpc error: code = PermissionDenied desc = etcdserver: permission denied)";
    assert_eq!(bed.seen(), ["0@1 created", denied]);
}

#[test]
fn negative_start_on_an_old_server_is_found_compacted() {
    let mut bed = Bed::new(old());
    bed.create(from("a", -5));
    bed.pass(100 * MS);
    assert_eq!(bed.seen(), ["0@1 created", "0@0 canceled compacted -1"]);
    // -1 itself is not below what a fresh store calls compacted: it means from now on.
    bed.apply(&["a=1"]);
    bed.create(from("a", -1));
    bed.pass(100 * MS);
    bed.apply(&["a=2"]);
    assert_eq!(bed.seen(), ["1@2 created", "1@3 a=2@3"]);
}

#[test]
fn minus_one_can_be_an_id() {
    for config in [WatchConfig::default(), old()] {
        let mut bed = Bed::new(config);
        bed.create(WatchCreateRequest { watch_id: -1, ..key("a") });
        bed.create(WatchCreateRequest { watch_id: -1, ..key("a") });
        bed.apply(&["a=1"]);
        bed.cancel(-1);
        let duplicate = "-1@1 created canceled (mvcc: duplicate watch ID provided on the WatchStream)";
        assert_eq!(bed.seen(), ["-1@1 created", duplicate, "-1@2 a=1@2", "-1@2 canceled"]);
    }
}

#[test]
fn cancel_answers_known_ids_only() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.cancel(3);
    bed.cancel(0);
    bed.cancel(0);
    bed.apply(&["a=1"]);
    assert_eq!(bed.seen(), ["0@1 created", "0@1 canceled"]);
    assert_eq!(bed.engine.watch_count(), 0);
}

#[test]
fn compacted_watch_keeps_its_id_until_cancelled() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.apply(&["a=2"]);
    bed.store.compacted = 3;
    bed.create(WatchCreateRequest { watch_id: 4, ..from("a", 2) });
    bed.pass(100 * MS);
    bed.create(WatchCreateRequest { watch_id: 4, ..key("a") });
    bed.cancel(4);
    bed.create(WatchCreateRequest { watch_id: 4, ..key("a") });
    assert_eq!(
        bed.seen(),
        [
            "4@3 created",
            "4@0 canceled compacted 3",
            "-1@3 created canceled (mvcc: duplicate watch ID provided on the WatchStream)",
            "4@3 canceled",
            "4@3 created",
        ]
    );
}

#[test]
fn headers_name_cluster_member_and_term() {
    let mut bed = bed();
    bed.create(key("a"));
    let header = bed.responses()[0].header.expect("a header");
    assert_eq!((header.cluster_id, header.member_id, header.raft_term), (11, 22, 33));
}

#[test]
fn unreadable_request_ends_the_stream() {
    let mut bed = bed();
    bed.engine.message(bed.now, &bed.store, CALL, bytes::Bytes::from_static(&[0xff]));
    assert!(bed.seen().is_empty());
    assert_eq!(bed.ended[0].1.code, 13);
}

#[test]
fn lost_stream_leaves_nothing() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.engine.cancel(CALL);
    bed.apply(&["a=1"]);
    assert!(bed.seen().is_empty());
    assert_eq!((bed.engine.watch_count(), bed.engine.poll_timeout()), (0, None));
}

#[test]
fn full_control_queue_stops_reading() {
    let mut bed = bed();
    bed.credit(Some(0));
    for _ in 0..30 {
        bed.create(key("a"));
    }
    assert_eq!(bed.engine.watch_count(), 16, "the others are not read yet");
    assert_eq!(bed.engine.poll_timeout(), None);
    bed.credit(None);
    assert_eq!((bed.responses().len(), bed.engine.watch_count()), (30, 30));
}
