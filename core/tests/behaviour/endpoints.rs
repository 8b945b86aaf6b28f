//! Replacing the endpoints of a running client.

use etcdium_core::{
    Config, EndpointInput, EndpointStatus, ErrorKind, Event, InvalidRequest, Outcome, ResetCause,
};

use crate::support::*;

fn set(world: &mut World, names: &[&str]) {
    let addresses: Vec<_> = names.iter().map(|name| address(&format!("{name}:1"))).collect();
    world.core.set_endpoints(world.now, addresses);
    world.drain();
}

fn names(world: &World) -> Vec<String> {
    world.core.endpoints().map(|(_, address, _)| host(address)).collect()
}

#[test]
fn those_that_stay_keep_their_key_and_connection() {
    let mut world = World::connected(3);
    let (a, c) = (world.key_of("a"), world.key_of("c"));
    let connection = world.connection_to("c");
    let b = world.key_of("b");
    set(&mut world, &["c", "x", "a"]);
    assert_eq!(names(&world), ["c", "x", "a"]);
    assert_eq!((world.key_of("a"), world.key_of("c")), (a, c));
    assert_eq!(world.connection_to("c"), connection);
    assert_eq!(world.dials.len(), 1, "x is new");
    assert_eq!(world.dropped.len(), 1, "b is gone");
    assert!(world.core.endpoint_key(&address("b:1")).is_none());
    let removed = Event::Endpoint { endpoint: b, status: EndpointStatus::Removed };
    assert_eq!(world.events.iter().filter(|event| **event == removed).count(), 1);
    // One that comes back is a new one.
    set(&mut world, &["b"]);
    assert_ne!(world.key_of("b"), b);
}

#[test]
fn before_the_first_use_nothing_is_connected() {
    let mut world = World::new(Config::new(addresses(1)));
    set(&mut world, &["x", "y"]);
    world.advance(s(1));
    assert!(
        world.dialled.is_empty()
            && world
                .events
                .iter()
                .all(|event| matches!(event, Event::Endpoint { status: EndpointStatus::Removed, .. }))
    );
    let _op = world.start(&put("k"), &no_options());
    assert_eq!(world.dials.len(), 2);
}

#[test]
fn the_same_endpoint_twice_is_one() {
    let mut world = World::new(Config::new([address("a:1"), address("http://A:1"), address("a:1")]));
    assert_eq!(world.core.endpoints().count(), 2, "http:// never uses TLS: it is another endpoint");
    set(&mut world, &["a", "b", "a", "b"]);
    assert_eq!(names(&world), ["a", "b"]);
    let _op = world.start(&put("k"), &no_options());
    assert_eq!(world.dials.len(), 2);
}

#[test]
fn calls_on_one_that_goes_are_finished_there() {
    let mut world = World::connected(1);
    let old = world.start(&put("old"), &no_options());
    let call = world.call();
    let connection = world.connection_to("a");
    set(&mut world, &["b"]);
    assert!(!world.dropped.contains(&connection));
    let new = world.start(&put("new"), &no_options());
    assert_eq!(world.op_calls(), [call], "nothing new goes to it");
    world.answer(call, &put_response(1));
    world.take(&old).unwrap();
    assert!(world.dropped.contains(&connection));
    world.accept("b");
    world.answer(world.call(), &put_response(2));
    world.take(&new).unwrap();
    world.assert_clean();
}

#[test]
fn a_dead_one_that_goes_still_loses_its_calls() {
    let mut world = World::connected(1);
    let read = world.start(&get("k"), &no_options());
    let write = world.start(&put("k"), &no_options());
    set(&mut world, &["b"]);
    world.accept("b");
    world.advance(s(3));
    assert_eq!(world.error(&write).outcome(), Outcome::Unknown);
    assert_eq!(world.place(world.call()), "b");
    world.answer(world.call(), &range_response(1));
    world.take(&read).unwrap();
    world.assert_clean();
}

#[test]
fn a_probe_does_not_keep_one_that_goes() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(ms(1500)));
    world.advance(s(1));
    let connection = world.connection_to("a");
    set(&mut world, &["b"]);
    assert!(!world.dropped.contains(&connection));
    world.cancel(&op);
    assert!(world.dropped.contains(&connection));
    world.assert_clean();
}

