//! Watches outlive their streams.

use std::time::Duration;

use etcdium_core::{EtcdError, InvalidRequest, Outcome, ResetCause, WatchErrorKind, WatchItem};

use super::*;

/// Everything that ends a stream, and does not end its watches.
const ENDS: [fn(&mut World, CallKey); 12] = [
    |w, call| w.end(call, 0, ""),
    |w, call| w.end(call, 14, EtcdError::NoLeader.text()),
    |w, call| w.end(call, 1, "etcdserver: watch canceled"),
    |w, call| w.end(call, 13, "broken"),
    |w, call| w.end(call, 2, "whatever"),
    |w, call| w.end(call, 8, "too much of something"),
    |w, call| w.reset(call, ResetCause::Stream(8)),
    |w, call| w.reset(call, ResetCause::GoAway),
    |w, call| w.input(call, etcdium_core::CallInput::End(None)),
    |w, call| w.data(call, vec![7, 0, 0, 0, 0]),
    |w, call| w.data(call, vec![0, 0, 0, 0, 1, 0xff]),
    |w, _| w.cut("a"),
];

#[test]
fn a_watch_goes_on_behind_its_last_event_whatever_ended_its_stream() {
    for (n, end) in ENDS.into_iter().enumerate() {
        let mut world = World::connected(1);
        let watch = world.watch(of("k"));
        let mut line = Line::accept(&mut world);
        let mut last = 10;
        for id in 1..6 {
            let creation = line.creation(&world);
            assert_eq!((creation.watch_id, &creation.key[..]), (id, &b"k"[..]), "end {n}");
            assert_eq!(creation.start_revision, if id == 1 { 0 } else { last + 1 }, "end {n}");
            line.tell(&mut world, &created(id, 10 * id));
            // The header is ahead of the events.
            line.tell(&mut world, &WatchResponse { header: header(CLUSTER, 100), ..events(id, [last + 2]) });
            last += 2;
            end(&mut world, line.call);
            world.advance_until(|world| !world.watch_calls().is_empty() || !world.dials.is_empty());
            world.accept_all();
            line = world.await_line();
        }
        assert_eq!(world.revisions(watch), [12, 14, 16, 18, 20], "end {n}");
        assert_eq!(world.core.watch_repeated(watch), 0);
    }
}

#[test]
fn a_watch_that_was_not_confirmed_begins_anew() {
    let mut world = World::connected(1);
    let watch = world.watch(of("k").connection_notices(true).created());
    let line = Line::accept(&mut world);
    world.end(line.call, 14, "gone");
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).start_revision, 0);
    line.tell(&mut world, &created(2, 10));
    assert_eq!(world.items(watch), [WatchItem::Created { revision: rev(10) }], "there is nothing to notice");
    assert_eq!(world.core.watch_position(watch), Some(rev(11)));
}

#[test]
fn progress_moves_where_a_watch_goes_on_and_no_other_header_does() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &response(1, 30));
    // Not asked for: nothing is told.
    assert_eq!(world.items(watch), []);
    line.tell(&mut world, &response(1, 20));
    world.end(line.call, 14, "gone");
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).start_revision, 31);
    line.tell(&mut world, &created(2, 50));
    world.end(line.call, 14, "gone");
    assert_eq!(world.await_line().creation(&world).start_revision, 31);
}

#[test]
fn another_endpoint_comes_first() {
    let mut world = World::connected(3);
    world.watch(of("k"));
    let mut last = String::new();
    for _ in 0..12 {
        let mut line = world.await_line();
        let place = world.place(line.call);
        assert_ne!(place, last);
        line.confirm_one(&mut world, 10);
        world.end(line.call, 14, EtcdError::NoLeader.text());
        last = place;
    }
    // With nowhere else to go, the same one does.
    for name in ["a", "b", "c"].into_iter().filter(|name| *name != last) {
        world.cut(name);
    }
    let line = world.await_line();
    assert_eq!(world.place(line.call), last);
}

#[test]
fn a_silent_member_is_left() {
    let mut world = World::connected(2);
    let watch = world.watch(of("k").connection_notices(true));
    let mut line = Line::accept(&mut world);
    line.confirm_one(&mut world, 10);
    world.watch(of("l"));
    let silent = world.place(line.call);
    let waited = world.advance_until(|world| !world.watch_calls().contains(&line.call));
    assert!(waited < s(4), "{waited:?}");
    let mut line = world.await_line();
    assert_ne!(world.place(line.call), silent);
    line.confirm(&mut world, 10);
    let items = world.items(watch);
    let [WatchItem::Disconnected { cause }, WatchItem::Resumed { from }] = &items[..] else {
        panic!("{items:?}")
    };
    assert!(cause.to_string().contains("no byte"), "{cause}");
    assert_eq!(*from, rev(11));
}

