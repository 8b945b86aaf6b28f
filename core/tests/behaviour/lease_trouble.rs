//! Leases in trouble: answers that do not come, streams that end, connections that break.

use etcdium_core::{
    CallKey, Config, EndpointInput, ErrorKind, EtcdError, LeaseLost, LeaseState, OnDrop, ResetCause,
};

use crate::support::*;

/// Answers every renewal that is open, but not on this stream, and not from this lease on.
fn answer_all(
    world: &mut World,
    answered: &mut Vec<(CallKey, usize)>,
    ttl: i64,
    but: Option<CallKey>,
    bad: i64,
) {
    for call in world.renewals() {
        if but == Some(call) {
            continue;
        }
        let asked = world.asked(call);
        let known = answered.iter().find(|(known, _)| *known == call).map_or(0, |(_, count)| *count);
        let good = asked[known..].iter().take_while(|id| **id != bad).count();
        for id in &asked[known..known + good] {
            if world.calls.contains_key(&call) {
                world.renew(call, *id, ttl);
            }
        }
        answered.retain(|(known, _)| *known != call);
        answered.push((call, known + good));
    }
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_on_a_further_stream_then_elsewhere() {
    let mut world = World::connected(2);
    let keeper = world.kept(7, 60);
    let first = world.call();
    let place = world.place(first);
    world.advance(s(20));
    // The connection lives; something else is answered on it.
    let connection = world.connection_to(&place);
    for _ in 0..100 {
        world.endpoint(connection, EndpointInput::Received);
        world.advance(ms(100));
    }
    let streams = world.renewals_of(7);
    assert_eq!(streams.len(), 2, "a sixth of its time has passed");
    assert_eq!((streams[0], world.place(streams[1])), (first, place.clone()), "the same connection first");
    for _ in 0..100 {
        world.endpoint(connection, EndpointInput::Received);
        world.advance(ms(100));
    }
    let streams = world.renewals_of(7);
    assert_ne!(world.place(streams[2]), place, "then elsewhere");
    assert!(matches!(world.state(keeper), Some(LeaseState::AtRisk { .. })));
    // The late answers count, each from its own question.
    world.renew(first, 7, 60);
    assert_eq!(world.state(keeper).map(|state| matches!(state, LeaseState::Alive { .. })), Some(true));
    world.renew(streams[2], 7, 60);
    assert!(world.alive(keeper).unwrap() > s(59) - s(1));
    assert_eq!(world.times_asked(7), 4);
}

/// etcd takes its time to say that it could not pass a renewal on. Others are under way by then, but it is the only word.
#[test]
fn what_a_late_renewal_met_is_told() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    let (first, connection) = (world.call(), world.connection_to("a"));
    let wait = |world: &mut World, seconds| {
        for _ in 0..seconds {
            world.endpoint(connection, EndpointInput::Received);
            world.advance(s(1));
        }
    };
    let cause = |world: &mut World| match world.state(keeper) {
        Some(LeaseState::AtRisk { cause, .. }) => Some(cause),
        _ => None,
    };
    wait(&mut world, 31);
    assert!(world.renewals_of(7).len() > 1);
    assert!(matches!(cause(&mut world).unwrap().kind(), ErrorKind::Timeout { .. }));
    world.end(first, 14, "etcdserver: request timed out");
    assert_eq!(cause(&mut world).unwrap().etcd(), Some(EtcdError::Timeout));
    // Not when one was answered meanwhile.
    let streams = world.renewals_of(7);
    world.renew(streams[0], 7, 60);
    for stream in &streams[1..] {
        world.end(*stream, 14, "etcdserver: request timed out");
    }
    wait(&mut world, 30);
    assert_eq!(cause(&mut world).unwrap().etcd(), None);
}

/// A connection that is half open delivers nothing: the lease moves elsewhere long before its expiry, and before the probe
/// has given up.
#[test]
fn a_silent_connection_is_left_at_once() {
    let mut world = World::connected(2);
    let keeper = world.kept(7, 3);
    let (first, place) = (world.call(), world.place(world.call()));
    world.advance(ms(1_000) + ms(500));
    let again = world.renewals_of(7).pop().unwrap();
    assert_ne!((again, world.place(again)), (first, place));
    world.renew(again, 7, 3);
    assert!(world.alive(keeper).is_some());
}

