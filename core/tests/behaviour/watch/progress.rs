//! How far a watch has come: told by interval, and on request.

use std::time::Duration;

use etcdium_core::WatchItem;
use etcdium_proto::etcdserverpb::WatchCancelRequest;

use super::*;

fn told(revision: i64) -> WatchItem {
    WatchItem::Progress { revision: rev(revision) }
}

/// The answer to a request for progress.
fn answer(revision: i64) -> WatchResponse {
    response(-1, revision)
}

/// A world with one watch whose server is known to keep the order.
fn trusted(request: WatchRequest) -> (World, WatchKey, Line) {
    let (mut world, watch, mut line) = World::watching(request, 10);
    world.request_progress(watch);
    world.tell_version("3.7.3");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &answer(10));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(10))));
    world.items(watch);
    (world, watch, line)
}

#[test]
fn progress_by_interval_is_told_to_those_who_asked_for_it() {
    for notify in [false, true] {
        let request = if notify { of("k").progress_notify() } else { of("k") };
        let (mut world, watch, line) = World::watching(request, 10);
        line.tell(&mut world, &response(1, 12));
        line.tell(&mut world, &response(1, 14));
        line.tell(&mut world, &events(1, [16]));
        line.tell(&mut world, &response(1, 16));
        let items = world.items(watch);
        if notify {
            assert_eq!((&items[0], revision_of(&items[1]), &items[2]), (&told(14), 16, &told(16)));
        } else {
            assert_eq!(items.iter().map(revision_of).collect::<Vec<_>>(), [16]);
        }
        assert_eq!(world.core.watch_position(watch), Some(rev(17)));
    }
}

/// etcd issue 20221, a member that is behind, and headers without a revision.
#[test]
fn progress_never_goes_back() {
    let (mut world, watch, line) = World::watching(from("k", 50).progress_notify(), 10);
    for revision in [10, 48, 0, -7, i64::MAX] {
        line.tell(&mut world, &response(1, revision));
    }
    line.tell(&mut world, &WatchResponse { header: None, ..response(1, 0) });
    assert_eq!(world.items(watch), []);
    line.tell(&mut world, &response(1, 49));
    assert_eq!(world.items(watch), [told(49)]);
    line.tell(&mut world, &events(1, [50]));
    assert_eq!(world.revisions(watch), [50]);
}

#[test]
fn nothing_is_said_between_the_fragments_of_a_response() {
    let (mut world, watch, line) = World::watching(of("k").progress_notify(), 10);
    line.tell(&mut world, &part(1, [11]));
    line.tell(&mut world, &response(1, 20));
    assert_eq!(world.items(watch), []);
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(world.revisions(watch), [11]);
}

#[test]
fn a_request_is_answered_by_a_trusted_server_and_in_band() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.was_hinted(watch);
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), None);
    assert_eq!(line.requests(&world), [], "the version comes first");
    world.tell_version("3.5.8");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &answer(12));
    assert!(world.was_hinted(watch));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(12))));
    assert_eq!(world.progress_of(watch), None);
    assert_eq!(world.items(watch), [told(12)]);
    assert_eq!(world.core.watch_position(watch), Some(rev(13)));
    // Another one: the version is known now.
    world.request_progress(watch);
    assert_eq!(line.asks(&world), 1);
    assert_eq!(world.calls_of("/etcdserverpb.Maintenance/Status"), []);
    world.end(line.call, 14, "gone");
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).watch_id, 2);
    line.tell(&mut world, &created(2, 20));
    assert_eq!(line.asks(&world), 1, "it is asked again on the next stream");
    line.tell(&mut world, &answer(20));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(20))));
}

#[test]
fn an_answer_nobody_asked_for_means_nothing() {
    let (mut world, watch, line) = trusted(of("k").progress_notify());
    line.tell(&mut world, &answer(50));
    assert_eq!(world.items(watch), []);
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(world.revisions(watch), [11]);
}

