//! Which endpoint a call goes to.

use std::collections::BTreeMap;

use etcdium_core::{Config, EndpointInput, ErrorKind, InvalidRequest, ResetCause};

use crate::support::*;

/// Starts `n` puts and counts where they go; all are answered at once.
fn spread(world: &mut World, n: usize) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for _ in 0..n {
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        *places.entry(world.place(call)).or_default() += 1;
        world.answer(call, &put_response(1));
        world.take(&op).unwrap();
    }
    places
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn calls_are_spread_evenly_over_ready_endpoints() {
    let mut world = World::connected(3);
    assert_eq!(spread(&mut world, 300), counts([("a", 100), ("b", 100), ("c", 100)]));
    world.cut("b");
    assert_eq!(spread(&mut world, 100), counts([("a", 50), ("c", 50)]));
}

#[test]
fn the_first_pick_depends_on_the_seed() {
    let first = |seed| {
        let mut world = World::with_seed(Config::new(addresses(3)), seed);
        let connect = world.connect(&no_options());
        world.accept_all();
        world.take(&connect).unwrap();
        let _op = world.start(&put("k"), &no_options());
        world.place(world.call())
    };
    let firsts: std::collections::BTreeSet<_> = (0..30).map(first).collect();
    assert_eq!(firsts.len(), 3, "many clients do not all begin with the same member");
}

#[test]
fn an_endpoint_that_is_down_gets_nothing_while_another_is_up() {
    let mut world = World::connected(3);
    world.cut("a");
    // It is tried again, fails, is being connected: none of that makes it ready.
    for _ in 0..20 {
        assert!(!spread(&mut world, 10).contains_key("a"));
        world.advance(ms(100));
        if world.dials.values().any(|dial| host(&dial.address) == "a") {
            assert!(!spread(&mut world, 10).contains_key("a"));
            world.refuse("a");
        }
    }
    world.advance(s(3));
    world.accept("a");
    assert_eq!(spread(&mut world, 30)["a"], 10);
}

#[test]
fn a_call_that_failed_moves_to_another_endpoint_at_once() {
    let mut world = World::connected(3);
    let _op = world.start(&get("k"), &no_options());
    for round in 0..3 {
        let mut visited = Vec::new();
        for _ in 0..3 {
            let call = world.call();
            visited.push(world.place(call));
            world.reset(call, ResetCause::Refused);
        }
        visited.sort();
        assert_eq!(visited, ["a", "b", "c"], "each is tried once without a pause");
        assert!(world.op_calls().is_empty(), "then it backs off");
        assert!(world.await_call() <= ms(25 << round));
    }
}

#[test]
fn the_endpoint_that_just_failed_is_avoided_even_when_it_is_its_turn() {
    let mut world = World::connected(2);
    let _one = world.start(&get("1"), &no_options());
    let _two = world.start(&get("2"), &no_options());
    let [first, second] = world.op_calls()[..] else { panic!("two calls") };
    world.reset(first, ResetCause::Refused);
    assert_eq!(world.place(*world.op_calls().last().unwrap()), world.place(second));
}

#[test]
fn after_its_back_off_a_call_still_avoids_the_endpoint_that_failed_last() {
    for seed in 0..20 {
        let mut world = World::with_seed(Config::new(addresses(2)), seed);
        let connect = world.connect(&no_options());
        world.accept_all();
        world.take(&connect).unwrap();
        let _op = world.start(&get("k"), &no_options());
        let mut last = String::new();
        for _ in 0..8 {
            while world.op_calls().is_empty() {
                world.advance(ms(25));
            }
            let call = world.call();
            let place = world.place(call);
            assert_ne!(place, last);
            last = place;
            world.reset(call, ResetCause::Refused);
        }
    }
}

#[test]
fn with_one_endpoint_left_it_is_asked_again() {
    let mut world = World::connected(2);
    world.cut("b");
    let op = world.start(&get("k"), &no_options());
    world.reset(world.call(), ResetCause::Refused);
    assert!(world.op_calls().is_empty());
    world.advance(ms(25));
    assert_eq!(world.place(world.call()), "a");
    world.answer(world.call(), &range_response(1));
    world.take(&op).unwrap();
}

#[test]
fn a_pinned_operation_goes_to_its_endpoint_alone() {
    let mut world = World::connected(3);
    let pinned = no_options().endpoint(world.key_of("b"));
    for _ in 0..4 {
        let op = world.start(&get("k"), &pinned);
        assert_eq!(world.place(world.call()), "b");
        // It fails there, and is tried there again.
        world.reset(world.call(), ResetCause::Refused);
        assert!(world.op_calls().is_empty());
        world.advance(ms(25));
        assert_eq!(world.place(world.call()), "b");
        world.answer(world.call(), &range_response(1));
        world.take(&op).unwrap();
    }
    world.cut("b");
    let waits = world.start(&put("k"), &pinned);
    assert!(world.op_calls().is_empty(), "others are up, but it was not asked for those");
    // Others are not held up by it, whether they start after it or waited behind it.
    assert_eq!(spread(&mut world, 10), counts([("a", 5), ("c", 5)]));
    world.advance(ms(50));
    world.accept("b");
    assert_eq!(world.place(world.call()), "b");
    world.answer(world.call(), &put_response(1));
    world.take(&waits).unwrap();
}

#[test]
fn an_operation_behind_one_that_waits_for_its_endpoint_is_not_held_up() {
    let mut world = World::connected_with(Config::new(addresses(2)).max_in_flight(1));
    let to_b = no_options().endpoint(world.key_of("b"));
    world.cut("b");
    let busy = world.start(&put("busy"), &no_options());
    let stuck = world.start(&put("stuck"), &to_b);
    let next = world.start(&put("next"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.take(&busy).unwrap();
    assert_eq!(world.calls[&world.call()].message, framed(&put("next")));
    world.answer(world.call(), &put_response(2));
    world.take(&next).unwrap();
    assert!(!world.is_done(&stuck));
}

#[test]
fn an_endpoint_that_is_not_configured_cannot_be_asked() {
    let mut world = World::connected(1);
    let gone = world.key_of("a");
    world.core.set_endpoints(world.now, [address("z:1")]);
    world.drain();
    let op = world.start(&put("k"), &no_options().endpoint(gone));
    assert_eq!(*world.error(&op).kind(), ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint));
}

#[test]
fn an_endpoint_becomes_ready_once_whatever_is_told() {
    let mut world = World::connected(2);
    let connection = world.connection_to("a");
    world.endpoint(connection, EndpointInput::Connected);
    world.endpoint(connection, EndpointInput::Connected);
    assert_eq!(world.core.stats().ready_endpoints, 2);
    assert_eq!(spread(&mut world, 10), counts([("a", 5), ("b", 5)]));
}
