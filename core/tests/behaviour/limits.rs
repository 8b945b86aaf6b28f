//! The limit on calls in flight, and the order of those that wait for it.

use etcdium_core::{Config, ErrorKind, Outcome, ResetCause};

use crate::support::*;

fn limited(endpoints: usize, limit: usize) -> World {
    World::connected_with(Config::new(addresses(endpoints)).max_in_flight(limit))
}

/// The keys the open calls put, oldest call first.
fn keys(world: &World) -> Vec<String> {
    let all = 0..100;
    let name = |message: &bytes::Bytes| all.clone().find(|n| *message == framed(&put(&n.to_string())));
    world.op_calls().iter().map(|call| name(&world.calls[call].message).unwrap().to_string()).collect()
}

#[test]
fn no_more_calls_are_open_than_allowed_and_the_others_follow_in_order() {
    let mut world = limited(2, 3);
    assert_eq!(world.core.max_in_flight(), 3);
    let ops: Vec<_> = (0..10).map(|n| world.start(&put(&n.to_string()), &no_options())).collect();
    assert_eq!(keys(&world), ["0", "1", "2"]);
    assert_eq!((world.core.stats().in_flight, world.core.stats().waiting), (3, 7));
    // Each end of a call, whichever, lets the oldest of those that wait go.
    let second = world.op_calls()[1];
    world.answer(second, &put_response(1));
    assert_eq!(keys(&world), ["0", "2", "3"]);
    world.status(world.op_calls()[0], 3, "etcdserver: key is not provided");
    assert_eq!(keys(&world), ["2", "3", "4"]);
    world.cancel(&ops[3]);
    assert_eq!(keys(&world), ["2", "4", "5"]);
    world.cancel(&ops[6]);
    while !world.op_calls().is_empty() {
        assert!(world.op_calls().len() <= 3);
        world.answer(world.op_calls()[0], &put_response(1));
    }
    for (n, op) in ops.iter().enumerate() {
        match n {
            3 | 6 => assert!(!world.is_done(op)),
            0 => assert!(world.take(op).is_err()),
            _ => assert!(world.take(op).is_ok()),
        }
    }
    let order: Vec<_> = world.opened.iter().map(|open| open.message.clone()).collect();
    let expected = [0, 1, 2, 3, 4, 5, 7, 8, 9].map(|n: u32| framed(&put(&n.to_string())));
    assert_eq!(order, expected);
    world.assert_clean();
}

#[test]
fn a_later_start_does_not_overtake() {
    let mut world = limited(1, 1);
    let first = world.start(&put("0"), &no_options());
    let _second = world.start(&put("1"), &no_options());
    // The slot is given to the one that waits, not to one that starts later in the same turn.
    world.core.cancel(world.now, first.key());
    let _third = world.core.start(world.now, &put("2"), &no_options());
    world.drain();
    assert_eq!(keys(&world), ["1"]);
}

#[test]
fn an_operation_that_backs_off_holds_no_slot_and_keeps_its_place() {
    let mut world = limited(1, 1);
    let first = world.start(&put("0"), &no_options());
    let second = world.start(&put("1"), &no_options());
    let third = world.start(&put("2"), &no_options());
    world.status(world.call(), 2, "etcdserver: too many requests");
    assert_eq!(keys(&world), ["1"], "the next goes on meanwhile");
    world.advance(ms(25));
    assert_eq!(keys(&world), ["1"]);
    world.answer(world.call(), &put_response(1));
    assert_eq!(keys(&world), ["0"], "the oldest goes first when its pause is over");
    world.answer(world.call(), &put_response(2));
    world.answer(world.call(), &put_response(3));
    for op in [&first, &second, &third] {
        world.take(op).unwrap();
    }
    world.assert_clean();
}

#[test]
fn an_operation_that_waits_for_its_turn_times_out_unapplied() {
    let mut world = limited(1, 1);
    let _busy = world.start(&put("0"), &no_options());
    let waits = world.start(&put("1"), &within(ms(100)));
    world.advance(ms(100));
    let error = world.error(&waits);
    assert_eq!(*error.kind(), ErrorKind::Timeout { after: ms(100) });
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(world.opened.len(), 1);
}

#[test]
fn a_call_that_times_out_gives_its_slot_back() {
    let mut world = limited(1, 1);
    let late = world.start(&put("0"), &within(ms(100)));
    let _next = world.start(&put("1"), &no_options());
    world.advance(ms(100));
    assert_eq!(world.error(&late).outcome(), Outcome::Unknown);
    assert_eq!(keys(&world), ["1"]);
}

#[test]
fn probes_and_connects_need_no_slot() {
    let mut world = limited(1, 1);
    let busy = world.start(&put("0"), &no_options());
    let connect = world.connect(&no_options());
    world.take(&connect).unwrap();
    world.advance(s(1));
    assert_eq!(world.probes().len(), 1);
    assert_eq!(world.core.stats().in_flight, 2);
    world.answer(world.call(), &put_response(1));
    world.take(&busy).unwrap();
    world.assert_clean();
}

#[test]
fn calls_lost_with_their_connection_give_their_slots_back() {
    let mut world = limited(2, 2);
    let ops: Vec<_> = (0..6).map(|n| world.start(&get(&n.to_string()), &no_options())).collect();
    world.cut("a");
    assert_eq!(world.op_calls().len(), 2);
    for _ in 0..6 {
        world.answer(world.op_calls()[0], &range_response(1));
    }
    for op in &ops {
        world.take(op).unwrap();
    }
    world.assert_clean();
}

#[test]
fn a_burst_of_operations_on_a_dead_cluster_is_served_when_it_lives() {
    let mut world = World::new(Config::new(addresses(3)).max_in_flight(16));
    let ops: Vec<_> = (0..2_000).map(|_| world.core.start(world.now, &get("k"), &no_options())).collect();
    world.drain();
    for name in ["a", "b", "c"] {
        world.refuse(name);
    }
    world.await_dial("b");
    world.accept("b");
    let mut served = 0;
    while let Some(call) = world.op_calls().first().copied() {
        match served % 7 {
            3 => world.reset(call, ResetCause::Refused),
            _ => world.answer(call, &range_response(1)),
        }
        served += 1;
        if world.op_calls().is_empty() && world.core.stats().ops_succeeded < 2_000 {
            world.await_call();
        }
    }
    for op in &ops {
        world.take(op).unwrap();
    }
    world.assert_clean();
}
