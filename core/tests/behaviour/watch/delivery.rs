//! What watches give.

use etcdium_core::{WatchItem, WatchNext};
use etcdium_proto::mvccpb::event::EventType;

use super::*;

fn values(item: &WatchItem) -> Vec<String> {
    let WatchItem::Events { events, .. } = item else { panic!("{item:?}") };
    events.iter().map(|event| String::from_utf8(event.kv.as_ref().unwrap().value.to_vec()).unwrap()).collect()
}

fn valued_response(id: i64, events: &[(i64, &str)]) -> WatchResponse {
    let events = events.iter().map(|(revision, value)| valued(*revision, value)).collect();
    WatchResponse { events, ..response(id, 99) }
}

fn valued_part(id: i64, events: &[(i64, &str)]) -> WatchResponse {
    WatchResponse { fragment: true, ..valued_response(id, events) }
}

#[test]
fn watch_070_responses_come_out_one_by_one_in_order() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    assert_eq!(world.items(watch), []);
    world.was_hinted(watch);
    let delete = mvccpb::Event { r#type: EventType::Delete as i32, ..event(13) };
    line.tell(&mut world, &valued_response(1, &[(11, "a")]));
    assert!(world.was_hinted(watch));
    line.tell(&mut world, &valued_response(1, &[(12, "b")]));
    line.tell(&mut world, &WatchResponse { events: vec![delete.clone()], ..response(1, 13) });
    assert!(!world.was_hinted(watch), "one hint until all is taken");
    let items = world.items(watch);
    assert_eq!(items.iter().map(revision_of).collect::<Vec<_>>(), [11, 12, 13]);
    assert_eq!([values(&items[0]), values(&items[1])], [["a"], ["b"]]);
    let WatchItem::Events { events, .. } = &items[2] else { panic!() };
    assert_eq!(events[..], [delete]);
    line.tell(&mut world, &events_of(14));
    assert!(world.was_hinted(watch));
}

fn events_of(revision: i64) -> WatchResponse {
    events(1, [revision])
}

#[test]
fn a_revision_is_given_whole_and_each_by_itself() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(
        &mut world,
        &valued_response(1, &[(11, "a"), (11, "b"), (12, "c"), (14, "d"), (14, "e"), (14, "f")]),
    );
    let items = world.items(watch);
    assert_eq!(
        items.iter().map(values).collect::<Vec<_>>(),
        [vec!["a", "b"], vec!["c"], vec!["d", "e", "f"]]
    );
    assert_eq!(items.iter().map(revision_of).collect::<Vec<_>>(), [11, 12, 14]);
}

#[test]
fn fragments_are_joined() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &valued_part(1, &[(11, "a"), (12, "b")]));
    let items = world.items(watch);
    assert_eq!(items.iter().map(values).collect::<Vec<_>>(), [["a"]], "12 may go on");
    line.tell(&mut world, &valued_part(1, &[(12, "c")]));
    line.tell(&mut world, &valued_part(1, &[(12, "d"), (12, "e")]));
    assert_eq!(world.items(watch), []);
    assert!(world.core.watch_buffered(watch) > 0);
    line.tell(&mut world, &valued_part(1, &[(12, "f"), (13, "g")]));
    let items = world.items(watch);
    assert_eq!(items.iter().map(values).collect::<Vec<_>>(), [["b", "c", "d", "e", "f"]]);
    line.tell(&mut world, &valued_response(1, &[(13, "h"), (14, "i"), (14, "j")]));
    let items = world.items(watch);
    assert_eq!(items.iter().map(values).collect::<Vec<_>>(), [vec!["g", "h"], vec!["i", "j"]]);
    assert_eq!(world.core.watch_buffered(watch), 0);
}

#[test]
fn fragments_may_end_with_their_revision() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &valued_part(1, &[(11, "a")]));
    line.tell(&mut world, &valued_response(1, &[(12, "b")]));
    assert_eq!(world.items(watch).iter().map(values).collect::<Vec<_>>(), [["a"], ["b"]]);
    line.tell(&mut world, &valued_part(1, &[(13, "c"), (13, "d")]));
    line.tell(&mut world, &valued_response(1, &[(13, "e")]));
    assert_eq!(world.items(watch).iter().map(values).collect::<Vec<_>>(), [["c", "d", "e"]]);
}

