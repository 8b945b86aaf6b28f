//! Leases that are kept alive while all is well: when they are renewed, what is said of them, how they end.

use etcdium_core::{Config, ErrorKind, EtcdError, Event, LeaseLost, LeaseState, OnDrop, TimerReason};

use crate::support::*;

fn lost(reason: LeaseLost) -> Option<LeaseState> {
    Some(LeaseState::Lost { reason })
}

#[test]
fn it_begins_with_the_first_answer() {
    let mut world = World::connected(1);
    let keeper = world.keep(7);
    assert_eq!((world.core.started(keeper), world.state(keeper)), (None, None));
    let open = world.opened.last().unwrap();
    assert_eq!((open.method.name(), open.more, open.requires_leader()), ("LeaseKeepAlive", true, true));
    let call = world.call();
    assert_eq!(world.asked(call), [7]);
    world.advance(s(1));
    world.renew(call, 7, 60);
    assert_eq!(world.events.pop(), Some(Event::KeeperChanged(keeper)));
    let kept = world.core.started(keeper).unwrap().unwrap();
    assert_eq!((kept.id, kept.ttl, kept.header), (lease_id(7), s(60), header(CLUSTER, 1)));
    assert_eq!(world.alive(keeper), Some(s(59)), "counted from the time the renewal was sent");
}

/// LEASE-010: nobody has to read anything, and it is renewed at a third of its time and no more often. LEASE-006, LEASE-030:
/// again and again.
#[test]
fn it_is_renewed_at_a_third_of_its_time() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    let call = world.call();
    for round in 2..6 {
        world.advance(s(19));
        assert_eq!(world.asked(call).len(), round - 1);
        world.advance(s(1));
        assert_eq!(world.asked(call).len(), round);
        assert_eq!(world.alive(keeper), Some(s(40)));
        world.renew(call, 7, 60);
        assert!(world.alive(keeper).unwrap() > s(59), "from the time it was sent, which was a little before");
    }
    assert_eq!(world.call(), call, "all on one stream");
}

/// Somebody revoked it and granted another one of the same id: what the former was promised counts no more.
#[test]
fn another_lease_of_its_id_lives_by_its_own_time() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    let call = world.call();
    world.advance(s(20));
    world.renew(call, 7, 9);
    let left = world.alive(keeper).unwrap();
    assert!(left > s(8) && left <= s(9), "{left:?}");
    world.advance(s(3));
    assert_eq!(world.asked(call).len(), 3, "at a third of its own time");
}

#[test]
fn a_change_is_told_to_who_waits_for_it_and_once() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 6);
    let call = world.call();
    assert!(world.changed(keeper), "the beginning");
    assert!(!world.changed(keeper));
    world.advance(s(2));
    world.renew(call, 7, 6);
    assert_eq!(world.events, [Event::KeeperChanged(keeper)]);
    world.advance(s(2));
    world.renew(call, 7, 6);
    assert_eq!(world.events, [Event::KeeperChanged(keeper)], "nobody waits");
}

#[test]
fn leases_share_a_stream_and_are_renewed_together() {
    let mut world = World::connected(3);
    let keepers: Vec<_> = (1..=100).map(|id| world.keep(id)).collect();
    let call = world.call();
    assert_eq!(world.asked(call).len(), 100);
    for id in 1..=100 {
        world.advance(ms(5));
        world.renew(call, id, 60);
    }
    let mut wakes = 0;
    let start = world.now;
    while world.asked(call).len() < 200 {
        let at = world.core.poll_timeout().unwrap();
        world.advance(at - world.now);
        wakes += 1;
    }
    assert!(world.now - start <= s(20), "{:?}", world.now - start);
    assert!(wakes <= 3, "woken {wakes} times for leases of the same time");
    assert!(keepers.iter().all(|keeper| world.alive(*keeper).is_some()));
}

/// Nothing wakes the core but what is due for a lease.
#[test]
fn nothing_ticks() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 3000);
    world.advance(s(1));
    let at = world.core.poll_timeout().unwrap();
    assert!(at - world.now > s(900), "{:?}", at - world.now);
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Lease));
    world.release(keeper, OnDrop::Expire);
    assert_eq!(world.core.poll_timeout(), None);
    assert!(world.calls.is_empty(), "the stream of nobody is dropped");
}