#[test]
fn servers_whose_answers_overtake_events_cannot_tell() {
    for version in ["3.4.24", "3.5.7", "3.3.1", "", "whatever"] {
        let (mut world, watch, mut line) = World::watching(of("k"), 10);
        world.request_progress(watch);
        world.tell_version(version);
        assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Unsupported)), "{version}");
        assert_eq!(line.requests(&world), []);
        // At once from now on.
        world.was_hinted(watch);
        world.request_progress(watch);
        assert!(world.was_hinted(watch));
        assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Unsupported)), "{version}");
        line.tell(&mut world, &answer(50));
        line.tell(&mut world, &events(1, [11]));
        assert_eq!(world.revisions(watch), [11], "it was not believed");
    }
}

#[test]
fn a_proxy_cannot_tell() {
    let mut world = World::connected(1);
    let watch = world.watch(of("k"));
    world.request_progress(watch);
    let mut line = Line::accept(&mut world);
    line.creation(&world);
    assert_eq!(world.progress_of(watch), None, "not known yet");
    line.tell(&mut world, &created(0, 10));
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Unsupported)));
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Unsupported)));
    assert_eq!(line.requests(&world), []);
}

#[test]
fn the_version_is_asked_again_unless_the_refusal_is_final() {
    for (code, text, finally) in [(14, "gone", false), (7, "no", true), (12, "unknown method", true)] {
        let (mut world, watch, mut line) = World::watching(of("k"), 10);
        world.request_progress(watch);
        let call = world.calls_of("/etcdserverpb.Maintenance/Status")[0];
        world.status(call, code, text);
        if finally {
            assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Unsupported)), "{text}");
            continue;
        }
        assert_eq!(world.progress_of(watch), None, "{text}");
        world.advance_until(|world| !world.calls_of("/etcdserverpb.Maintenance/Status").is_empty());
        world.tell_version("3.7.3");
        assert_eq!(line.asks(&world), 1);
        line.tell(&mut world, &answer(10));
        assert_eq!(world.progress_of(watch), Some(Ok(rev(10))));
    }
}

#[test]
fn a_version_that_is_never_told_is_asked_for_again() {
    let (mut world, watch, _line) = World::watching(of("k"), 10);
    world.request_progress(watch);
    let first = world.calls_of("/etcdserverpb.Maintenance/Status")[0];
    let waited = world.idle_until(|world| world.reset.contains(&first));
    assert!(waited >= s(5) && waited <= s(7), "{waited:?}");
    world.tell_version("3.7.3");
    // The connection goes, and with it the question.
    let connection = world.connection_to("a");
    assert!(world.core.stats().in_flight <= 2);
    world.endpoint(connection, EndpointInput::GoingAway);
    assert_eq!(world.progress_of(watch), None);
}

/// The server drops requests as long as any watch of the stream is behind.
#[test]
fn a_dropped_request_is_sent_again_with_growing_waits() {
    let (mut world, watch, mut line) = trusted(of("k"));
    world.request_progress(watch);
    assert_eq!(line.asks(&world), 1);
    let mut waits: Vec<Duration> = Vec::new();
    for _ in 0..15 {
        let sent = world.sent[&line.call].len();
        waits.push(world.advance_until(|world| world.sent[&line.call].len() > sent));
        assert_eq!(line.asks(&world), 1);
    }
    assert!(waits.iter().all(|wait| *wait <= s(2)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > ms(500)), "{waits:?}");
    // A lag of the reader's own is no reason to send more.
    for _ in 0..100 {
        world.request_progress(watch);
    }
    assert_eq!(line.requests(&world), []);
    line.tell(&mut world, &answer(30));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(30))));
    world.advance(s(10));
    assert_eq!(line.requests(&world), [], "nobody asks any more");
}

