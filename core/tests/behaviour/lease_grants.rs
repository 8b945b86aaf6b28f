//! Leases granted to be kept: repeated safely, never left behind.

use std::time::Duration;

use etcdium_core::{ErrorKind, EtcdError, InvalidRequest, OnDrop, Outcome, ResetCause};
use etcdium_proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, LeaseRevokeResponse};

use crate::support::*;

#[test]
fn a_granted_lease_is_kept() {
    let mut world = World::connected(1);
    let keeper = world.grant(ms(59_001), &no_options());
    let call = world.call();
    let LeaseGrantRequest { id, ttl } = world.granting(call);
    assert!(id > 0 && ttl == 60, "{id} {ttl}");
    world.advance(s(1));
    world.answer_grant(call);
    assert!(world.changed(keeper));
    let kept = world.core.started(keeper).unwrap().unwrap();
    assert_eq!((kept.id.get(), kept.ttl), (id, s(60)));
    assert_eq!(world.alive(keeper), Some(s(59)), "counted from the time the grant was sent");
    world.advance(s(19));
    assert_eq!(world.asked(world.call()), [id]);
}

#[test]
fn ids_come_from_the_seed() {
    let ids = |seed| {
        let mut world = World::with_seed(etcdium_core::Config::new(addresses(1)), seed);
        let op = world.connect(&no_options());
        world.accept_all();
        world.take(&op).unwrap();
        for _ in 0..3 {
            world.grant(s(9), &no_options());
        }
        world.grants().into_iter().map(|call| world.granting(call).id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    assert_eq!(ids(3).len(), 3);
}

/// LEASE-049, and its other end.
#[test]
fn a_time_to_live_that_cannot_be_is_refused() {
    let mut world = World::connected(1);
    for ttl in [Duration::ZERO, s(9_000_000_001), Duration::MAX] {
        let keeper = world.grant(ttl, &no_options());
        let error = world.core.started(keeper).unwrap().unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::InvalidRequest(InvalidRequest::Value { option: "ttl", .. })),
            "{kind:?}"
        );
        assert_eq!(error.outcome(), Outcome::NotApplied);
        world.release(keeper, OnDrop::Revoke);
    }
    world.assert_clean();
    world.grant(s(9_000_000_000), &no_options());
    assert_eq!(world.granting(world.call()).ttl, 9_000_000_000);
}

/// Nobody knows what became of it, and so it is asked for again, under the same id.
#[test]
fn a_grant_is_repeated_until_it_is_answered() {
    let mut world = World::connected(2);
    let keeper = world.grant(s(60), &no_options());
    let first = world.call();
    let asked = world.granting(first);
    world.advance(s(1));
    world.reset(first, ResetCause::Stream(2));
    world.await_call();
    let again = world.call();
    assert_eq!(world.granting(again), asked);
    assert_ne!(world.place(again), world.place(first));
    world.advance(s(1));
    world.status(again, 9, "etcdserver: lease already exists");
    let kept = world.core.started(keeper).unwrap().unwrap();
    assert_eq!((kept.id.get(), kept.ttl), (asked.id, s(60)));
    assert_eq!(world.alive(keeper), Some(s(58)), "counted from the first attempt");
}

#[test]
fn a_repeated_grant_that_is_answered_counts_from_its_own_attempt() {
    let mut world = World::connected(2);
    let keeper = world.grant(s(60), &no_options());
    world.advance(s(2));
    world.reset(world.call(), ResetCause::Stream(2));
    world.await_call();
    world.advance(s(1));
    world.answer_grant(world.call());
    assert_eq!(world.alive(keeper), Some(s(59)));
}

/// LEASE-027 of leases that are kept: an id that is taken. One of our own choice is replaced, one of the user's is refused.
#[test]
fn an_id_that_is_taken() {
    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &no_options());
    let (call, id) = (world.call(), world.granting(world.call()).id);
    world.status(call, 9, "etcdserver: lease already exists");
    let again = world.call();
    assert_ne!(world.granting(again).id, id);
    world.answer_grant(again);
    assert!(world.alive(keeper).is_some());

    let keeper = world.core.lease(world.now, s(60), Some(lease_id(5)), &no_options());
    world.drain();
    let call = world.call();
    assert_eq!(world.granting(call).id, 5);
    world.status(call, 9, "etcdserver: lease already exists");
    let error = world.core.started(keeper).unwrap().unwrap_err();
    assert_eq!((error.etcd(), error.outcome()), (Some(EtcdError::LeaseExist), Outcome::NotApplied));
    assert!(world.revocations().is_empty(), "it is somebody else's");
}

#[test]
fn a_grant_that_failed_without_trace_leaves_nothing_behind() {
    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &within(s(2)));
    let id = world.granting(world.call()).id;
    world.advance(s(2));
    let error = world.core.started(keeper).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after: s(2) }, Outcome::Unknown));
    // It may have been applied.
    let revoke: LeaseRevokeRequest = world.request(world.revocations()[0]);
    assert_eq!(revoke.id, id);
    world.answer(world.revocations()[0], &LeaseRevokeResponse::default());
    world.release(keeper, OnDrop::Expire);
    world.assert_clean();
}

