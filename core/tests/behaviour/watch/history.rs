//! The history of the cluster is replaced, or seems to be.

use super::*;

const RANGE: &str = "/etcdserverpb.KV/Range";

/// A watch that has seen revision 100, and lost its stream.
fn at_100() -> (World, WatchKey) {
    let mut world = World::connected(2);
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    line.confirm_one(&mut world, 50);
    line.tell(&mut world, &events(1, [100]));
    world.end(line.call, 14, "gone");
    (world, watch)
}

#[track_caller]
fn question(world: &World) -> CallKey {
    let calls = world.calls_of(RANGE);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0]
}

#[test]
fn another_cluster_ends_a_watch_behind_what_it_has() {
    let (mut world, watch) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &WatchResponse { header: header(0xdead, 7), ..created(2, 7) });
    assert!(world.reset.contains(&line.call));
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    let kind = WatchErrorKind::ClusterReset { cluster_id: 0xdead.into(), revision: rev(7) };
    assert_eq!(world.end_of_watch(watch), Some(kind));
    world.assert_no_watch();
}

#[test]
fn a_header_that_names_no_cluster_is_no_other_cluster() {
    let (mut world, watch) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &WatchResponse { header: header(0, 100), ..created(2, 100) });
    assert_eq!(world.revisions(watch), [100]);
    assert_eq!(world.core.is_watch_open(watch), Some(true));
}

#[test]
fn a_member_that_lags_is_waited_for() {
    let (mut world, watch) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &created(2, 80));
    let call = question(&world);
    let open = world.opened.last().unwrap();
    assert!(open.requires_leader() && open.timeout().is_some());
    world.answer(call, &range_response(100));
    line.tell(&mut world, &events(2, [101]));
    assert_eq!(world.revisions(watch), [100, 101]);
    world.advance(s(60));
    assert_eq!(world.calls_of(RANGE), []);
    assert_eq!(world.core.revision(), rev(101));
}

#[test]
fn a_linearizable_range_below_what_was_seen_proves_it() {
    let (mut world, watch) = at_100();
    let other = world.watch(from("k", 60));
    let late = world.watch(of("l"));
    let mut line = world.await_line();
    // The first alone, then both others.
    line.creation(&world);
    line.tell(&mut world, &created(2, 80));
    line.creations(&world);
    line.tell(&mut world, &created(3, 80));
    // While the question is open, `late` is not confirmed.
    let call = question(&world);
    world.answer(call, &range_response(80));
    let kind = WatchErrorKind::ClusterReset { cluster_id: CLUSTER.into(), revision: rev(80) };
    assert!(world.events.contains(&Event::ClusterReset { cluster: CLUSTER.into(), revision: rev(80) }));
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    assert_eq!(world.end_of_watch(watch), Some(kind.clone()));
    assert_eq!(world.end_of_watch(other), Some(kind));
    assert_eq!(line.cancels(&world), [2, 3]);
    assert_eq!(world.core.revision(), rev(80));
    // What had not begun goes on, on a stream that was opened since: this one may speak of the old history.
    assert_eq!(world.reset, [line.call].into());
    let mut line = world.await_line();
    let id = line.creation(&world).watch_id;
    line.tell(&mut world, &created(id, 80));
    line.tell(&mut world, &events(id, [81]));
    assert_eq!(world.revisions(late), [81]);
}

/// The history is replaced while a watch is being created again: it must not come back to life.
#[test]
fn a_watch_that_ends_while_it_is_created_stays_ended() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..3).map(|_| world.watch(of("k"))).collect();
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 50);
    line.tell(&mut world, &events(1, [100]));
    let keeper = world.watch(of("l").require_leader(false));
    world.end(line.call, 14, "gone");
    let leads = |world: &World| {
        let calls = world.watch_calls();
        calls
            .into_iter()
            .find(|call| world.opened.iter().any(|open| open.call == *call && open.requires_leader()))
    };
    world.advance_until(|world| leads(world).is_some());
    let call = leads(&world).unwrap();
    let mut line = Line::on(&mut world, call);
    line.creation(&world);
    line.tell(&mut world, &created(4, 80));
    assert_eq!(line.creations(&world).len(), 2);
    let late = world.watch(of("m"));
    assert_eq!(line.creations(&world).len(), 1);
    let call = question(&world);
    world.answer(call, &range_response(80));
    assert_eq!(world.core.stats().watches, 5, "nothing was taken");
    assert_eq!(line.cancels(&world), [4], "the one that was live");
    assert!(world.reset.contains(&line.call));
    assert!(matches!(world.watch_next(watches[0]), Some(WatchNext::Item(_))));
    for watch in &watches {
        assert!(matches!(world.end_of_watch(*watch), Some(WatchErrorKind::ClusterReset { .. })));
    }
    world.advance_until(|world| leads(world).is_some());
    let call = leads(&world).unwrap();
    let mut line = Line::on(&mut world, call);
    let id = line.creation(&world).watch_id;
    line.tell(&mut world, &created(id, 80));
    assert_eq!(world.core.is_watch_open(late), Some(true));
    for watch in [late, keeper] {
        world.drop_watch(watch);
    }
    world.assert_no_watch();
}