#[test]
fn an_answer_says_nothing_of_watches_created_after_its_request() {
    let (mut world, first, mut line) = trusted(of("k"));
    world.request_progress(first);
    assert_eq!(line.asks(&world), 1);
    let second = world.watch(from("k", 2).progress_notify());
    assert_eq!(line.confirm_one(&mut world, 30), 2);
    world.request_progress(second);
    line.tell(&mut world, &answer(30));
    assert_eq!(world.progress_of(first), Some(Ok(rev(30))));
    assert_eq!(world.progress_of(second), None);
    assert_eq!(world.items(second), []);
    line.tell(&mut world, &events(2, [2, 30]));
    assert_eq!(world.revisions(second), [2, 30]);
    assert_eq!(line.asks(&world), 1, "asked for the second");
    line.tell(&mut world, &answer(31));
    assert_eq!(world.progress_of(second), Some(Ok(rev(31))));
}

#[test]
fn dropped_requests_are_not_taken_for_answered_ones() {
    let (mut world, first, mut line) = trusted(of("k"));
    world.request_progress(first);
    // Three are sent, two of which are dropped: nobody knows which.
    for _ in 0..2 {
        let sent = world.sent[&line.call].len();
        world.advance_until(|world| world.sent[&line.call].len() > sent);
    }
    assert_eq!(line.asks(&world), 3);
    let second = world.watch(from("k", 2));
    line.confirm_one(&mut world, 30);
    world.request_progress(second);
    let mut answers = 0;
    while world.progress_of(second).is_none() {
        answers += 1;
        assert!(answers < 10);
        line.tell(&mut world, &answer(30));
        line.asks(&world);
    }
    assert_eq!(answers, 4, "the fourth answer cannot be to one of the three");
}

/// The answer has to name what the core knew when it was asked.
#[test]
fn a_member_that_is_behind_is_asked_again_without_haste() {
    let (mut world, watch, mut line) = trusted(of("k"));
    let op = world.start(&put("k"), &no_options());
    let call = *world.op_calls().last().unwrap();
    world.answer(call, &put_response(20));
    world.take(&op).unwrap();
    world.request_progress(watch);
    assert_eq!(line.asks(&world), 1);
    let mut asked = 0;
    let start = world.now;
    while world.now - start < s(20) {
        line.tell(&mut world, &answer(15));
        // The cluster is not behind.
        for call in world.calls_of("/etcdserverpb.KV/Range") {
            world.answer(call, &range_response(20));
        }
        world.advance(ms(10));
        asked += line.asks(&world);
    }
    assert_eq!(world.progress_of(watch), None);
    assert!((10..60).contains(&asked), "{asked}");
    let sent = world.sent[&line.call].len();
    world.advance_until(|world| world.sent[&line.call].len() > sent);
    line.tell(&mut world, &answer(20));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(20))));
}

#[test]
fn many_watches_ask_with_one_request() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..1_000).map(|_| world.watch(of("k"))).collect();
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 10);
    for watch in &watches {
        world.request_progress(*watch);
    }
    world.tell_version("3.7.3");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &answer(10));
    for watch in watches {
        assert_eq!(world.progress_of(watch), Some(Ok(rev(10))));
    }
    assert_eq!(line.requests(&world), []);
}

#[test]
fn an_end_answers_a_request_for_progress() {
    let (mut world, watch, line) = trusted(of("k"));
    world.request_progress(watch);
    line.tell(&mut world, &compacted(1, 100));
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Ended)));
    let (mut world, watch, _line) = trusted(of("k"));
    world.request_progress(watch);
    world.cancel_watch(watch);
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Ended)));
}

#[test]
fn an_asker_that_goes_keeps_nobody_waiting() {
    let (mut world, first, mut line) = trusted(of("k"));
    let second = world.watch(of("k"));
    line.confirm_one(&mut world, 10);
    world.request_progress(first);
    for _ in 0..8 {
        let sent = world.sent[&line.call].len();
        world.advance_until(|world| world.sent[&line.call].len() > sent);
    }
    world.drop_watch(first);
    line.requests(&world);
    world.request_progress(second);
    assert_eq!(line.asks(&world), 1, "at once");
}