/// How long it takes until a stream is open again, time after time; `lasts` is how long each one lived.
fn waits(times: usize, lasts: Duration, confirm: bool, seed: u64) -> Vec<Duration> {
    let mut world = World::with_seed(Config::new(addresses(1)), seed);
    world.watch(of("k"));
    world.accept_all();
    let mut line = Line::accept(&mut world);
    let mut waits = Vec::new();
    for _ in 0..times {
        if confirm {
            line.confirm_one(&mut world, 10);
        }
        world.advance(lasts);
        world.end(line.call, 14, "gone");
        let before = world.now;
        line = world.await_line();
        waits.push(world.now - before);
    }
    waits
}

#[test]
fn streams_that_break_at_once_are_opened_with_growing_jittered_waits() {
    for confirm in [false, true] {
        let mut longest = [Duration::ZERO; 10];
        let mut shortest = [Duration::MAX; 10];
        for seed in 0..200 {
            for (n, wait) in waits(10, ms(0), confirm, seed).into_iter().enumerate() {
                longest[n] = longest[n].max(wait);
                shortest[n] = shortest[n].min(wait);
            }
        }
        let ceilings = [25, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000].map(ms);
        for (n, ceiling) in ceilings.into_iter().enumerate() {
            assert!(longest[n] <= ceiling && longest[n] > ceiling / 5 * 4, "{n}: {:?}", longest[n]);
            assert!(shortest[n] < ceiling / 5 && shortest[n] >= ms(1), "{n}: {:?}", shortest[n]);
        }
    }
}

#[test]
fn a_stream_that_lasted_is_opened_again_at_once() {
    let all: Vec<Duration> = (0..50).flat_map(|seed| waits(6, s(1), true, seed)).collect();
    assert!(all.iter().all(|wait| *wait <= ms(25)), "{all:?}");
}

#[test]
fn a_watch_that_is_cancelled_without_a_word_is_created_again_with_growing_waits() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    let mut waits = Vec::new();
    for id in 1..12 {
        line.tell(&mut world, &events(id, [10 + id]));
        line.tell(&mut world, &canceled(id));
        let sent = world.sent.get(&line.call).map_or(0, Vec::len);
        waits.push(world.advance_until(|world| world.sent.get(&line.call).map_or(0, Vec::len) > sent));
        let creation = line.creation(&world);
        assert_eq!((creation.watch_id, creation.start_revision), (id + 1, 11 + id));
        line.tell(&mut world, &created(id + 1, 30));
    }
    assert!(waits[0] <= ms(25) && waits.iter().any(|wait| *wait > ms(300)), "{waits:?}");
    // One that lasted is no longer suspicious.
    world.advance(s(2));
    line.tell(&mut world, &canceled(12));
    let sent = world.sent.get(&line.call).map_or(0, Vec::len);
    let wait = world.advance_until(|world| world.sent.get(&line.call).map_or(0, Vec::len) > sent);
    assert!(wait <= ms(25), "{wait:?}");
    assert!(world.revisions(watch).into_iter().eq(11..22));
    assert!(world.reset.is_empty(), "its siblings notice nothing");
}

#[test]
fn connection_notices_are_given_once_per_break() {
    let (mut world, watch, line) = World::watching(of("k").connection_notices(true), 10);
    line.tell(&mut world, &events(1, [15]));
    world.end(line.call, 14, "gone");
    world.was_hinted(watch);
    // Again, before the watch was back.
    let line = world.await_line();
    world.end(line.call, 14, "gone again");
    world.await_line().confirm_one(&mut world, 20);
    let items = world.items(watch);
    let [events, WatchItem::Disconnected { cause }, WatchItem::Resumed { from }] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!((revision_of(events), *from), (15, rev(16)));
    assert_eq!((cause.message(), cause.outcome()), (Some("gone"), Outcome::NotApplied));
}

#[test]
fn without_notices_nobody_is_woken_for_nothing() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    world.items(watch);
    world.was_hinted(watch);
    world.end(line.call, 14, "gone");
    world.await_line().confirm_one(&mut world, 20);
    assert!(!world.was_hinted(watch));
}

#[test]
fn every_setting_is_asked_for_again() {
    let request = of("k").prev_kv().progress_notify().deletes(false);
    let mut world = World::connected(1);
    world.watch(request);
    let mut line = Line::accept(&mut world);
    let before = line.creation(&world);
    line.tell(&mut world, &created(1, 10));
    world.end(line.call, 14, "gone");
    let again = world.await_line().creation(&world);
    assert_eq!(again, WatchCreateRequest { watch_id: 2, start_revision: 11, ..before });
}