#[test]
fn keepers_of_one_lease_renew_it_once() {
    let mut world = World::connected(1);
    let one = world.keep(7);
    let other = world.keep(7);
    let call = world.call();
    assert_eq!(world.asked(call), [7]);
    world.renew(call, 7, 6);
    assert!(world.changed(one) && world.changed(other));
    let third = world.keep(7);
    assert!(world.changed(third));
    assert_eq!(world.core.started(third).unwrap().unwrap().ttl, s(6));
    world.release(one, OnDrop::Expire);
    world.advance(s(2));
    assert_eq!(world.asked(call), [7, 7]);
    world.renew(call, 7, 6);
    assert!(world.changed(other) && world.changed(third));
    world.release(other, OnDrop::Expire);
    world.release(third, OnDrop::Expire);
    assert_eq!(world.state(third), None);
    assert!(world.calls.is_empty());
}

/// LEASE-014: the stream has no say in it.
#[test]
fn it_is_lost_at_its_expiry() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 5);
    world.cut("a");
    world.changed(keeper);
    world.advance(ms(2_499));
    assert_eq!(world.alive(keeper), Some(ms(2_501)));
    world.advance(ms(1));
    let Some(LeaseState::AtRisk { until, .. }) = world.state(keeper) else { panic!() };
    assert_eq!(until - world.now, ms(2_500));
    assert!(world.changed(keeper), "told when half of its time has passed");
    world.advance(ms(2_499));
    assert!(!world.changed(keeper));
    world.advance(ms(1));
    assert_eq!(world.state(keeper), lost(LeaseLost::Expired));
    assert!(world.changed(keeper));
    world.accept_all();
    world.advance(s(60));
    assert_eq!((world.renewals(), world.state(keeper)), (vec![], lost(LeaseLost::Expired)));
}

/// LEASE-012, LEASE-056: revoked by somebody else.
#[test]
fn it_is_lost_when_the_cluster_does_not_know_it() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    world.advance(s(20));
    world.changed(keeper);
    let call = world.call();
    world.renew(call, 7, 0);
    assert_eq!(world.state(keeper), lost(LeaseLost::NotFound));
    assert!(world.changed(keeper));
    world.advance(s(120));
    assert_eq!(world.times_asked(7), 2, "it is renewed no more");
}

/// etcd 3.4 answers so when its leader lags: right after a grant that is asked for once more, elsewhere.
#[test]
fn a_young_lease_is_not_given_up_for_one_answer() {
    let mut world = World::connected(2);
    let keeper = world.keep(7);
    let (call, place) = (world.call(), world.place(world.call()));
    world.renew(call, 7, 0);
    assert_eq!(world.core.started(keeper), None);
    world.advance(ms(250));
    let again = world.renewals_of(7).pop().unwrap();
    assert_ne!(world.place(again), place);
    world.renew(again, 7, 60);
    assert_eq!(world.alive(keeper), Some(s(60)));

    let unknown = world.keep(8);
    let call = world.renewals_of(8).pop().unwrap();
    world.renew(call, 8, 0);
    world.advance(ms(250));
    let again = world.renewals_of(8).pop().unwrap();
    world.renew(again, 8, 0);
    let error = world.core.started(unknown).unwrap().unwrap_err();
    assert_eq!(error.etcd(), Some(EtcdError::LeaseNotFound));
    assert_eq!(world.state(unknown), None);
}