#[test]
fn fragments_of_different_watches_may_alternate() {
    let mut world = World::connected(1);
    let watches = [world.watch(of("k")), world.watch(of("k"))];
    let mut line = Line::accept(&mut world);
    line.confirm(&mut world, 10);
    for (id, value) in [(1, "a"), (2, "A"), (1, "b"), (2, "B")] {
        line.tell(&mut world, &valued_part(id, &[(11, value)]));
    }
    line.tell(&mut world, &valued_response(2, &[(11, "C")]));
    line.tell(&mut world, &valued_response(1, &[(11, "c")]));
    assert_eq!(world.items(watches[0]).iter().map(values).collect::<Vec<_>>(), [["a", "b", "c"]]);
    assert_eq!(world.items(watches[1]).iter().map(values).collect::<Vec<_>>(), [["A", "B", "C"]]);
}

#[test]
fn fragments_that_a_break_left_are_dropped_and_come_again() {
    let (mut world, watch, line) = World::watching(of("k"), 10);
    line.tell(&mut world, &valued_part(1, &[(11, "a"), (12, "b")]));
    world.end(line.call, 14, "gone");
    assert_eq!(world.revisions(watch), [11]);
    assert_eq!(world.core.watch_buffered(watch), 0);
    let mut line = world.await_line();
    assert_eq!(line.creation(&world).start_revision, 12);
    line.tell(&mut world, &created(2, 20));
    line.tell(&mut world, &valued_response(2, &[(12, "b"), (12, "c")]));
    assert_eq!(world.items(watch).iter().map(values).collect::<Vec<_>>(), [["b", "c"]]);
}

#[test]
fn what_comes_again_is_dropped() {
    let (mut world, watch, line) = World::watching(from("k", 5), 10);
    line.tell(&mut world, &events(1, [3, 4, 5, 6]));
    line.tell(&mut world, &events(1, [5, 6, 7]));
    assert_eq!(world.revisions(watch), [5, 6, 7]);
    assert_eq!(world.core.watch_repeated(watch), 4);
}

#[test]
fn the_header_of_events_means_nothing() {
    let (mut world, watch, line) = World::watching(from("k", 5), 100);
    line.tell(&mut world, &WatchResponse { header: header(CLUSTER, 100), ..events(1, [5]) });
    line.tell(&mut world, &WatchResponse { header: None, ..events(1, [6]) });
    line.tell(&mut world, &WatchResponse { header: header(CLUSTER, 2), ..events(1, [7]) });
    assert_eq!(world.revisions(watch), [5, 6, 7]);
    world.end(line.call, 14, "gone");
    assert_eq!(world.await_line().creation(&world).start_revision, 8);
}

#[test]
fn previous_pairs_are_passed_on() {
    let (mut world, watch, line) = World::watching(of("k").prev_kv(), 10);
    let event = mvccpb::Event { prev_kv: event(4).kv, ..event(11) };
    line.tell(&mut world, &WatchResponse { events: vec![event.clone()], ..response(1, 11) });
    let Some(WatchNext::Item(WatchItem::Events { events, .. })) = world.watch_next(watch) else { panic!() };
    assert_eq!(events[..], core::slice::from_ref(&event)[..]);
    assert_eq!(events.into_iter().collect::<Vec<_>>(), [event]);
}

#[test]
fn an_unknown_id_is_cancelled_once() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    for _ in 0..3 {
        line.tell(&mut world, &events(77, [11]));
    }
    line.tell(&mut world, &response(78, 20));
    assert_eq!(line.cancels(&world), [77, 78]);
    line.tell(&mut world, &canceled(77));
    line.tell(&mut world, &canceled(79));
    assert_eq!(line.requests(&world), []);
    line.tell(&mut world, &events(1, [11]));
    assert_eq!(world.revisions(watch), [11]);
    assert!(world.reset.is_empty());
}