#[test]
fn thousands_of_watches_come_back_in_order_through_one_window() {
    const N: usize = 5_000;
    let mut world = World::connected(2);
    let watches: Vec<_> = (0..N).map(|n| world.watch(of(&n.to_string()))).collect();
    let mut line = Line::accept(&mut world);
    assert_eq!(line.confirm(&mut world, 10).len(), N);
    for id in (1..=N as i64).step_by(2) {
        line.tell(&mut world, &events(id, [10 + id]));
    }
    world.cut(&world.place(line.call));
    let mut line = world.await_line();
    let mut all = vec![line.creation(&world)];
    line.tell(&mut world, &created(all[0].watch_id, 20_000));
    loop {
        let more = line.creations(&world);
        assert!(more.len() <= 256);
        if more.is_empty() {
            break;
        }
        for creation in &more {
            line.tell(&mut world, &created(creation.watch_id, 20_000));
        }
        all.extend(more);
    }
    assert_eq!(all.len(), N);
    for (n, creation) in all.iter().enumerate() {
        let next = if n % 2 == 0 { 12 + n as i64 } else { 11 };
        assert_eq!((&creation.key[..], creation.start_revision), (n.to_string().as_bytes(), next));
        assert_eq!(creation.watch_id, (N + n + 1) as i64, "ids are not used again");
    }
    let last = line.requests(&world);
    assert_eq!(last, [], "nothing is asked twice");
    assert!(watches.iter().all(|watch| world.core.is_watch_open(*watch) == Some(true)));
    assert_eq!(world.opened.len(), 2, "one stream before, one after");
}

#[test]
fn a_server_that_goes_away_is_left_before_its_connection_breaks() {
    let mut world = World::connected(2);
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    line.confirm_one(&mut world, 10);
    line.tell(&mut world, &events(1, [11]));
    let left = world.place(line.call);
    world.endpoint(world.connection_to(&left), EndpointInput::GoingAway);
    assert!(world.reset.contains(&line.call));
    let mut line = world.await_line();
    assert_ne!(world.place(line.call), left);
    assert_eq!(line.creation(&world).start_revision, 12);
    assert_eq!(world.revisions(watch), [11]);
}

#[test]
fn a_watch_leaves_an_endpoint_that_is_removed() {
    let mut world = World::connected(2);
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    line.confirm_one(&mut world, 10);
    let left = world.place(line.call);
    let kept = addresses(2).into_iter().filter(|address| host(address) != left);
    world.core.set_endpoints(world.now, kept);
    world.drain();
    assert!(world.reset.contains(&line.call));
    let mut line = world.await_line();
    assert_ne!(world.place(line.call), left);
    assert_eq!(line.creation(&world).start_revision, 11);
    assert_eq!(world.items(watch), []);
}

#[test]
fn a_pinned_watch_stays_where_it_is_and_ends_with_its_endpoint() {
    let mut world = World::connected(2);
    let watch = world.watch(of("k").endpoint(world.key_of("b")));
    let other = world.watch(of("k").endpoint(world.key_of("a")));
    for _ in 0..3 {
        world.advance_until(|world| world.watch_calls().iter().any(|call| world.place(*call) == "b"));
        let call = *world.watch_calls().iter().find(|call| world.place(**call) == "b").unwrap();
        Line::on(&mut world, call).confirm_one(&mut world, 10);
        world.end(call, 14, "gone");
    }
    world.core.set_endpoints(world.now, addresses(1));
    world.drain();
    let kind = WatchErrorKind::Invalid(InvalidRequest::UnknownEndpoint);
    assert!(world.was_hinted(watch));
    assert_eq!(world.end_of_watch(watch), Some(kind));
    assert_eq!(world.core.is_watch_open(other), Some(false));
    // And in whatever phase.
    world.core.set_endpoints(world.now, []);
    world.drain();
    let kind = WatchErrorKind::Invalid(InvalidRequest::UnknownEndpoint);
    assert_eq!(world.end_of_watch(other), Some(kind));
    world.assert_no_watch();
}

#[test]
fn removing_all_endpoints_ends_watches_behind_what_they_have() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11, 12]));
    world.core.set_endpoints(world.now, []);
    world.drain();
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    let Some(WatchNext::End(Err(error))) = world.watch_next(watch) else { panic!() };
    assert_eq!(error.next_revision(), Some(rev(13)));
    world.assert_no_watch();
}
