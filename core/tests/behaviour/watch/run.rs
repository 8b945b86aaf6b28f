//! Events taken by runs: those of several revisions at once.

use super::*;

/// More than an event takes, and less than two.
const EVENT: usize = 300;

/// The revisions that are left of a run.
fn rest(run: WatchRun) -> Vec<i64> {
    run.map(|(revision, events)| {
        assert!(events.iter().all(|event| event.kv.as_ref().unwrap().mod_revision == revision.get()));
        revision.get()
    })
    .collect()
}

impl World {
    #[track_caller]
    fn run(&mut self, watch: WatchKey) -> WatchRun {
        self.watch_next_run(watch).expect("events are next")
    }
}

#[test]
fn runs_and_items_take_turns() {
    let (mut world, watch, line) = World::watching(of("k").created().progress_notify(), 10);
    line.tell(&mut world, &events(1, [11, 11, 12, 13]));
    line.tell(&mut world, &response(1, 14));
    line.tell(&mut world, &events(1, [15, 16, 16, 17]));
    assert!(world.watch_next_run(watch).is_none(), "what is next has no events");
    assert_eq!(world.watch_next(watch), Some(WatchNext::Item(WatchItem::Created { revision: rev(10) })));
    assert_eq!(rest(world.run(watch)), [11, 12, 13]);
    assert_eq!(world.core.watch_position(watch), Some(rev(14)));
    assert!(world.watch_next_run(watch).is_none());
    assert_eq!(world.watch_next(watch), Some(WatchNext::Item(WatchItem::Progress { revision: rev(14) })));
    // What was begun item by item goes on as a run.
    let Some(WatchNext::Item(first)) = world.watch_next(watch) else { panic!() };
    assert_eq!(revision_of(&first), 15);
    let mut run = world.run(watch);
    assert_eq!(run.next().map(|(revision, events)| (revision.get(), events.len())), Some((16, 2)));
    assert!(!run.is_empty());
    assert_eq!(run.next().map(|(revision, events)| (revision.get(), events.len())), Some((17, 1)));
    assert!(run.is_empty() && run.next().is_none());
    assert!(world.watch_next_run(watch).is_none());
    assert_eq!(world.watch_next(watch), None);
    assert_eq!(world.core.watch_buffered(watch), 0);
}

#[test]
fn a_run_in_hand_counts_for_the_buffer_until_it_is_read() {
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(4 * EVENT), 10);
    line.tell(&mut world, &events(1, 11..14));
    let buffered = world.core.watch_buffered(watch);
    assert_eq!(rest(world.run(watch)), [11, 12, 13]);
    assert_eq!(world.core.watch_buffered(watch), buffered);
    line.tell(&mut world, &events(1, 14..18));
    assert!(world.core.watch_buffered(watch) <= 4 * EVENT);
    assert_eq!(line.cancels(&world), [1], "there is no room beside what its reader holds");
    line.tell(&mut world, &canceled(1));
    let taken = rest(world.run(watch));
    assert!(taken.len() > 1, "a single revision is read when it is taken");
    assert_eq!(line.requests(&world), [], "the last run is not read");
    world.core.watch_run_read(world.now, watch);
    world.drain();
    assert_eq!(world.core.watch_buffered(watch), 0);
    assert_eq!(line.creation(&world).start_revision, taken.last().unwrap() + 1);
}

#[test]
fn nothing_comes_in_beside_a_run_that_fills_the_buffer() {
    let (mut world, watch, mut line) = World::watching(of("k").max_buffer(2 * EVENT), 10);
    line.tell(&mut world, &events(1, [11, 12]));
    let run = world.run(watch);
    line.tell(&mut world, &events(1, [13; 9]));
    assert_eq!(line.cancels(&world), [1], "a large revision comes in when it is the first, which it is not");
    assert!(world.core.watch_buffered(watch) <= 2 * EVENT);
    line.tell(&mut world, &canceled(1));
    assert_eq!(rest(run), [11, 12]);
    // Whoever does not tell that a run is read asks for the next one.
    assert!(world.watch_next_run(watch).is_none());
    assert_eq!(line.creation(&world).start_revision, 13);
    line.tell(&mut world, &created(2, 20));
    line.tell(&mut world, &events(2, [13; 9]));
    assert_eq!(rest(world.run(watch)), [13]);
    assert_eq!(world.core.watch_buffered(watch), 0, "a single revision is read when it is taken");
    assert_eq!(line.requests(&world), []);
}

#[test]
fn the_end_of_a_watch_comes_behind_its_runs() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11, 12]));
    line.tell(&mut world, &events(1, [13]));
    line.tell(&mut world, &compacted(1, 90));
    let run = world.run(watch);
    assert_eq!(rest(world.run(watch)), [13]);
    assert_eq!(world.end_of_watch(watch), Some(WatchErrorKind::Compacted { oldest: rev(90) }));
    assert_eq!(rest(run), [11, 12]);
    world.core.watch_run_read(world.now, watch);
    assert!(world.watch_next_run(watch).is_none());
}

#[test]
fn a_watch_that_is_given_up_holds_nothing() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11, 12]));
    line.tell(&mut world, &events(1, [13]));
    let run = world.run(watch);
    world.cancel_watch(watch);
    assert_eq!(world.core.watch_buffered(watch), 0);
    assert!(world.watch_next_run(watch).is_none());
    world.core.watch_run_read(world.now, watch);
    line.tell(&mut world, &canceled(1));
    assert_eq!(world.end_of_watch(watch), None);
    assert_eq!(rest(run), [11, 12]);
}