/// etcd leaves requests for progress without an answer while a watch of the stream starts behind all it has, as one does
/// that was resumed when nothing has happened since. Found by the simulator.
#[test]
fn a_request_is_answered_where_nothing_happened_since_a_watch_was_resumed() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(world.revisions(watch), [11]);
    world.end(line.call, 14, "gone");
    world.request_progress(watch);
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).start_revision, 12);
    assert_eq!(world.progress_of(watch), None);
    line.tell(&mut world, &created(2, 11));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(11))));
    assert_eq!(world.items(watch), [told(11)]);
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), Some(Ok(rev(11))));
    // What is known elsewhere to have happened is waited for.
    let op = world.start(&put("other"), &no_options());
    let call = world.calls_of("/etcdserverpb.KV/Put")[0];
    world.answer(call, &put_response(12));
    world.take(&op).unwrap();
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), None);
}

/// Found by the simulator.
#[test]
fn a_status_that_cannot_be_read_is_asked_for_again() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.request_progress(watch);
    let status = world.calls_of("/etcdserverpb.Maintenance/Status")[0];
    world.head(status);
    world.data(status, Bytes::from_static(b"\0\0\0\0\x05\x0a\xff\xff\xff\x07"));
    world.end(status, 0, "");
    assert_eq!(world.progress_of(watch), None);
    world.advance_until(|world| !world.calls_of("/etcdserverpb.Maintenance/Status").is_empty());
    world.tell_version("3.7.3");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &answer(10));
    assert_eq!(world.progress_of(watch), Some(Ok(rev(10))));
}

/// Found by the simulator.
#[test]
fn a_request_made_before_another_cluster_answered_wants_none_of_the_old_revisions() {
    let mut world = World::connected(1);
    let op = world.start(&put("other"), &no_options());
    world.answer(world.call(), &put_response(50));
    world.take(&op).unwrap();
    let watch = world.watch(of("k"));
    world.request_progress(watch);
    let mut line = Line::accept(&mut world);
    line.creation(&world);
    line.tell(&mut world, &WatchResponse { header: header(0xdead, 7), ..created(1, 7) });
    world.tell_version("3.7.3");
    assert_eq!(line.asks(&world), 1);
    line.tell(&mut world, &WatchResponse { header: header(0xdead, 8), ..answer(8) });
    assert_eq!(world.progress_of(watch), Some(Ok(rev(8))));
}

/// Found by the simulator.
#[test]
fn a_watch_that_goes_on_by_itself_is_still_asked_for_its_progress() {
    let mut world = World::connected(1);
    let slow = world.watch(of("slow"));
    world.watch(of("other"));
    world.request_progress(slow);
    let call = world.watch_calls()[0];
    world.idle_until(|world| world.reset.contains(&call));
    world.advance_until(|world| world.watch_calls().len() == 2);
    let calls = world.watch_calls();
    let mut lines: Vec<Line> = calls.into_iter().map(|call| Line::on(&mut world, call)).collect();
    for line in &mut lines {
        line.confirm_one(&mut world, 5);
    }
    world.tell_version("3.7.3");
    for line in &mut lines {
        if line.asks(&world) == 1 {
            line.tell(&mut world, &answer(5));
        }
    }
    assert_eq!(world.progress_of(slow), Some(Ok(rev(5))));
}