/// What was asked for before may have been answered before, however late that arrives. Found by the simulator.
#[test]
fn answers_from_before_the_history_was_replaced_say_nothing_of_it() {
    let (mut world, watch) = at_100();
    let put_before = world.start(&put("k"), &no_options());
    let before = world.calls_of("/etcdserverpb.KV/Put")[0];
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &created(2, 80));
    let call = question(&world);
    world.answer(call, &range_response(80));
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    assert!(matches!(world.end_of_watch(watch), Some(WatchErrorKind::ClusterReset { .. })));
    world.answer(before, &put_response(101));
    world.take(&put_before).unwrap();
    assert_eq!(world.core.revision(), rev(80));
    let put_since = world.start(&put("k"), &no_options());
    world.answer(world.calls_of("/etcdserverpb.KV/Put")[0], &put_response(81));
    world.take(&put_since).unwrap();
    assert_eq!(world.core.revision(), rev(81));
}

#[test]
fn the_answer_of_another_cluster_proves_nothing_of_this_one() {
    let (mut world, watch) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &created(2, 80));
    let answer =
        etcdium_proto::etcdserverpb::RangeResponse { header: header(0xdead, 3), ..Default::default() };
    let call = question(&world);
    world.answer(call, &answer);
    assert_eq!(world.revisions(watch), [100]);
    assert_eq!(world.core.is_watch_open(watch), Some(true));
}

#[test]
fn a_question_that_fails_is_asked_again_while_somebody_waits() {
    let (mut world, watch) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &created(2, 80));
    world.status(question(&world), 14, "etcdserver: request timed out");
    world.advance_until(|world| !world.calls_of(RANGE).is_empty());
    // This one is never answered.
    let call = question(&world);
    let waited = world.idle_until(|world| world.reset.contains(&call));
    assert_eq!(waited, s(5));
    world.advance_until(|world| !world.calls_of(RANGE).is_empty());
    world.answer(question(&world), &etcdium_proto::etcdserverpb::RangeResponse::default());
    world.advance_until(|world| !world.calls_of(RANGE).is_empty());
    world.status(question(&world), 14, "etcdserver: request timed out");
    // The member has caught up: there is no doubt any more.
    line.tell(&mut world, &events(2, [101]));
    world.advance(s(60));
    assert_eq!(world.calls_of(RANGE), []);
    assert_eq!(world.revisions(watch), [100, 101]);
    world.drop_watch(watch);
}

#[test]
fn a_start_in_the_future_is_no_regression() {
    let (mut world, watch, mut line) = World::watching(from("k", 1_000), 50);
    for _ in 0..3 {
        world.end(line.call, 14, "gone");
        line = world.await_line();
        let creation = line.creation(&world);
        assert_eq!(creation.start_revision, 1_000);
        line.tell(&mut world, &created(creation.watch_id, 50));
        assert_eq!(world.calls_of(RANGE), []);
    }
    assert_eq!(world.core.is_watch_open(watch), Some(true));
}

/// A grpc-proxy answers creations of its own, with the revision that was asked for and without a cluster. That revision may
/// be far ahead.
#[test]
fn the_made_up_header_of_a_proxy_is_no_revision_that_was_seen() {
    let mut world = World::connected(1);
    let watches = [world.watch(from("k", 1_000)), world.watch(from("k", 1_000))];
    let mut line = Line::accept(&mut world);
    line.creation(&world);
    line.tell(&mut world, &created(0, 50));
    line.creation(&world);
    line.tell(&mut world, &WatchResponse { header: header(0, 1_000), ..created(1, 0) });
    assert_eq!(world.core.revision(), rev(50));
    world.end(line.call, 14, "gone");
    let mut line = world.await_line();
    line.creation(&world);
    line.tell(&mut world, &created(0, 50));
    assert_eq!(world.calls_of(RANGE), []);
    assert_eq!(world.core.is_watch_open(watches[0]), Some(true));
}

