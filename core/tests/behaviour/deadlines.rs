//! The time an operation may take, wherever it stands when that is over.

use std::error::Error as _;
use std::time::Duration;

use etcdium_core::{CauseKind, Config, EndpointInput, Error, ErrorKind, Outcome, ResetCause};

use crate::support::*;

#[test]
fn waiting_for_a_connection() {
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.start(&put("k"), &within(s(1)));
    world.advance(s(1) - ms(1));
    assert!(!world.is_done(&op));
    world.advance(ms(1));
    let error = world.error(&op);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after: s(1) }, Outcome::NotApplied));
    assert!(error.endpoint().is_none() && error.source().is_none());
    world.assert_clean();
}

#[test]
fn under_way() {
    for (write, outcome) in [(true, Outcome::Unknown), (false, Outcome::NotApplied)] {
        let mut world = World::connected(2);
        let end = |world: &mut World| {
            let call = world.call();
            let place = world.place(call);
            world.advance(ms(900));
            assert!(world.reset.contains(&call));
            place
        };
        let (error, place) = if write {
            let op = world.start(&put("k"), &within(ms(900)));
            let place = end(&mut world);
            (world.error(&op), place)
        } else {
            let op = world.start(&get("k"), &within(ms(900)));
            let place = end(&mut world);
            (world.error(&op), place)
        };
        assert_eq!(*error.kind(), ErrorKind::Timeout { after: ms(900) });
        assert_eq!(error.outcome(), outcome);
        assert_eq!(error.endpoint(), Some(&*format!("{place}:1")));
        let [cause] = error.causes() else { panic!("{error}") };
        assert_eq!((host(&cause.endpoint), cause.cause.kind()), (place, &CauseKind::NoAnswer));
        world.assert_clean();
    }
}

#[test]
fn in_a_pause_between_attempts() {
    let config =
        Config::new(addresses(1)).retry_backoff(etcdium_core::BackoffConfig { base: s(60), cap: s(60) });
    let mut world = World::connected_with(config);
    let op = world.start(&put("k"), &within(s(1)));
    world.status(world.call(), 14, "etcdserver: no leader");
    world.advance(s(1));
    let error = world.error(&op);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after: s(1) }, Outcome::NotApplied));
    let source =
        error.source().and_then(|source| source.downcast_ref::<Error>()).expect("the last attempt's");
    assert_eq!(source.etcd(), Some(etcdium_core::EtcdError::NoLeader));
    assert_eq!(source.outcome(), Outcome::NotApplied);
    world.assert_clean();
    world.advance(s(120));
    assert_eq!(world.opened.len(), 1);
}

#[test]
fn in_a_second_attempt() {
    let mut world = World::connected(2);
    let op = world.start(&put("k"), &within(ms(900)));
    world.advance(ms(300));
    world.reset(world.call(), ResetCause::Refused);
    assert_eq!(world.calls[&world.call()].timeout(), Some(ms(600)));
    world.advance(ms(600));
    let error = world.error(&op);
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after: ms(900) }, Outcome::Unknown));
    assert!(error.source().is_some());
    world.assert_clean();
}

#[test]
fn the_server_is_told_the_time_that_is_left() {
    let mut world = World::new(Config::new(addresses(1)));
    let _op = world.start(&put("k"), &within(s(3)));
    world.advance(ms(1250));
    world.accept("a");
    let open = &world.calls[&world.call()];
    assert_eq!(open.timeout(), Some(ms(1750)));
    let headers = open.headers();
    assert_eq!(headers["grpc-timeout"], "1750m");
}

#[test]
fn without_a_limit_nothing_is_told_and_nothing_ends_it() {
    let mut world = World::new(Config::new(addresses(1)).timeout(None));
    let op = world.start(&put("k"), &no_options());
    world.await_dial("a");
    world.advance(ms(100));
    world.accept("a");
    let open = &world.calls[&world.call()];
    assert_eq!(open.timeout(), None);
    let headers = open.headers();
    assert!(!headers.contains_key("grpc-timeout"));
    for _ in 0..3600 {
        world.advance(s(1));
        world.endpoint(world.connection_to("a"), EndpointInput::Received);
    }
    assert!(!world.is_done(&op));
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn the_default_is_ten_seconds() {
    let mut world = World::new(Config::new(addresses(1)));
    let op = world.start(&put("k"), &no_options());
    world.advance(s(10) - ms(1));
    assert!(!world.is_done(&op));
    world.advance(ms(1));
    assert_eq!(*world.error(&op).kind(), ErrorKind::Timeout { after: s(10) });
}

#[test]
fn no_time_at_all_ends_at_once() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(Duration::ZERO));
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::Timeout { after: Duration::ZERO });
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(world.opened.is_empty());
    world.assert_clean();
}