/// etcd drops requests for progress while any watch of the stream starts behind all it has: on a quiet cluster for ever.
#[test]
fn an_asker_parts_from_watches_that_wait_for_what_has_not_happened() {
    for start in [13, 1_000] {
        let (mut world, asker, mut line) = trusted(of("k"));
        let waiting = world.watch(from("k", start));
        line.confirm_one(&mut world, 12);
        world.request_progress(asker);
        assert_eq!(line.asks(&world), 1);
        world.advance_until(|world| world.watch_calls().len() == 2);
        assert_eq!(line.cancels(&world), [1]);
        let own = world.watch_calls()[1];
        let mut own = Line::on(&mut world, own);
        let creation = own.creation(&world);
        assert_eq!(creation.start_revision, 11);
        // What was on its way on the stream it left comes again.
        line.tell(&mut world, &events(1, [12]));
        line.tell(&mut world, &canceled(1));
        own.tell(&mut world, &created(creation.watch_id, 12));
        own.tell(&mut world, &events(creation.watch_id, [12]));
        assert_eq!(own.asks(&world), 1);
        own.tell(&mut world, &answer(12));
        assert_eq!(world.progress_of(asker), Some(Ok(rev(12))));
        let items = world.items(asker);
        assert_eq!((items.len(), revision_of(&items[0]), &items[1]), (2, 12, &told(12)));
        world.request_progress(asker);
        assert_eq!(own.asks(&world), 1, "its own stream serves it from now on");
        // The other one stays, and tells what it waited for.
        line.tell(&mut world, &events(2, [start]));
        assert_eq!(world.revisions(waiting), [start]);
        assert_eq!(line.requests(&world), []);
    }
}

/// Where slow readers keep a stream behind all the time, etcd drops every request for progress that is made on it. Found by the
/// soak.
#[test]
fn askers_part_one_by_one_from_watches_that_are_always_behind() {
    let (mut world, first, mut line) = trusted(of("k"));
    let second = world.watch(of("k"));
    line.confirm_one(&mut world, 10);
    world.watch(of("k"));
    line.confirm_one(&mut world, 10);
    for asker in [first, second] {
        world.request_progress(asker);
    }
    for (asker, id, streams) in [(first, 1, 2), (second, 2, 3)] {
        world.advance_until(|world| world.watch_calls().len() == streams);
        let (asks, others): (Vec<_>, Vec<_>) = line
            .requests(&world)
            .into_iter()
            .partition(|request| matches!(request, RequestUnion::ProgressRequest(_)));
        assert_eq!(others, [RequestUnion::CancelRequest(WatchCancelRequest { watch_id: id })]);
        // The first one was patient, then there was no more reason to be.
        assert_eq!(asks.len() > 3, asker == first, "{asks:?}");
        let own = world.watch_calls()[streams - 1];
        let mut own = Line::on(&mut world, own);
        let creation = own.creation(&world);
        own.tell(&mut world, &created(creation.watch_id, 12));
        assert_eq!(own.asks(&world), 1);
        own.tell(&mut world, &answer(12));
        assert_eq!(world.progress_of(asker), Some(Ok(rev(12))));
    }
}

#[test]
fn a_watch_that_starts_in_the_future_has_given_all_there_is() {
    let (mut world, watch, mut line) = World::watching(from("k", 1_000), 10);
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), Some(Ok(rev(10))));
    assert_eq!((world.items(watch), world.core.watch_position(watch)), (vec![], Some(rev(1_000))));
    assert_eq!(line.requests(&world), []);
    let op = world.start(&put("other"), &no_options());
    world.answer(world.calls_of("/etcdserverpb.KV/Put")[0], &put_response(20));
    world.take(&op).unwrap();
    world.request_progress(watch);
    world.tell_version("3.7.3");
    assert_eq!((line.asks(&world), world.progress_of(watch)), (1, None));
    // The server would never answer: the watch asks how far it is by being created anew.
    for (id, revision) in [(2, 15), (3, 20)] {
        world.advance_until(|world| world.sent[&line.call].len() > line.read);
        let requests = line.requests(&world);
        assert!(matches!(&requests[0], RequestUnion::CancelRequest(cancel) if cancel.watch_id == id - 1));
        assert!(
            matches!(&requests[1], RequestUnion::CreateRequest(create) if create.start_revision == 1_000)
        );
        assert_eq!(world.progress_of(watch), None);
        line.tell(&mut world, &created(id, revision));
        line.requests(&world);
    }
    assert_eq!(world.progress_of(watch), Some(Ok(rev(20))));
}