/// What the server does with one lease keeps the others waiting: they go on elsewhere, all on one further stream.
#[test]
fn a_stuck_stream_does_not_hold_the_others() {
    let mut world = World::connected(1);
    let keepers: Vec<_> = (1..=50).map(|id| world.kept(id, 12)).collect();
    let first = world.call();
    let mut answered = vec![(first, world.asked(first).len())];
    let connection = world.connection_to("a");
    for _ in 0..600 {
        world.endpoint(connection, EndpointInput::Received);
        world.advance(ms(100));
        answer_all(&mut world, &mut answered, 12, Some(first), 0);
        assert!(world.renewals().len() <= 4, "{} streams", world.renewals().len());
    }
    assert!(keepers.iter().all(|keeper| world.alive(*keeper).is_some()));
}

/// LEASE-031, the half without a server: an error for one lease ends the stream of all. That one goes on alone; the others
/// are renewed as if nothing had been.
#[test]
fn one_dead_lease_does_not_take_the_others_down() {
    let mut world = World::connected(1);
    let bad = world.kept(1, 12);
    let good: Vec<_> = (2..=20).map(|id| world.kept(id, 12)).collect();
    let mut answered = vec![(world.call(), world.asked(world.call()).len())];
    let mut refused = 0;
    for _ in 0..1_200 {
        world.advance(ms(50));
        for call in world.renewals_of(1) {
            let known = answered.iter().find(|(known, _)| *known == call).map_or(0, |(_, count)| *count);
            if world.asked(call).get(known) == Some(&1) {
                refused += 1;
                if known == 0 {
                    world.status(call, 7, "etcdserver: permission denied");
                } else {
                    world.end(call, 7, "etcdserver: permission denied");
                }
            }
        }
        answer_all(&mut world, &mut answered, 12, None, 1);
        assert!(good.iter().all(|keeper| world.alive(*keeper).is_some()), "{refused}");
        if let Some(LeaseState::AtRisk { cause, .. }) = world.state(bad) {
            assert_eq!(cause.etcd(), Some(EtcdError::PermissionDenied));
        }
    }
    assert_eq!(world.state(bad), Some(LeaseState::Lost { reason: LeaseLost::Expired }));
    assert!((4..60).contains(&refused), "asked {refused} times alone");
}

/// It may be well again: then it shares a stream with the others.
#[test]
fn a_lease_that_failed_alone_comes_back() {
    let mut world = World::connected(1);
    let (one, other) = (world.kept(1, 12), world.kept(2, 12));
    let call = world.call();
    world.advance(s(4));
    world.end(call, 2, "lease: not a primary lessor");
    world.advance(s(1));
    let alone = world.renewals_of(1);
    assert_eq!(alone.len(), 1);
    assert_eq!(world.asked(alone[0]), [1]);
    let shared = world.renewals_of(2);
    assert_ne!(alone, shared);
    world.renew(alone[0], 1, 12);
    world.renew(shared[0], 2, 12);
    assert_eq!(world.renewals(), shared, "a stream of its own ends with its answer");
    world.advance(s(4));
    assert_eq!(world.renewals_of(1), shared);
    assert!(world.alive(one).is_some() && world.alive(other).is_some());
}

/// No lease is to blame when the connection breaks: all go on together, at once.
#[test]
fn a_broken_connection_moves_all() {
    let mut world = World::connected(2);
    let keepers: Vec<_> = (1..=20).map(|id| world.kept(id, 60)).collect();
    let place = world.place(world.call());
    world.advance(s(20));
    world.cut(&place);
    let call = world.call();
    assert_ne!(world.place(call), place);
    let mut asked = world.asked(call);
    asked.sort_unstable();
    assert_eq!(asked, (1..=20).collect::<Vec<_>>());
    for id in 1..=20 {
        world.renew(call, id, 60);
    }
    assert!(keepers.iter().all(|keeper| world.alive(*keeper).is_some()));
}

/// A stream that broke between renewals is not missed: nobody is asked until something is due.
#[test]
fn reconnecting_is_no_reason_to_renew() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    world.cut("a");
    world.await_dial("a");
    world.accept("a");
    world.advance(s(10));
    assert_eq!((world.renewals(), world.times_asked(7)), (vec![], 1));
    world.advance(s(10));
    assert_eq!(world.times_asked(7), 2);
    assert!(world.alive(keeper).is_some());
}