/// A watch that begins after the restore sees nothing that goes back; only the answers to requests for progress do.
#[test]
fn a_request_for_progress_finds_out_too() {
    let (mut world, watch, mut line) = World::watching(of("k"), 50);
    let op = world.start(&put("k"), &no_options());
    let call = *world.op_calls().last().unwrap();
    world.answer(call, &put_response(100));
    world.take(&op).unwrap();
    world.request_progress(watch);
    world.tell_version("3.7.3");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &response(-1, 60));
    world.answer(question(&world), &range_response(60));
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Ended)));
    assert_eq!(world.watch_next(watch), Some(WatchNext::Item(WatchItem::Progress { revision: rev(60) })));
    assert!(matches!(world.end_of_watch(watch), Some(WatchErrorKind::ClusterReset { .. })));
}

/// A server says no progress of a watch that begins behind its last revision. That a higher one was seen must not be waited
/// for when it is of a history that is gone.
#[test]
fn a_request_for_progress_that_is_never_answered_finds_out_too() {
    let (mut world, watch) = at_100();
    let op = world.start(&put("k"), &no_options());
    let call = *world.op_calls().last().unwrap();
    world.answer(call, &put_response(101));
    world.take(&op).unwrap();
    let mut line = world.await_line();
    let creation = line.creation(&world);
    assert_eq!(creation.start_revision, 101);
    // Restored, and written to since.
    line.tell(&mut world, &created(creation.watch_id, 100));
    assert_eq!(world.calls_of(RANGE), []);
    world.request_progress(watch);
    world.tell_version("3.7.3");
    world.advance_until(|world| !world.calls_of(RANGE).is_empty());
    world.answer(question(&world), &range_response(100));
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Ended)));
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    assert!(matches!(world.end_of_watch(watch), Some(WatchErrorKind::ClusterReset { .. })));
}

/// The same beside the watch that asks: etcd drops requests for progress while any watch of the stream begins behind what there
/// is. Found by the simulator.
#[test]
fn a_watch_beside_the_one_that_asks_finds_out_too() {
    let (mut world, asker, mut line) = World::watching(of("k"), 50);
    world.watch(of("k"));
    line.confirm_one(&mut world, 50);
    line.tell(&mut world, &events(1, [99]));
    line.tell(&mut world, &events(2, [100]));
    let op = world.start(&put("k"), &no_options());
    let call = *world.op_calls().last().unwrap();
    world.answer(call, &put_response(101));
    world.take(&op).unwrap();
    world.end(line.call, 14, "gone");
    let mut line = world.await_line();
    let mut starts = Vec::new();
    for _ in 0..2 {
        let creation = line.creation(&world);
        starts.push(creation.start_revision);
        // Restored, and written to since.
        line.tell(&mut world, &created(creation.watch_id, 100));
    }
    assert_eq!(starts, [100, 101]);
    world.request_progress(asker);
    world.tell_version("3.7.3");
    assert_eq!((line.asks(&world), world.calls_of(RANGE)), (1, vec![]));
    world.advance_until(|world| !world.calls_of(RANGE).is_empty());
    assert!(line.asks(&world) <= 2, "as soon as the first request is not answered");
    world.answer(question(&world), &range_response(100));
    assert_eq!(world.progress_of(asker), Some(Err(ProgressError::Ended)));
}

/// What it had is dropped, so an error could not say how far it has come. Found by the simulator.
#[test]
fn a_watch_that_was_given_up_does_not_tell_that_the_history_was_replaced() {
    let (mut world, other) = at_100();
    let mut line = world.await_line();
    line.creation(&world);
    let watch = world.watch(of("k"));
    line.tell(&mut world, &created(2, 80));
    line.confirm_one(&mut world, 80);
    line.tell(&mut world, &events(3, [81]));
    world.cancel_watch(watch);
    let call = question(&world);
    world.answer(call, &range_response(81));
    assert_eq!(world.end_of_watch(watch), None);
    assert!(matches!(world.watch_next(other), Some(WatchNext::Item(_))));
    let kind = WatchErrorKind::ClusterReset { cluster_id: CLUSTER.into(), revision: rev(81) };
    assert_eq!(world.end_of_watch(other), Some(kind));
}