#[test]
fn an_answer_in_the_turn_of_the_deadline_counts() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(ms(500)));
    world.now += ms(600);
    world.answer(world.call(), &put_response(1));
    world.core.handle_timeout(world.now);
    world.drain();
    assert_eq!(world.take(&op).unwrap(), put_response(1));
}

#[test]
fn nothing_is_sent_after_its_deadline() {
    let mut world = World::new(Config::new(addresses(1)));
    let late = world.start(&put("late"), &within(ms(500)));
    let timely = world.start(&put("timely"), &within(s(5)));
    // The driver wakes up late and sees the connection before it looks at the time.
    world.now += ms(600);
    world.accept("a");
    assert_eq!(world.calls[&world.call()].message, framed(&put("timely")));
    world.advance(Duration::ZERO);
    let error = world.error(&late);
    assert_eq!(
        (error.kind(), error.outcome()),
        (&ErrorKind::Timeout { after: ms(500) }, Outcome::NotApplied)
    );
    world.answer(world.call(), &put_response(1));
    world.take(&timely).unwrap();
    world.assert_clean();
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut world = World::connected(1);
    world.advance(s(30));
    let latest = world.now;
    world.now -= s(20);
    let op = world.start(&put("k"), &within(ms(500)));
    assert_eq!(world.core.poll_timeout(), Some(latest + ms(500)));
    assert_eq!(world.calls[&world.call()].timeout(), Some(ms(500)));
    world.advance(s(20));
    assert!(!world.is_done(&op));
    world.advance(ms(500));
    world.error(&op);
}

#[test]
fn a_deadline_the_server_tells_first_is_a_timeout_too() {
    let mut world = World::connected(1);
    // etcd 3.4 tells it with the code Unknown.
    for code in [4, 2] {
        let op = world.start(&put("k"), &no_options());
        world.status(world.call(), code, "context deadline exceeded");
        let error = world.error(&op);
        assert!(error.is_timeout() && error.is_retryable());
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    // A read has the rest of its own time.
    let op = world.start(&get("k"), &within(s(1)));
    world.status(world.call(), 4, "context deadline exceeded");
    assert!(!world.is_done(&op));
    world.advance(s(1));
    assert!(matches!(world.error(&op).kind(), ErrorKind::Timeout { .. }));
}

/// A driver that was slow to ask what to do: then nothing is done.
#[test]
fn a_call_the_driver_was_not_told_of_was_not_sent() {
    let mut world = World::connected(1);
    let told = world.start(&put("told"), &within(ms(5)));
    let untold = world.core.start(world.now, &put("untold"), &within(ms(5)));
    world.now += ms(5);
    world.core.handle_timeout(world.now);
    let after = world.core.start(world.now, &put("after"), &no_options());
    world.drain();
    assert_eq!(world.error(&told).outcome(), Outcome::Unknown);
    let error = world.error(&untold);
    assert!(error.is_timeout() && error.outcome() == Outcome::NotApplied, "{error:?}");
    assert_eq!(world.op_calls().len(), 1, "that of the last put");
    let closed = world.core.start(world.now, &put("closed"), &no_options());
    world.core.close(world.now);
    world.drain();
    assert_eq!(world.error(&after).outcome(), Outcome::Unknown);
    assert_eq!(world.error(&closed).outcome(), Outcome::NotApplied);
    world.assert_clean();
}

#[test]
fn of_many_deadlines_each_comes_in_its_own_time() {
    let mut world = World::connected_with(Config::new(addresses(1)).silence(s(1000), s(1000)));
    let ops: Vec<_> = (0..500_u64)
        .map(|n| {
            (
                ms(1 + n * 7919 % 4001),
                world.core.start(world.now, &get("k"), &within(ms(1 + n * 7919 % 4001))),
            )
        })
        .collect();
    for step in 0..=41 {
        let elapsed = ms(step * 100);
        for (timeout, op) in &ops {
            assert_eq!(world.is_done(op), *timeout <= elapsed, "{timeout:?} at {elapsed:?}");
        }
        world.advance(ms(100));
    }
    for (_, op) in &ops {
        world.error(op);
    }
    world.assert_clean();
    assert_eq!(world.reset.len(), 500);
}
