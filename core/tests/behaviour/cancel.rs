//! Operations that are given up: nothing of them stays, in whatever phase they were.

use etcdium_core::{Config, EndpointInput, ResetCause, Stats};

use crate::support::*;

/// Cancels nothing twice, resets what was on the wire, and leaves no trace.
fn assert_gone(world: &mut World, resets: usize) {
    assert_eq!(world.reset.len(), resets);
    world.assert_clean();
    let Stats { ops_started, ops_succeeded, ops_failed, ops_cancelled, .. } = world.core.stats();
    assert_eq!(ops_started, ops_succeeded + ops_failed + ops_cancelled);
    let opened = world.opened.len();
    world.advance(s(30));
    assert_eq!(world.opened.iter().skip(opened).filter(|open| !is_probe(open)).count(), 0);
}

#[test]
fn while_it_waits_for_a_connection() {
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.start(&put("k"), &no_options());
    world.cancel(&op);
    assert_gone(&mut world, 0);
    assert!(!world.is_done(&op));
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.connect(&no_options());
    world.cancel(&op);
    assert_gone(&mut world, 0);
    assert!(!world.is_done(&op));
}

#[test]
fn while_it_waits_for_its_turn() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_in_flight(1));
    let busy = world.start(&put("busy"), &no_options());
    let op = world.start(&put("k"), &no_options());
    world.cancel(&op);
    world.answer(world.call(), &put_response(1));
    world.take(&busy).unwrap();
    assert_gone(&mut world, 0);
}

#[test]
fn while_its_call_is_open_at_any_stage() {
    for stage in Stage::ALL {
        let mut world = World::connected(1);
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        world.bring_to(call, stage);
        world.cancel(&op);
        assert!(world.reset.contains(&call));
        assert_gone(&mut world, 1);
        // What the server still says of it is nobody's.
        world.answer(call, &put_response(1));
        world.reset(call, ResetCause::Refused);
        assert!(!world.is_done(&op) && world.core.take(&op).is_none());
    }
}

#[test]
fn before_the_driver_has_seen_it() {
    let mut world = World::connected(1);
    let op = world.core.start(world.now, &put("k"), &no_options());
    world.core.cancel(world.now, op.key());
    world.drain();
    assert_gone(&mut world, 1);
}

#[test]
fn in_a_pause_between_attempts() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.status(world.call(), 14, "etcdserver: no leader");
    assert!(world.op_calls().is_empty());
    world.cancel(&op);
    assert_gone(&mut world, 0);
}

#[test]
fn after_it_ended_and_before_it_was_taken() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.cancel(&op);
    assert!(world.core.take(&op).is_none());
    assert_eq!(world.core.stats().ops_cancelled, 0, "it had ended");
    assert_gone(&mut world, 0);
}

#[test]
fn twice_and_after_it_was_taken() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.cancel(&op);
    world.cancel(&op);
    let taken = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.take(&taken).unwrap();
    world.cancel(&taken);
    assert_gone(&mut world, 1);
}

#[test]
fn ten_thousand_at_once() {
    let mut world = World::connected(2);
    for _ in 0..3 {
        let ops: Vec<_> =
            (0..10_000).map(|_| world.core.start(world.now, &put("k"), &no_options())).collect();
        for op in ops.into_iter().rev() {
            world.core.cancel(world.now, op.key());
        }
        world.drain();
        world.assert_clean();
    }
    assert_eq!(world.reset.len(), world.opened.len(), "what was sent is taken back");
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
    assert_eq!(world.core.stats().connections, 2);
    for name in ["a", "b"] {
        world.endpoint(world.connection_to(name), EndpointInput::Received);
    }
    world.advance(s(10));
    assert_eq!(world.core.poll_timeout(), None, "no timer stays");
}