#[test]
fn a_grant_that_is_given_up_is_revoked_after_its_answer() {
    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &no_options());
    let call = world.call();
    let id = world.granting(call).id;
    world.release(keeper, OnDrop::Expire);
    assert_eq!(world.call(), call, "the revocation must not overtake it");
    world.answer_grant(call);
    let revoke: LeaseRevokeRequest = world.request(world.call());
    assert_eq!(revoke.id, id);
    // Repeated like the grant.
    world.reset(world.call(), ResetCause::Stream(2));
    world.await_call();
    world.status(world.call(), 5, "etcdserver: requested lease not found");
    world.assert_clean();
}

#[test]
fn a_grant_that_was_not_sent_is_dropped() {
    let mut world = World::new(etcdium_core::Config::new(addresses(1)));
    let keeper = world.grant(s(60), &no_options());
    world.release(keeper, OnDrop::Expire);
    world.accept_all();
    world.assert_clean();
    assert!(world.opened.is_empty());
}

#[test]
fn a_lease_nobody_took_is_revoked() {
    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &no_options());
    world.answer_grant(world.call());
    world.release(keeper, OnDrop::Expire);
    assert_eq!(world.revocations().len(), 1);

    let keeper = world.core.lease(world.now, s(60), Some(lease_id(5)), &no_options());
    world.drain();
    world.answer_grant(world.grants()[0]);
    world.core.started(keeper).unwrap().unwrap();
    world.release(keeper, OnDrop::Expire);
    assert_eq!(world.revocations().len(), 1, "this one was taken, and expires");
}

#[test]
fn dropped_leases_end_as_was_said() {
    let mut world = World::connected(1);
    for then in [OnDrop::Expire, OnDrop::Revoke] {
        let keeper = world.grant(s(60), &no_options());
        world.answer_grant(world.call());
        let id = world.core.started(keeper).unwrap().unwrap().id;
        world.release(keeper, then);
        let revoked: Vec<i64> = world
            .revocations()
            .into_iter()
            .map(|call| world.request::<LeaseRevokeRequest>(call).id)
            .collect();
        assert_eq!(revoked, if then == OnDrop::Revoke { vec![id.get()] } else { vec![] });
    }
}

/// When everybody has gone, what is left to do in the background is done before the core closes.
#[test]
fn retiring_waits_for_revocations() {
    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &no_options());
    world.answer_grant(world.call());
    world.core.started(keeper).unwrap().unwrap();
    world.release(keeper, OnDrop::Revoke);
    world.core.retire(world.now);
    world.drain();
    assert!(!world.core.is_closed());
    world.answer(world.call(), &LeaseRevokeResponse::default());
    assert!(world.core.is_drained());

    let mut world = World::connected(1);
    let keeper = world.grant(s(60), &no_options());
    world.answer_grant(world.call());
    world.release(keeper, OnDrop::Revoke);
    world.core.retire(world.now);
    world.advance(s(10));
    assert!(world.core.is_drained(), "not for ever");

    let mut world = World::connected(1);
    world.core.retire(world.now);
    world.drain();
    assert!(world.core.is_drained());
}

/// The answer to the grant comes when the time it gives is over: a renewal tells.
#[test]
fn a_grant_that_is_answered_too_late_is_confirmed_first() {
    for known in [true, false] {
        let mut world = World::connected(1);
        let keeper = world.grant(s(2), &no_options());
        let call = world.call();
        world.advance(s(2));
        world.answer_grant(call);
        assert_eq!(world.core.started(keeper), None);
        let call = world.call();
        let id = world.asked(call)[0];
        if known {
            world.renew(call, id, 2);
            assert_eq!(world.core.started(keeper).unwrap().unwrap().id.get(), id);
            assert_eq!(world.alive(keeper), Some(s(2)));
        } else {
            for _ in 0..2 {
                let call = world.renewals_of(id).pop().unwrap();
                world.renew(call, id, 0);
                world.advance(ms(400));
            }
            let error = world.core.started(keeper).unwrap().unwrap_err();
            assert_eq!(error.etcd(), Some(EtcdError::LeaseNotFound));
        }
    }
}

/// Any write can be repeated that does no harm twice, if the caller says so.
#[test]
fn an_idempotent_write_is_repeated_and_says_what_is_known_of_all_attempts() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options().idempotent(true));
    world.reset(world.call(), ResetCause::Stream(2));
    assert!(!world.is_done(&op));
    world.await_call();
    world.status(world.call(), 3, "etcdserver: key is not provided");
    let error = world.error(&op);
    assert_eq!((error.etcd(), error.outcome()), (Some(EtcdError::EmptyKey), Outcome::Unknown));
    let op = world.start(&put("k"), &no_options());
    world.reset(world.call(), ResetCause::Stream(2));
    assert_eq!(world.error(&op).outcome(), Outcome::Unknown);
}