/// LEASE-044: whoever waits hears of the end.
#[test]
fn closing_ends_it() {
    let mut world = World::connected(1);
    let (kept, starting) = (world.kept(7, 60), world.keep(8));
    world.changed(kept);
    world.core.close(world.now);
    world.drain();
    assert!(world.changed(kept) && world.changed(starting));
    assert_eq!(world.state(kept), lost(LeaseLost::Closed));
    assert_eq!(*world.core.started(starting).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(world.core.poll_timeout(), None);
}

/// LEASE-009, LEASE-011, LEASE-043 (their renewing half): a closed client refuses at once. LEASE-019: the Go client says
/// "halted" here; ours says what is so: closed.
#[test]
fn a_closed_core_keeps_nothing() {
    let mut world = World::connected(1);
    world.core.close(world.now);
    let keeper = world.keep(7);
    assert_eq!(*world.core.started(keeper).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    let keeper = world.grant(s(5), &no_options());
    assert_eq!(*world.core.started(keeper).unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

/// Whoever was stopped for long reads first of all that the lease is lost, though nothing was done since.
#[test]
fn a_long_sleep_is_seen_at_once() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 10);
    let asleep = world.now;
    world.now += s(7);
    assert!(matches!(world.state(keeper), Some(LeaseState::AtRisk { .. })));
    world.now += s(3);
    assert_eq!(world.state(keeper), lost(LeaseLost::Expired));
    // What came meanwhile does not bring it back.
    let call = world.call();
    world.renew(call, 7, 3_600);
    assert_eq!(world.state(keeper), lost(LeaseLost::Expired));
    assert_eq!(world.core.keeper_state(keeper, asleep), lost(LeaseLost::Expired), "time never goes back");
}

/// An answer that comes late counts from the time it was asked for.
#[test]
fn an_answer_counts_from_its_question() {
    let mut world = World::connected_with(Config::new(addresses(1)).silence(s(100), s(100)));
    let keeper = world.kept(7, 60);
    let call = world.call();
    world.advance(s(20));
    let sent = world.now;
    assert_eq!(world.asked(call).len(), 2);
    world.advance(s(9));
    world.renew(call, 7, 60);
    let Some(LeaseState::Alive { until }) = world.state(keeper) else { panic!() };
    assert!(until <= sent + s(60) && until > sent + s(59), "{:?}", until - sent);
}

/// LEASE-004, LEASE-047, LEASE-048: its stream is closed with its answer.
#[test]
fn once_is_once() {
    let mut world = World::connected(1);
    let keeper = world.core.keep_alive_once(world.now, lease_id(7), &within(s(5)));
    world.drain();
    let call = world.call();
    assert_eq!(world.asked(call), [7]);
    world.renew(call, 7, 100);
    assert!(world.changed(keeper) && world.calls.is_empty() && world.reset.contains(&call));
    assert_eq!(world.core.started(keeper).unwrap().unwrap().ttl, s(100));
    world.advance(s(200));
    assert_eq!(world.times_asked(7), 1);
    world.release(keeper, OnDrop::Expire);

    // LEASE-046.
    let keeper = world.core.keep_alive_once(world.now, lease_id(8), &within(s(5)));
    world.drain();
    for _ in 0..2 {
        let call = world.call();
        world.renew(call, 8, 0);
        world.advance(ms(300));
    }
    let error = world.core.started(keeper).unwrap().unwrap_err();
    assert_eq!(error.etcd(), Some(EtcdError::LeaseNotFound));
}

/// LEASE-048: nothing answers. The Go client's first time-out ends all; here the caller's own does.
#[test]
fn the_beginning_has_a_deadline() {
    for once in [false, true] {
        let mut world = World::new(Config::new(addresses(1)));
        let keeper = if once {
            world.core.keep_alive_once(world.now, lease_id(7), &within(s(3)))
        } else {
            world.core.keep_alive(world.now, lease_id(7), &within(s(3)))
        };
        world.drain();
        world.refuse("a");
        world.advance(ms(2_999));
        assert_eq!(world.core.started(keeper), None);
        world.advance(ms(1));
        assert!(world.changed(keeper));
        let error = world.core.started(keeper).unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout { after: s(3) });
    }
}

/// LEASE-048: one of two leases goes, the other stays.
#[test]
fn releasing_one_lets_the_other_be() {
    let mut world = World::connected(1);
    let (one, other) = (world.kept(7, 6), world.kept(8, 6));
    let call = world.call();
    world.release(one, OnDrop::Expire);
    for _ in 0..5 {
        world.advance(s(2));
        world.renew(call, 8, 6);
    }
    assert!(world.alive(other).is_some());
    assert_eq!(world.times_asked(7), 1);
}

#[test]
fn no_endpoint_no_beginning() {
    let mut world = World::new(Config::new([]));
    let keeper = world.keep(7);
    assert!(world.core.started(keeper).unwrap().is_err());
    let mut world = World::new(Config::new(addresses(1)));
    let keeper = world.keep(7);
    world.core.set_endpoints(world.now, []);
    world.drain();
    assert!(world.core.started(keeper).unwrap().is_err());
}
