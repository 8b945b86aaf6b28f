//! Calls that lose their connection, their stream or their server.

use etcdium_core::{Cause, CauseKind, Config, EndpointInput, ErrorKind, Outcome, ResetCause};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::{RequestOp, TxnRequest, TxnResponse};

use crate::support::*;

#[test]
fn reads_move_on_when_their_connection_breaks() {
    let mut world = World::connected(2);
    let reads: Vec<_> = (0..10).map(|n| world.start(&get(&n.to_string()), &no_options())).collect();
    world.cut("a");
    let calls = world.op_calls();
    assert_eq!(calls.len(), 10);
    for call in calls {
        assert_eq!(world.place(call), "b");
        world.answer(call, &range_response(1));
    }
    for read in &reads {
        world.take(read).unwrap();
    }
    assert_eq!(world.core.stats().retries, 5);
    world.assert_clean();
}

#[test]
fn writes_under_way_when_their_connection_breaks_are_unknown() {
    let mut world = World::connected(2);
    let writes: Vec<_> = (0..4).map(|n| world.start(&put(&n.to_string()), &no_options())).collect();
    let calls = world.op_calls();
    world.cut("a");
    for (write, call) in writes.iter().zip(calls) {
        if world.place(call) == "b" {
            world.answer(call, &put_response(1));
            world.take(write).unwrap();
            continue;
        }
        let error = world.error(write);
        assert_eq!(*error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.endpoint(), Some("a:1"));
        assert!(error.to_string().contains("the server closed the connection"), "{error}");
    }
    let stats = world.core.stats();
    assert_eq!((stats.ops_failed, stats.retries), (2, 0));
    assert_eq!(world.opened.len(), 4, "none was sent twice");
    world.assert_clean();
}

#[test]
fn writes_the_connection_gave_back_move_on() {
    for cause in [ResetCause::NotSent, ResetCause::Refused, ResetCause::GoAway] {
        let mut world = World::connected(2);
        let write = world.start(&put("k"), &no_options());
        let first = world.call();
        world.reset(first, cause);
        let second = world.call();
        assert_ne!(world.place(first), world.place(second));
        assert_eq!(world.opened[0].message, world.opened[1].message);
        world.answer(second, &put_response(1));
        world.take(&write).unwrap();
        world.assert_clean();
    }
}

#[test]
fn a_refusal_after_an_answer_proves_nothing() {
    for stage in [Stage::Head, Stage::Part, Stage::Whole] {
        let mut world = World::connected(2);
        let write = world.start(&put("k"), &no_options());
        let call = world.call();
        world.bring_to(call, stage);
        world.reset(call, ResetCause::Refused);
        assert_eq!(world.error(&write).outcome(), Outcome::Unknown, "{stage:?}");
        assert_eq!(world.opened.len(), 1);
        world.assert_clean();
    }
}

/// The driver has many inputs before it drains: what it was not yet told to send was not sent.
#[test]
fn a_write_the_driver_was_not_told_of_is_not_applied() {
    let mut world = World::connected(2);
    let lost = world.connection_to("a");
    let ops: Vec<_> =
        (0..4).map(|n| world.core.start(world.now, &put(&n.to_string()), &no_options())).collect();
    world.core.cancel(world.now, ops[0].key());
    world.core.cancel(world.now, ops[1].key());
    world.connections.remove(&lost);
    world.core.handle_endpoint(
        world.now,
        lost,
        EndpointInput::Closed(Cause::from(CauseKind::ClosedByServer)),
    );
    world.drain();
    assert_eq!(world.op_calls().len(), 2);
    for call in world.op_calls() {
        assert_eq!(world.place(call), "b");
        world.answer(call, &put_response(1));
    }
    for op in &ops[2..] {
        world.take(op).unwrap();
    }
    world.assert_clean();
}

#[test]
fn with_no_endpoint_left_reads_wait_for_one() {
    let mut world = World::connected(2);
    let read = world.start(&get("k"), &no_options());
    let write = world.start(&put("k"), &no_options());
    world.cut("a");
    world.cut("b");
    assert_eq!(world.error(&write).outcome(), Outcome::Unknown);
    assert!(!world.is_done(&read));
    world.advance(ms(50));
    world.accept("b");
    world.advance(ms(25));
    world.answer(world.call(), &range_response(1));
    world.take(&read).unwrap();
    world.assert_clean();
}

#[test]
fn a_transaction_that_only_reads_is_a_read() {
    let range = RequestOp { request: Some(Request::RequestRange(get("k"))) };
    let write = RequestOp { request: Some(Request::RequestPut(put("k"))) };
    for (ops, repeats) in [(vec![range.clone()], true), (vec![range, write], false)] {
        let mut world = World::connected(2);
        let txn = TxnRequest { success: ops, ..Default::default() };
        let op = world.start(&txn, &no_options());
        let call = world.call();
        world.reset(call, ResetCause::Stream(2));
        if repeats {
            world.answer(world.call(), &TxnResponse::default());
            world.take(&op).unwrap();
        } else {
            assert_eq!(world.error(&op).outcome(), Outcome::Unknown);
        }
        world.assert_clean();
    }
}

#[test]
fn a_member_without_a_leader_is_left_for_another() {
    let mut world = World::connected(3);
    let write = world.start(&put("k"), &no_options());
    let first = world.call();
    world.status(first, 14, "etcdserver: no leader");
    let second = world.call();
    assert_ne!(world.place(first), world.place(second));
    world.answer(second, &put_response(1));
    world.take(&write).unwrap();
}

#[test]
fn a_server_that_is_busy_is_asked_again_after_a_pause() {
    let mut world = World::connected(1);
    let write = world.start(&put("k"), &no_options());
    for n in 0..5 {
        world.status(world.call(), 2, "etcdserver: too many requests");
        assert!(world.op_calls().is_empty(), "attempt {n}: not at once");
        world.advance(s(1));
    }
    world.answer(world.call(), &put_response(1));
    world.take(&write).unwrap();
    assert_eq!(world.core.stats().retries, 5);
}

#[test]
fn the_pause_between_attempts_grows_to_its_cap() {
    let ceilings = [25, 50, 100, 200, 400, 800, 1000, 1000];
    let mut longest = [ms(0); 8];
    for seed in 0..100 {
        let mut world = World::with_seed(Config::new(addresses(1)), seed);
        let _op = world.start(&put("k"), &without_limit());
        world.accept("a");
        for longest in &mut longest {
            world.status(world.call(), 2, "etcdserver: too many requests");
            *longest = (*longest).max(world.await_call());
        }
    }
    for (n, (longest, ceiling)) in longest.into_iter().zip(ceilings).enumerate() {
        assert!(longest <= ms(ceiling) && longest > ms(ceiling).mul_f64(0.85), "pause {n}: {longest:?}");
    }
}
