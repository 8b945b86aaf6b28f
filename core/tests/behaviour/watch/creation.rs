//! How watches come to be on a server.

use etcdium_core::{Config, InvalidRequest, KeyRange, Metadata, WatchErrorKind, WatchItem, WatchRequest};
use etcdium_proto::etcdserverpb::watch_create_request::FilterType;

use super::*;

#[test]
fn watch_069_a_watch_sends_one_creation_with_its_key() {
    let mut world = World::connected(1);
    let watch = world.watch(of("key"));
    let mut line = Line::accept(&mut world);
    let creation = line.creation(&world);
    assert_eq!((&creation.key[..], &creation.range_end[..]), (&b"key"[..], &b""[..]));
    assert_eq!((creation.watch_id, creation.start_revision), (1, 0));
    assert!(creation.fragment && !creation.prev_kv && !creation.progress_notify);
    assert_eq!(world.core.is_watch_open(watch), Some(false));
    assert!(!world.was_hinted(watch));
    line.tell(&mut world, &created(1, 9));
    assert!(world.was_hinted(watch));
    assert_eq!(world.core.is_watch_open(watch), Some(true));
    // WATCH-070: the confirmation is no item unless it is asked for.
    assert_eq!(world.items(watch), []);
    assert_eq!(line.requests(&world), []);
    assert_eq!(world.opened.len(), 1);
}

#[test]
fn every_setting_is_sent() {
    let mut world = World::connected(1);
    let request = WatchRequest::new(KeyRange::prefix("p"))
        .from_revision(rev(7))
        .prev_kv()
        .progress_notify()
        .fragment(false)
        .puts(false);
    world.watch(request);
    let creation = Line::accept(&mut world).creation(&world);
    assert_eq!((&creation.key[..], &creation.range_end[..]), (&b"p"[..], &b"q"[..]));
    assert_eq!((creation.start_revision, creation.filters), (7, vec![FilterType::Noput as i32]));
    assert!(!creation.fragment && creation.prev_kv && creation.progress_notify);
}

#[test]
fn the_first_creation_goes_alone_and_then_a_window_full() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..600).map(|n| world.watch(of(&n.to_string()))).collect();
    let mut line = Line::accept(&mut world);
    let first = line.creation(&world);
    assert_eq!((&first.key[..], first.watch_id), (&b"0"[..], 1));
    line.tell(&mut world, &created(1, 9));
    let window = line.creations(&world);
    assert_eq!(window.len(), 256);
    assert!(window.iter().map(|one| one.watch_id).eq(2..258), "ids are given in order");
    line.tell(&mut world, &created(2, 9));
    assert_eq!(line.creation(&world).watch_id, 258, "one is answered, one follows");
    for id in 3..=258 {
        line.tell(&mut world, &created(id, 9));
    }
    line.confirm(&mut world, 9);
    assert!(watches.iter().all(|watch| world.core.is_watch_open(*watch) == Some(true)));
    assert_eq!((world.opened.len(), world.core.stats().watch_streams), (1, 1));
}

#[test]
fn the_ids_of_a_proxy_are_taken_over_and_its_creations_go_one_by_one() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..5).map(|n| world.watch(of(&n.to_string()).created())).collect();
    let mut line = Line::accept(&mut world);
    // It counts from zero. Later ones may be anything that is not in use.
    for (n, id) in [0, 1, 7, 3, 100].into_iter().enumerate() {
        assert_eq!(line.creation(&world).key, n.to_string());
        line.tell(&mut world, &created(id, 9));
        assert_eq!(world.items(watches[n]), [WatchItem::Created { revision: rev(9) }]);
        line.tell(&mut world, &events(id, [10 + n as i64]));
        assert_eq!(world.revisions(watches[n]), [10 + n as i64]);
    }
    assert_eq!(line.requests(&world), []);
    world.drop_watch(watches[2]);
    assert_eq!(line.cancels(&world), [7]);
}