/// LEASE-007: nothing to connect to, then there is.
#[test]
fn what_waited_for_a_connection_is_renewed_the_most_urgent_first() {
    let mut world = World::connected(1);
    for (id, ttl) in [(1, 90), (2, 60), (3, 120)] {
        world.kept(id, ttl);
    }
    world.cut("a");
    world.advance(s(31));
    for _ in 0..3 {
        if !world.dials.is_empty() {
            world.refuse("a");
        }
        world.await_dial("a");
    }
    world.accept("a");
    world.advance(ms(1));
    let call = world.call();
    assert_eq!(world.asked(call)[..2], [2, 1], "{:?}", world.now - epoch());
}

/// Streams that are refused, one after the other: less and less often, and never less than the expiry demands.
#[test]
fn refused_streams_are_opened_with_pauses() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 30);
    let call = world.call();
    world.advance(s(10));
    world.end(call, 14, "etcdserver: no leader");
    let mut opened = 0;
    let start = world.now;
    while world.now < start + s(15) {
        world.advance(ms(10));
        for call in world.renewals() {
            opened += 1;
            world.status(call, 14, "etcdserver: no leader");
        }
    }
    assert!((10..80).contains(&opened), "{opened} streams in 15 s");
    assert!(matches!(world.state(keeper), Some(LeaseState::AtRisk { .. })));
    world.advance(s(2));
    let call = world.renewals().pop().unwrap();
    world.renew(call, 7, 30);
    assert!(world.alive(keeper).is_some());
}

#[test]
fn a_server_that_goes_away_is_left() {
    let mut world = World::connected(2);
    let keeper = world.kept(7, 60);
    let place = world.place(world.call());
    let connection = world.connection_to(&place);
    world.endpoint(connection, EndpointInput::GoingAway);
    assert!(world.renewals().is_empty(), "an idle stream does not hold the connection");
    assert!(world.dropped.contains(&connection));
    world.advance(s(20));
    assert_ne!(world.place(world.call()), place);
    assert!(world.alive(keeper).is_some());
}

#[test]
fn an_endpoint_that_is_removed_is_left() {
    let mut world = World::connected(2);
    let keeper = world.kept(7, 60);
    let place = world.place(world.call());
    world.advance(s(20));
    let stays = if place == "a" { "b:1" } else { "a:1" };
    world.core.set_endpoints(world.now, [address(stays)]);
    world.drain();
    // What is on its way is waited for.
    let call = world.call();
    world.renew(call, 7, 60);
    assert!(world.renewals().is_empty());
    world.advance(s(20));
    assert_ne!(world.place(world.call()), place);
    assert!(world.alive(keeper).is_some());
}

#[test]
fn a_lease_that_is_released_takes_its_stream_along() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    world.advance(s(20));
    world.release(keeper, OnDrop::Expire);
    assert!(world.calls.is_empty());
    let once = world.core.keep_alive_once(world.now, lease_id(8), &without_limit());
    world.drain();
    assert_eq!(world.renewals().len(), 1);
    world.release(once, OnDrop::Expire);
    assert!(world.calls.is_empty());
    world.assert_clean();
}

#[test]
fn streams_end_in_any_way_and_the_lease_goes_on() {
    let ways: [fn(&mut World, CallKey); 7] = [
        |world, call| world.end(call, 0, ""),
        |world, call| world.end(call, 2, "something unheard of"),
        |world, call| world.reset(call, ResetCause::Stream(2)),
        |world, call| world.reset(call, ResetCause::GoAway),
        |world, call| world.reset(call, ResetCause::NotSent),
        |world, call| world.data(call, bytes::Bytes::from_static(&[9, 9, 9, 9, 9, 9])),
        |world, call| world.data(call, bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 0xff, 0xff])),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut world = World::connected(1);
        let keeper = world.kept(7, 12);
        let call = world.call();
        world.advance(s(4));
        way(&mut world, call);
        world.advance(s(1));
        let call = world.renewals().pop().unwrap_or_else(|| panic!("way {number}"));
        world.renew(call, 7, 12);
        assert!(world.alive(keeper).is_some(), "way {number}");
    }
}

#[test]
fn the_cause_of_the_risk_is_told() {
    let mut world = World::connected_with(Config::new(addresses(1)).silence(s(100), s(100)));
    let keeper = world.kept(7, 12);
    world.advance(s(6));
    let Some(LeaseState::AtRisk { cause, .. }) = world.state(keeper) else { panic!() };
    assert_eq!(*cause.kind(), ErrorKind::Timeout { after: s(6) });
    world.cut("a");
    let Some(LeaseState::AtRisk { cause, .. }) = world.state(keeper) else { panic!() };
    assert_eq!(*cause.kind(), ErrorKind::Unavailable);
}