#[test]
fn an_attempt_at_one_that_goes_is_given_up() {
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.start(&put("k"), &no_options());
    let attempt = world.dial_to("a");
    set(&mut world, &["b"]);
    assert!(world.dropped.contains(&attempt));
    world.endpoint(attempt, EndpointInput::Connected);
    assert!(world.op_calls().is_empty());
    world.accept("b");
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn one_in_back_off_that_goes_is_not_tried_again() {
    let mut world = World::connected(2);
    world.cut("a");
    set(&mut world, &["b"]);
    world.advance(s(10));
    assert!(world.dials.is_empty());
    assert_eq!(world.core.poll_timeout(), None);
}

#[test]
fn operations_pinned_to_one_that_goes_end() {
    let config = Config::new(addresses(2)).max_in_flight(2).timeout(None);
    let mut world = World::connected_with(config);
    let pinned = no_options().endpoint(world.key_of("a"));
    let pauses = world.start(&get("pauses"), &pinned);
    let refused = world.start(&get("refused"), &pinned);
    let answered = world.start(&get("answered"), &pinned);
    let waits = world.start(&get("waits"), &pinned);
    let free = world.start(&get("free"), &no_options());
    world.status(world.op_calls()[0], 2, "etcdserver: too many requests");
    let calls = world.op_calls();
    assert_eq!(calls.len(), 2, "of the second and the third");
    set(&mut world, &["b"]);
    for stranded in [&pauses, &waits] {
        let error = world.error(stranded);
        assert_eq!(*error.kind(), ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint));
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(error.method().map(|method| method.name()), Some("Range"));
    }
    // What is open ends there, one way or the other, but is not tried again.
    world.answer(calls[1], &range_response(1));
    world.take(&answered).unwrap();
    world.reset(calls[0], ResetCause::Refused);
    let error = world.error(&refused);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::NotApplied));
    world.answer(world.call(), &range_response(1));
    world.take(&free).unwrap();
    world.assert_clean();
}

#[test]
fn a_connect_pinned_to_one_that_goes_ends() {
    let mut world = World::new(Config::new(addresses(2)));
    let connect = world.connect(&no_options().endpoint(world.key_of("a")));
    set(&mut world, &["b"]);
    assert_eq!(*world.error(&connect).kind(), ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint));
    let connect = world.connect(&no_options());
    set(&mut world, &["c"]);
    assert!(!world.is_done(&connect));
    world.accept("c");
    world.take(&connect).unwrap();
}

#[test]
fn no_endpoints_at_all_ends_what_waits() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_in_flight(1).timeout(None));
    let open = world.start(&get("open"), &no_options());
    let waits = world.start(&get("waits"), &no_options());
    set(&mut world, &[]);
    assert_eq!(*world.error(&waits).kind(), ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints));
    let refused = world.start(&get("refused"), &no_options());
    assert_eq!(*world.error(&refused).kind(), ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints));
    let connect = world.connect(&no_options());
    assert_eq!(*world.error(&connect).kind(), ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints));
    // There is nowhere to try it again.
    world.reset(world.call(), ResetCause::Stream(2));
    assert_eq!(*world.error(&open).kind(), ErrorKind::Unavailable);
    world.assert_clean();
    set(&mut world, &["b"]);
    let op = world.start(&put("k"), &no_options());
    world.accept("b");
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn a_waiting_operation_goes_to_a_new_endpoint() {
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.start(&put("k"), &no_options());
    world.refuse("a");
    set(&mut world, &["a", "b"]);
    world.accept("b");
    assert_eq!(world.place(world.call()), "b");
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn a_connect_fails_when_the_last_endpoint_not_tried_goes() {
    let mut world = World::new(Config::new(addresses(2)));
    let connect = world.connect(&no_options());
    world.refuse("a");
    assert!(!world.is_done(&connect));
    set(&mut world, &["a"]);
    assert_eq!(*world.error(&connect).kind(), ErrorKind::Unavailable);
}
