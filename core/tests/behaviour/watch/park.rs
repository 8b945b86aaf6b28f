//! Slow readers: their watches are parked, and resumed when they have read.

use std::collections::BTreeSet;

use super::*;

/// Bytes of an event with a value of this length, about.
const EVENT: usize = 200;

fn wide(id: i64, revision: i64, count: usize, bytes: usize) -> WatchResponse {
    let value = "v".repeat(bytes);
    WatchResponse { events: vec![valued(revision, &value); count], ..response(id, revision) }
}

#[test]
fn a_full_buffer_parks_its_watch_and_reading_resumes_it_without_loss() {
    let mut world = World::connected(1);
    let slow = world.watch(of("k").max_buffer(10 * EVENT));
    let sibling = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 10);
    let (mut id, mut next, mut read) = (1, 11, Vec::new());
    let mut parks = 0;
    while read.len() < 200 {
        // The server sends on, whatever is read.
        let batch = events(id, next..next + 7);
        next += 7;
        line.tell(&mut world, &batch);
        assert!(world.core.watch_buffered(slow) <= 10 * EVENT);
        let cancels = line.cancels(&world);
        if cancels.is_empty() {
            continue;
        }
        assert_eq!(cancels, [id]);
        parks += 1;
        // What was on its way does no harm.
        line.tell(&mut world, &events(id, next..next + 3));
        line.tell(&mut world, &canceled(id));
        line.tell(&mut world, &events(2, [1_000 + next]));
        while let Some(next) = world.watch_next(slow) {
            let WatchNext::Item(item) = next else { panic!("{next:?}") };
            read.push(revision_of(&item));
        }
        let creation = line.creation(&world);
        assert_eq!(creation.start_revision, read.last().unwrap() + 1);
        id = creation.watch_id;
        next = creation.start_revision;
        line.tell(&mut world, &created(id, 500));
    }
    assert!(read.iter().copied().eq(11..11 + read.len() as i64), "{read:?}");
    assert!(parks > 5);
    assert_eq!(world.revisions(sibling).len(), parks, "siblings wait for nothing");
    assert!(world.reset.is_empty());
    assert_eq!(world.core.watch_repeated(slow), 0);
}

#[test]
fn a_parked_watch_is_resumed_when_all_is_read_and_not_before() {
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(3 * EVENT), 10);
    line.tell(&mut world, &events(1, 11..50));
    assert_eq!(line.cancels(&world), [1]);
    line.tell(&mut world, &canceled(1));
    world.advance(s(100));
    assert_eq!(line.requests(&world), []);
    let first = world.watch_next(watch);
    assert!(matches!(first, Some(WatchNext::Item(_))));
    assert_eq!(line.requests(&world), []);
    let rest = world.revisions(watch);
    assert_eq!(line.creation(&world).start_revision, rest.last().unwrap() + 1);
    assert_eq!(world.core.watch_position(watch), Some(rev(rest.last().unwrap() + 1)));
}

#[test]
fn one_revision_larger_than_the_cap_is_given_whole() {
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(EVENT), 10);
    line.tell(&mut world, &wide(1, 11, 50, 1_000));
    assert_eq!(line.requests(&world), []);
    assert!(world.core.watch_buffered(watch) > 50 * 1_000);
    // In fragments too, but not behind something else.
    line.tell(&mut world, &WatchResponse { fragment: true, ..wide(1, 12, 50, 1_000) });
    assert_eq!(line.cancels(&world), [1]);
    line.tell(&mut world, &wide(1, 12, 50, 1_000));
    line.tell(&mut world, &canceled(1));
    assert!(world.core.watch_buffered(watch) < 75 * 1_000);
    assert_eq!(world.revisions(watch), [11]);
    assert_eq!(line.creation(&world).start_revision, 12);
    line.tell(&mut world, &created(2, 20));
    for _ in 0..10 {
        line.tell(&mut world, &WatchResponse { fragment: true, ..wide(2, 12, 50, 1_000) });
    }
    line.tell(&mut world, &wide(2, 12, 1, 1_000));
    let items = world.items(watch);
    let [WatchItem::Events { revision, events }] = &items[..] else { panic!("{} items", items.len()) };
    assert_eq!((revision.get(), events.len()), (12, 501));
    assert_eq!(world.core.watch_buffered(watch), 0);
}

#[test]
fn a_watch_compacted_while_it_was_parked_tells_so_behind_all_it_has() {
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(3 * EVENT), 10);
    line.tell(&mut world, &events(1, 11..50));
    line.cancels(&world);
    line.tell(&mut world, &canceled(1));
    let read = world.revisions(watch);
    let id = line.creation(&world).watch_id;
    line.tell(&mut world, &created(id, 100));
    line.tell(&mut world, &compacted(id, 90));
    let Some(WatchNext::End(Err(error))) = world.watch_next(watch) else { panic!() };
    assert_eq!(error.kind(), &WatchErrorKind::Compacted { oldest: rev(90) });
    assert_eq!(error.next_revision(), Some(rev(read.last().unwrap() + 1)));
}

#[test]
fn a_parked_watch_outlives_its_stream() {
    let (mut world, watch, line) = World::watching(of("k").max_buffer(EVENT).connection_notices(true), 10);
    line.tell(&mut world, &events(1, 11..50));
    world.end(line.call, 14, "gone");
    world.advance(s(30));
    assert_eq!(world.watch_calls(), [], "nobody needs a stream");
    assert_eq!(world.revisions(watch), [11], "it was on no stream that could break");
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).start_revision, 12);
    line.tell(&mut world, &created(2, 60));
    line.tell(&mut world, &events(2, [12]));
    assert_eq!(world.revisions(watch), [12]);
}

#[test]
fn notices_never_outgrow_the_buffer() {
    let (mut world, watch, mut line) =
        World::watching(of("k").max_buffer(2 * EVENT).connection_notices(true).progress_notify(), 10);
    line.tell(&mut world, &events(1, [11]));
    for n in 0..100 {
        let id = n + 1;
        line.tell(&mut world, &response(id, 20 + n));
        line.tell(&mut world, &response(id, 20 + n));
        world.end(line.call, 14, "gone");
        line = world.await_line();
        line.confirm_one(&mut world, 20);
        assert!(world.core.watch_buffered(watch) <= 3 * EVENT);
    }
    let items = world.items(watch);
    assert!(items.len() < 12, "{items:?}");
}

#[test]
fn one_slow_reader_among_a_thousand() {
    let mut world = World::connected(1);
    let watches: Vec<_> = (0..1_000).map(|_| world.watch(of("k").max_buffer(5 * EVENT))).collect();
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 10);
    let slow = watches[500];
    for revision in 11..40 {
        for id in 1..=1_000 {
            line.tell(&mut world, &events(id, [revision]));
        }
        for watch in watches.iter().filter(|watch| **watch != slow) {
            assert_eq!(world.revisions(*watch), [revision]);
        }
    }
    let buffered: usize = watches.iter().map(|watch| world.core.watch_buffered(*watch)).sum();
    assert!(buffered <= 5 * EVENT);
    assert_eq!(line.cancels(&world), [501]);
    let revisions: BTreeSet<_> = world.revisions(slow).into_iter().collect();
    assert_eq!(line.creation(&world).start_revision, revisions.last().unwrap() + 1);
}

#[test]
fn progress_is_not_asked_of_a_parked_watch() {
    let (mut world, watch, line) = World::watching(of("k").max_buffer(EVENT), 10);
    world.request_progress(watch);
    line.tell(&mut world, &events(1, 11..50));
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Behind)));
    world.was_hinted(watch);
    world.request_progress(watch);
    assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Behind)));
}
