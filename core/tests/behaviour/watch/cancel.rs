//! Watches that their users give up.

use super::*;

/// WATCH-071 wants the stream completed when a watch is closed; our streams are shared, so the server confirms, and the
/// stream ends with its last watch. The end is no error.
#[test]
fn watch_071_078_a_cancelled_watch_ends_well_when_the_server_confirms_and_its_stream_with_it() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11]));
    world.was_hinted(watch);
    world.cancel_watch(watch);
    assert_eq!(line.cancels(&world), [1]);
    assert_eq!(world.watch_next(watch), None, "what it had is dropped, its end is not confirmed");
    line.tell(&mut world, &events(1, [12]));
    world.cancel_watch(watch);
    assert_eq!(line.requests(&world), [], "said once");
    assert_eq!(world.watch_next(watch), None);
    line.tell(&mut world, &canceled(1));
    assert!(world.was_hinted(watch));
    assert!(world.reset.contains(&line.call));
    assert_eq!(world.end_of_watch(watch), None);
    world.assert_no_watch();
}

#[test]
fn watch_071_closing_the_core_ends_watches_well() {
    let (mut world, watch, line) = World::watching(of("k").connection_notices(true), 10);
    let unconfirmed = world.watch(of("l"));
    world.core.close(world.now);
    world.drain();
    assert!(world.reset.contains(&line.call));
    assert_eq!(world.end_of_watch(watch), None);
    assert_eq!(world.end_of_watch(unconfirmed), Some(WatchErrorKind::Closed), "nobody was told of its begin");
    world.assert_no_watch();
    world.assert_clean();
}

/// The end of the stream confirms as well.
#[test]
fn the_end_of_the_stream_confirms() {
    for reset in [false, true] {
        let (mut world, watch, line) = World::watching(of("k"), 10);
        let other = world.watch(of("l"));
        world.cancel_watch(watch);
        world.was_hinted(watch);
        assert_eq!(world.watch_next(watch), None);
        if reset {
            // The server breaks the protocol.
            line.tell(&mut world, &created(55, 10));
        } else {
            world.cut("a");
        }
        assert!(world.was_hinted(watch));
        assert_eq!(world.end_of_watch(watch), None);
        world.accept_all();
        world.advance_until(|world| !world.watch_calls().is_empty() || !world.dials.is_empty());
        world.accept_all();
        let creation = world.await_line().creation(&world);
        assert_eq!(creation.key, "l", "the cancelled one is not created again");
        assert_eq!(world.core.is_watch_open(other), Some(false));
    }
}

#[test]
fn a_server_that_does_not_confirm_is_left() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    let other = world.watch(of("l"));
    line.confirm(&mut world, 10);
    world.cancel_watch(watch);
    world.idle(ms(9_999));
    assert_eq!(world.watch_next(watch), None);
    assert!(!world.reset.contains(&line.call));
    world.idle(ms(1));
    assert!(world.reset.contains(&line.call));
    assert_eq!(world.end_of_watch(watch), None);
    assert_eq!(world.await_line().creation(&world).key, "l");
    world.drop_watch(other);
    world.assert_no_watch();
}

#[test]
fn nobody_waits_for_the_confirmation_of_a_dropped_watch() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    world.cancel_watch(watch);
    world.drop_watch(watch);
    assert_eq!(line.cancels(&world), [1]);
    world.idle(s(60));
    assert!(!world.reset.contains(&line.call));
    line.tell(&mut world, &canceled(1));
    assert_eq!(world.core.stats().watches, 1);
}

/// A watch in each phase, beside another one that keeps the stream. `None`: it is not there any more.
fn in_every_phase(
    act: impl Fn(&mut World, WatchKey),
    check: impl Fn(&str, &mut World, WatchKey, Option<&mut Line>),
) {
    // Waits for a connection.
    let mut world = World::new(Config::new(addresses(1)));
    let watch = world.watch(of("k"));
    act(&mut world, watch);
    check("waiting", &mut world, watch, None);

    // Waits for its turn.
    let mut world = World::connected(1);
    let keeper = world.watch(of("l"));
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    act(&mut world, watch);
    check("queued", &mut world, watch, None);
    assert_eq!(line.confirm(&mut world, 10).len(), 1);
    assert_eq!(world.core.is_watch_open(keeper), Some(true));

    // Backs off with its stream.
    let (mut world, watch, line) = World::watching(of("k"), 10);
    world.end(line.call, 14, "gone");
    act(&mut world, watch);
    check("backing off", &mut world, watch, None);
    world.assert_no_watch();

    // Rests.
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    line.tell(&mut world, &canceled(1));
    act(&mut world, watch);
    check("resting", &mut world, watch, None);
    world.advance(s(5));
    assert_eq!(line.requests(&world), []);

    // Is parked.
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(1), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    line.tell(&mut world, &events(1, [11, 12]));
    assert_eq!(line.cancels(&world), [1]);
    act(&mut world, watch);
    check("parked", &mut world, watch, None);
    line.tell(&mut world, &canceled(1));
    world.advance(s(5));
    assert_eq!(line.requests(&world), []);

    // Is live.
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    act(&mut world, watch);
    assert_eq!(line.cancels(&world), [1]);
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(line.requests(&world), [], "it is no stranger");
    check("live", &mut world, watch, Some(&mut line));
}

