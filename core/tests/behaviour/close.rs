//! The end of a core.

use etcdium_core::{CauseKind, Config, EndpointInput, ErrorKind, Event, Outcome};

use crate::support::*;

/// Operations in every phase; all of them end, with the right outcome.
#[test]
fn everything_ends_and_everything_is_dropped() {
    let mut world = World::connected_with(Config::new(addresses(3)).max_in_flight(3));
    world.cut("c");
    world.await_dial("c");
    let read = world.start(&get("k"), &no_options());
    let pausing = world.start(&put("pausing"), &no_options());
    let write = world.start(&put("k"), &no_options());
    let waits = world.start(&put("waits"), &no_options());
    let connects = world.connect(&no_options().endpoint(world.key_of("c")));
    let calls = world.op_calls();
    world.status(calls[1], 2, "etcdserver: too many requests");
    world.advance(s(1));
    assert!(!world.probes().is_empty(), "probes are open too");
    let open = world.op_calls();
    world.core.close(world.now);
    assert!(world.core.is_closed() && !world.core.is_drained(), "the driver was not told yet");
    world.drain();
    assert!(world.core.is_drained());
    for (op, outcome) in
        [(&write, Outcome::Unknown), (&waits, Outcome::Unknown), (&pausing, Outcome::NotApplied)]
    {
        let error = world.error(op);
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, outcome), "{error}");
        assert_eq!(error.method().map(|method| method.name()), Some("Put"));
        assert!(!error.is_retryable());
    }
    let error = world.error(&read);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::NotApplied));
    assert_eq!(*world.error(&connects).kind(), ErrorKind::Closed);
    assert!(open.iter().all(|call| world.reset.contains(call)));
    assert!(world.connections.is_empty() && world.dials.is_empty());
    assert_eq!(world.events.last(), Some(&Event::Drained));
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.ready_endpoints), (0, 0));
    assert_eq!(world.core.poll_timeout(), None);
    world.assert_clean();
}

#[test]
fn nothing_goes_on_afterwards() {
    let mut world = World::connected(2);
    let _op = world.start(&put("k"), &no_options());
    let (call, connection) = (world.call(), world.connection_to("a"));
    world.core.close(world.now);
    world.drain();
    let before = (world.opened.len(), world.dialled.len(), world.core.stats());
    world.answer(call, &put_response(1));
    world.endpoint(connection, EndpointInput::Received);
    world.endpoint(connection, EndpointInput::Closed(CauseKind::ShutDown.into()));
    world.core.set_endpoints(world.now, [address("z:1")]);
    world.advance(s(60));
    assert_eq!(before, (world.opened.len(), world.dialled.len(), world.core.stats()));
    assert!(world.core.endpoint_key(&address("z:1")).is_none());
    assert_eq!(world.core.poll_timeout(), None);
}

#[test]
fn operations_started_afterwards_end_at_once() {
    let mut world = World::connected(1);
    world.core.close(world.now);
    let op = world.start(&put("k"), &no_options());
    let error = world.error(&op);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::NotApplied));
    let connect = world.connect(&no_options());
    assert_eq!(*world.error(&connect).kind(), ErrorKind::Closed);
    assert!(world.opened.is_empty());
    assert_eq!(world.core.poll_timeout(), None);
    world.assert_clean();
}

#[test]
fn twice_is_once() {
    let mut world = World::connected(1);
    world.core.close(world.now);
    world.core.close(world.now);
    world.drain();
    world.core.close(world.now);
    world.drain();
    assert_eq!(world.events.iter().filter(|event| **event == Event::Drained).count(), 1);
    assert_eq!(world.dropped.len(), 1);
    assert!(world.core.is_drained());
}

#[test]
fn before_it_was_ever_used() {
    let mut world = World::new(Config::new(addresses(1)));
    assert!(!world.core.is_drained() && !world.core.is_closed());
    world.core.close(world.now);
    world.drain();
    assert!(world.core.is_drained());
    let op = world.start(&put("k"), &no_options());
    assert_eq!(*world.error(&op).kind(), ErrorKind::Closed);
    assert!(world.dialled.is_empty());
}

#[test]
fn results_not_taken_before_can_be_taken_afterwards() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.core.close(world.now);
    world.drain();
    assert_eq!(world.take(&op).unwrap(), put_response(1));
}
