//! Servers that go away in good order.

use etcdium_core::{CauseKind, EndpointInput, EndpointStatus, ErrorKind, Outcome, ResetCause};

use crate::support::*;

fn go_away(world: &mut World, name: &str) {
    let connection = world.connection_to(name);
    world.endpoint(connection, EndpointInput::GoingAway);
}

#[test]
fn accepted_calls_end_well_and_new_ones_go_elsewhere() {
    let mut world = World::connected(2);
    let ops: Vec<_> = (0..4).map(|_| world.start(&put("k"), &no_options())).collect();
    let on_a = world.connection_to("a");
    go_away(&mut world, "a");
    assert!(!ops.iter().any(|op| world.is_done(op)) && world.dropped.is_empty());
    for _ in 0..6 {
        let op = world.start(&get("k"), &no_options());
        let call = *world.op_calls().last().unwrap();
        assert_eq!(world.place(call), "b");
        world.answer(call, &range_response(1));
        world.take(&op).unwrap();
    }
    for call in world.op_calls() {
        assert!(!world.dropped.contains(&on_a));
        world.answer(call, &put_response(1));
    }
    for op in &ops {
        world.take(op).unwrap();
    }
    assert!(world.dropped.contains(&on_a), "it is dropped with its last call");
    world.assert_clean();
}

#[test]
fn an_idle_connection_is_dropped_and_made_again() {
    let mut world = World::connected(1);
    let first = world.connection_to("a");
    go_away(&mut world, "a");
    assert!(world.dropped.contains(&first));
    let status = world.core.endpoints().next().unwrap().2;
    assert!(
        matches!(&status, Some(EndpointStatus::Down(cause)) if *cause.kind() == CauseKind::GoAway(0)),
        "{status:?}"
    );
    assert!(world.await_dial("a") <= ms(50));
    world.accept("a");
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn the_new_connection_is_used_while_the_old_one_drains() {
    let mut world = World::connected(1);
    let old = world.start(&put("old"), &no_options());
    let old_call = world.call();
    go_away(&mut world, "a");
    let waits = world.start(&put("new"), &no_options());
    assert_eq!(world.op_calls(), [old_call]);
    world.await_dial("a");
    world.accept("a");
    let new_call = *world.op_calls().last().unwrap();
    assert_ne!(world.calls[&old_call].connection, world.calls[&new_call].connection);
    assert_eq!(world.core.stats().connections, 2);
    world.answer(new_call, &put_response(2));
    world.answer(old_call, &put_response(1));
    world.take(&waits).unwrap();
    world.take(&old).unwrap();
    assert_eq!(world.core.stats().connections, 1);
    world.assert_clean();
}

#[test]
fn calls_above_the_last_stream_move_on_writes_too() {
    let mut world = World::connected(2);
    let op = world.start(&put("k"), &no_options());
    let first = world.call();
    let place = world.place(first);
    go_away(&mut world, &place);
    world.reset(first, ResetCause::GoAway);
    let second = world.call();
    assert_ne!(world.place(second), place);
    world.answer(second, &put_response(1));
    world.take(&op).unwrap();
    world.assert_clean();
}

#[test]
fn calls_lost_in_the_end_are_unknown() {
    let mut world = World::connected(2);
    let write = world.start(&put("k"), &no_options());
    let place = world.place(world.call());
    go_away(&mut world, &place);
    world.cut(&place);
    let error = world.error(&write);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown));
    world.assert_clean();
}

#[test]
fn a_deadline_on_the_last_call_drops_the_connection() {
    let mut world = World::connected(2);
    let write = world.start(&put("k"), &within(ms(500)));
    let place = world.place(world.call());
    let connection = world.connection_to(&place);
    go_away(&mut world, &place);
    world.advance(ms(500));
    let error = world.error(&write);
    assert_eq!(error.endpoint(), Some(&*format!("{place}:1")));
    assert!(world.dropped.contains(&connection));
    world.assert_clean();
}

/// It would refuse a probe, whether it lives or not.
#[test]
fn a_server_that_goes_away_is_not_probed() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(s(8)));
    world.advance(s(1));
    assert_eq!(world.probes().len(), 1);
    go_away(&mut world, "a");
    assert!(world.probes().is_empty(), "a sign of life");
    world.advance(s(6));
    assert_eq!(world.core.stats().probes, 1);
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
    world.assert_clean();
}

#[test]
fn told_twice_is_told_once() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    let old = world.connection_to("a");
    go_away(&mut world, "a");
    world.await_dial("a");
    world.accept("a");
    world.endpoint(old, EndpointInput::GoingAway);
    assert_eq!(
        world.core.stats().ready_endpoints,
        1,
        "the old connection's news says nothing of the new one"
    );
    world.answer(call, &put_response(1));
    world.take(&op).unwrap();
    assert_eq!(world.core.stats().connections_lost, 1);
}

#[test]
fn the_end_of_the_old_connection_is_not_that_of_the_new_one() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let old = world.connection_to("a");
    go_away(&mut world, "a");
    world.await_dial("a");
    world.accept("a");
    world.endpoint(old, EndpointInput::Closed(CauseKind::ClosedByServer.into()));
    assert_eq!(world.error(&op).outcome(), Outcome::Unknown);
    let stats = world.core.stats();
    assert_eq!((stats.ready_endpoints, stats.connections, stats.connections_lost), (1, 1, 1));
    assert!(world.dials.is_empty());
}