#[test]
fn a_watch_can_be_cancelled_in_every_phase() {
    in_every_phase(World::cancel_watch, |phase, world, watch, line| {
        if let Some(line) = line {
            assert_eq!(world.watch_next(watch), None, "{phase}");
            line.tell(world, &canceled(1));
        }
        assert!(world.was_hinted(watch), "{phase}");
        assert_eq!(world.end_of_watch(watch), None, "{phase}");
        world.drop_watch(watch);
    });
}

#[test]
fn a_watch_can_be_dropped_in_every_phase() {
    in_every_phase(World::drop_watch, |phase, world, watch, _| {
        assert_eq!(world.watch_next(watch), None, "{phase}");
        assert!(world.core.stats().watches <= 1, "{phase}");
    });
}

#[test]
fn a_watch_given_up_while_it_is_created_is_cancelled_when_its_id_is_known() {
    for (drop, first) in [(false, false), (false, true), (true, false), (true, true)] {
        for refused in [false, true] {
            let mut world = World::connected(1);
            let keeper = (!first).then(|| world.watch(of("l")));
            let mut line = if first { None } else { Some(Line::accept(&mut world)) };
            if let Some(line) = &mut line {
                line.confirm(&mut world, 10);
            }
            let watch = world.watch(of("k"));
            let mut line = line.unwrap_or_else(|| Line::accept(&mut world));
            // So that its stream does not end with it.
            let keeper = keeper.unwrap_or_else(|| world.watch(of("l")));
            let id = line.creations(&world)[0].watch_id;
            let give_up = if drop { World::drop_watch } else { World::cancel_watch };
            give_up(&mut world, watch);
            assert_eq!(line.requests(&world), []);
            let answer = if refused { refused_creation("etcdserver: no leader") } else { created(id, 10) };
            line.tell(&mut world, &answer);
            let requests = line.requests(&world);
            let cancels = requests.iter().filter(|one| matches!(one, RequestUnion::CancelRequest(_)));
            assert_eq!(cancels.count(), usize::from(!refused), "{requests:?}");
            if !drop && !refused {
                assert_eq!(world.watch_next(watch), None);
                line.tell(&mut world, &canceled(id));
            }
            if !drop {
                assert_eq!(world.end_of_watch(watch), None);
            }
            assert_eq!(world.core.stats().watches, 1);
            assert!(world.core.is_watch_open(keeper).is_some());
            assert!(world.reset.is_empty());
        }
    }
}

#[test]
fn the_last_watch_takes_its_stream_along() {
    for confirmed in [false, true] {
        let mut world = World::connected(1);
        let watches = [world.watch(of("k")), world.watch(of("l"))];
        let mut line = Line::accept(&mut world);
        if confirmed {
            line.confirm(&mut world, 10);
        }
        world.drop_watch(watches[0]);
        assert!(world.reset.is_empty());
        world.drop_watch(watches[1]);
        assert!(world.reset.contains(&line.call), "what the server knew of them goes with it");
        world.assert_no_watch();
        world.assert_clean();
        // The next one has a new stream.
        world.watch(of("k"));
        Line::accept(&mut world).confirm_one(&mut world, 10);
    }
}

#[test]
fn a_compaction_that_crosses_a_cancellation_confirms_it() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    world.cancel_watch(watch);
    line.tell(&mut world, &compacted(1, 100));
    assert_eq!(world.end_of_watch(watch), None);
    line.tell(&mut world, &canceled(1));
    assert!(world.reset.is_empty());
}

#[test]
fn a_watch_that_has_ended_can_be_cancelled_and_dropped() {
    for drop in [false, true] {
        let (mut world, watch, mut line) = World::watching(of("k"), 10);
        world.watch(of("l"));
        line.confirm(&mut world, 10);
        line.tell(&mut world, &events(1, [11]));
        line.tell(&mut world, &compacted(1, 100));
        if drop {
            world.drop_watch(watch);
            assert_eq!(world.watch_next(watch), None);
        } else {
            world.cancel_watch(watch);
            assert_eq!(world.end_of_watch(watch), None, "its user wants no more of it");
        }
        // Late uses of its key go nowhere.
        world.cancel_watch(watch);
        world.drop_watch(watch);
        world.request_progress(watch);
        assert_eq!(world.progress_of(watch), Some(Err(ProgressError::Ended)));
        assert_eq!((world.core.watch_position(watch), world.core.watch_buffered(watch)), (None, 0));
        assert_eq!(world.core.stats().watches, 1);
    }
}

#[test]
fn a_thousand_watches_are_dropped_at_once() {
    let mut world = World::connected(1);
    let keeper = world.watch(of("l"));
    let watches: Vec<_> = (0..3_000).map(|_| world.watch(of("k"))).collect();
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 10);
    for watch in watches {
        world.drop_watch(watch);
    }
    // Many cancellations are under way: that is nothing to be wary of when a stranger comes.
    line.tell(&mut world, &events(9_999, [11]));
    let cancels = line.cancels(&world);
    assert!(cancels.into_iter().eq((2..=3_001).chain([9_999])));
    assert!(world.reset.is_empty());
    for id in 2..=3_001 {
        line.tell(&mut world, &canceled(id));
    }
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(world.revisions(keeper), [11]);
}