#[test]
fn a_refused_first_creation_says_nothing_of_who_chooses_ids() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..3).map(|_| world.watch(of("k"))).collect();
    let mut line = Line::accept(&mut world);
    line.creation(&world);
    line.tell(&mut world, &refused_creation("mvcc: watcher range is empty"));
    world.end_of_watch(watches[0]).unwrap();
    assert_eq!(line.creation(&world).watch_id, 2, "the next one is alone again");
    line.tell(&mut world, &created(2, 9));
    assert_eq!(line.creation(&world).watch_id, 3);
}

#[test]
fn a_watch_without_a_start_begins_behind_the_created_answer() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    assert_eq!(world.core.watch_position(watch), Some(rev(11)));
    // The server may have registered it before it made the answer.
    line.tell(&mut world, &events(1, [9, 10]));
    assert_eq!(world.revisions(watch), []);
    assert_eq!(world.core.watch_repeated(watch), 2);
    line.tell(&mut world, &events(1, [10, 11, 12]));
    assert_eq!(world.revisions(watch), [11, 12]);
    assert_eq!(world.core.watch_position(watch), Some(rev(13)));
}

#[test]
fn a_created_answer_never_moves_a_start_that_was_given() {
    for start in [3, 50] {
        let (mut world, watch, line) = World::watching(from("k", start), 10);
        assert_eq!(world.core.watch_position(watch), Some(rev(start)));
        line.tell(&mut world, &events(1, [start - 1]));
        assert_eq!(world.revisions(watch), []);
        line.tell(&mut world, &events(1, [start, start + 1]));
        assert_eq!(world.revisions(watch), [start, start + 1]);
        world.cut("a");
        world.await_dial("a");
        world.accept_all();
        let mut line = world.await_line();
        assert_eq!(line.creation(&world).start_revision, start + 2);
    }
}

#[test]
fn the_created_notice_is_given_once() {
    let (mut world, watch, _) = World::watching(of("k").created(), 10);
    assert_eq!(world.items(watch), [WatchItem::Created { revision: rev(10) }]);
    for _ in 0..3 {
        world.cut("a");
        world.await_dial("a");
        world.accept_all();
        let mut line = world.await_line();
        line.confirm_one(&mut world, 20);
        assert_eq!(world.items(watch), []);
    }
}

/// Header fields may be missing: then what the client knew before the answer is what the watch begins behind.
#[test]
fn a_created_answer_without_a_revision_leaves_no_gap() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(30));
    world.take(&op).unwrap();
    let watch = world.watch(of("k").created());
    let mut line = Line::accept(&mut world);
    line.creation(&world);
    line.tell(&mut world, &WatchResponse { header: None, ..created(1, 0) });
    assert_eq!(world.items(watch), [WatchItem::Created { revision: rev(0) }]);
    line.tell(&mut world, &WatchResponse { header: None, ..events(1, [30]) });
    assert_eq!(world.revisions(watch), []);
    world.end(line.call, 14, "gone");
    assert_eq!(world.await_line().creation(&world).start_revision, 31);
}

#[test]
fn watch_065_equal_metadata_shares_a_stream() {
    let mut world = World::connected(2);
    let with = |value: &str| of("k").metadata(Metadata::new().with("x", value).unwrap());
    let pinned = of("k").endpoint(world.key_of("b"));
    let requests = [of("k"), with("1"), of("k").require_leader(false), with("2"), pinned, of("k"), with("1")];
    for request in requests {
        world.watch(request);
    }
    assert_eq!(world.watch_calls().len(), 5, "one for each kind");
    let opened = &world.opened;
    let leaders: Vec<bool> = opened.iter().map(|open| open.requires_leader()).collect();
    assert_eq!(leaders, [true, true, false, true, true]);
    let value = |n: usize| opened[n].headers().get("x").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!([value(0), value(1), value(3)], [None, Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(world.place(world.watch_calls()[4]), "b");
    // The others go into the streams there are.
    for (n, further) in [(0, 1), (1, 1), (2, 0), (3, 0), (4, 0)] {
        let call = world.watch_calls()[n];
        let mut line = Line::on(&mut world, call);
        let id = line.creation(&world).watch_id;
        line.tell(&mut world, &created(id, 5));
        assert_eq!(line.creations(&world).len(), further, "stream {n}");
    }
}

#[test]
fn watches_on_different_streams_have_ids_of_their_own() {
    let mut world = World::connected(1);
    world.watch(of("k"));
    world.watch(of("k").require_leader(false));
    for call in world.watch_calls() {
        let mut line = Line::on(&mut world, call);
        assert_eq!(line.creation(&world).watch_id, 1);
    }
}

#[test]
fn watch_068_a_watch_on_a_closed_core_ends_at_once() {
    let mut world = World::connected(1);
    world.core.close(world.now);
    world.drain();
    let watch = world.watch(of("k"));
    assert!(world.was_hinted(watch));
    assert_eq!(world.end_of_watch(watch), Some(WatchErrorKind::Closed));
    world.assert_no_watch();
}

#[test]
fn what_cannot_be_asked_for_ends_at_once_and_nothing_is_sent() {
    let mut world = World::connected(2);
    let gone = world.key_of("b");
    world.core.set_endpoints(world.now, addresses(1));
    world.drain();
    let invalid = |request: WatchRequest, world: &mut World| {
        let watch = world.watch(request);
        assert!(world.was_hinted(watch));
        match world.end_of_watch(watch) {
            Some(WatchErrorKind::Invalid(invalid)) => invalid,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(invalid(of("k").endpoint(gone), &mut world), InvalidRequest::UnknownEndpoint);
    let empty = WatchRequest::new(KeyRange::range("b", "a"));
    assert!(matches!(invalid(empty, &mut world), InvalidRequest::Value { option: "range", .. }));
    let negative = from("k", -1);
    assert!(matches!(invalid(negative, &mut world), InvalidRequest::Value { option: "from_revision", .. }));
    let nothing = of("k").puts(false).deletes(false);
    assert!(matches!(invalid(nothing, &mut world), InvalidRequest::Value { .. }));
    world.core.set_endpoints(world.now, []);
    world.drain();
    assert_eq!(invalid(of("k"), &mut world), InvalidRequest::NoEndpoints);
    assert!(world.opened.is_empty());
    world.assert_no_watch();
}

#[test]
fn a_request_above_the_limit_ends_its_watch_and_no_other() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_request_size(100));
    let large = || of(&"k".repeat(100));
    let first = world.watch(large());
    assert!(matches!(world.end_of_watch(first), Some(WatchErrorKind::TooLarge { limit: 100, .. })));
    world.assert_no_watch();
    assert!(world.opened.is_empty());
    let kept = world.watch(of("k"));
    let second = world.watch(large());
    let third = world.watch(of("l"));
    let mut line = Line::accept(&mut world);
    assert_eq!(line.confirm(&mut world, 5).len(), 2);
    assert!(matches!(world.end_of_watch(second), Some(WatchErrorKind::TooLarge { .. })));
    assert_eq!([kept, third].map(|watch| world.core.is_watch_open(watch)), [Some(true); 2]);
}

#[test]
fn a_watch_waits_for_a_connection() {
    let mut world = World::new(Config::new(addresses(1)));
    let watch = world.watch(of("k"));
    assert!(world.opened.is_empty());
    world.refuse("a");
    world.advance(s(5));
    world.await_dial("a");
    world.accept_all();
    Line::accept(&mut world).confirm_one(&mut world, 5);
    assert_eq!(world.core.is_watch_open(watch), Some(true));
}

#[test]
fn a_creation_that_is_not_answered_is_asked_for_again() {
    let (mut world, first, _) = World::watching(of("k"), 5);
    let second = world.watch(of("l"));
    let call = world.watch_calls()[0];
    world.idle(ms(9_999));
    assert!(!world.reset.contains(&call));
    // The server lives, it does not answer.
    let waited = world.idle_until(|world| world.reset.contains(&call));
    assert!(waited <= ms(1), "{waited:?}");
    let mut line = world.await_line();
    assert_eq!(line.confirm(&mut world, 5).len(), 2);
    assert_eq!(world.core.stats().watch_streams, 1, "etcd's ids are ours: it was the stream");
    assert_eq!([first, second].map(|watch| world.core.is_watch_open(watch)), [Some(true); 2]);
}

/// A grpc-proxy never answers some creations.
#[test]
fn a_creation_that_a_proxy_does_not_answer_keeps_no_other_waiting() {
    for first_of_all in [true, false] {
        let mut world = World::connected(1);
        if !first_of_all {
            world.watch(of("0"));
            let mut line = Line::accept(&mut world);
            line.creation(&world);
            line.tell(&mut world, &created(0, 5));
        }
        let dumb = world.watch(of("dumb"));
        let others: Vec<_> = (0..5).map(|n| world.watch(of(&n.to_string()))).collect();
        let call = world.watch_calls()[0];
        world.idle_until(|world| world.reset.contains(&call));
        assert_eq!(world.core.stats().watch_streams, 2);
        let mut id = 0;
        world.advance_until(|world| world.watch_calls().len() == 2);
        for call in world.watch_calls() {
            let mut line = Line::on(&mut world, call);
            while line.creations(&world).pop().is_some_and(|one| one.key != "dumb") {
                line.tell(&mut world, &created(id, 5));
                id += 1;
            }
        }
        assert!(others.iter().all(|watch| world.core.is_watch_open(*watch) == Some(true)));
        assert_eq!(world.core.is_watch_open(dumb), Some(false));
        world.drop_watch(dumb);
        assert_eq!(world.core.stats().watch_streams, 1);
    }
}

/// The creation that is not answered may be one that nobody wants any more.
#[test]
fn an_unanswered_creation_that_was_given_up_is_forgotten() {
    for drop in [false, true] {
        let mut world = World::connected(1);
        let given_up = world.watch(of("k"));
        let other = world.watch(of("l"));
        Line::accept(&mut world);
        if drop {
            world.drop_watch(given_up);
        } else {
            world.cancel_watch(given_up);
        }
        let call = world.watch_calls()[0];
        world.idle_until(|world| world.reset.contains(&call));
        if !drop {
            assert_eq!(world.end_of_watch(given_up), None);
        }
        let mut line = world.await_line();
        assert_eq!(line.creation(&world).key, "l");
        line.tell(&mut world, &created(2, 5));
        world.idle(s(30));
        assert_eq!(world.core.is_watch_open(other), Some(true));
        assert_eq!((world.core.stats().watches, world.core.stats().watch_streams), (1, 1));
    }
}

#[test]
fn a_refusal_that_passes_is_met_by_another_try_on_the_same_stream() {
    let mut world = World::connected(1);
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    let mut rests = Vec::new();
    for id in 1..12 {
        assert_eq!(line.creation(&world).watch_id, id, "a new id each time");
        line.tell(&mut world, &refused_creation("mvcc: duplicate watch ID provided on the WatchStream"));
        let before = world.sent.get(&line.call).map_or(0, Vec::len);
        rests.push(world.advance_until(|world| world.sent.get(&line.call).map_or(0, Vec::len) > before));
    }
    assert!(rests[..3].iter().all(|rest| *rest <= ms(100)), "{rests:?}");
    assert!(rests.iter().any(|rest| *rest > ms(200)), "it waits longer and longer: {rests:?}");
    line.confirm_one(&mut world, 5);
    assert_eq!(world.core.is_watch_open(watch), Some(true));
}
