//! Servers that stop talking: found by a health probe, and told apart from servers that are slow.

use etcdium_core::{
    CallInput, CauseKind, Config, EndpointInput, EndpointStatus, ErrorKind, Outcome, ResetCause, TimerReason,
};
use etcdium_proto::healthpb::{HealthCheckRequest, HealthCheckResponse};
use prost::Message;

use crate::support::*;

/// The endpoint's cause if it is down.
fn down(world: &World, name: &str) -> Option<CauseKind> {
    let status = world.core.endpoints().find(|(_, address, _)| host(address) == name)?.2?;
    match status {
        EndpointStatus::Down(cause) => Some(cause.kind().clone()),
        _ => None,
    }
}

#[test]
fn a_probe_is_sent_after_a_second_without_a_byte() {
    let mut world = World::connected(1);
    let _op = world.start(&put("k"), &no_options());
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Silence));
    world.advance(s(1) - ms(1));
    assert!(world.probes().is_empty());
    world.advance(ms(1));
    let [probe] = world.probes()[..] else { panic!("{:?}", world.calls) };
    let open = &world.calls[&probe];
    assert_eq!(open.method.path(), "/grpc.health.v1.Health/Check");
    assert_eq!(HealthCheckRequest::decode(&open.message[5..]).unwrap(), HealthCheckRequest::default());
    assert_eq!(open.timeout(), Some(s(2)));
    assert!(!open.requires_leader());
    assert_eq!(world.place(probe), "a");
    assert_eq!(world.core.stats().probes, 1);
}

#[test]
fn any_answer_to_the_probe_means_alive() {
    type Answer = fn(&mut World, etcdium_core::CallKey);
    let answers: &[(&str, Answer)] = &[
        ("serving", |w, probe| w.answer(probe, &HealthCheckResponse { status: 1 })),
        ("not serving", |w, probe| w.answer(probe, &HealthCheckResponse { status: 2 })),
        ("a head alone", |w, probe| w.head(probe)),
        ("no such service", |w, probe| w.status(probe, 12, "unknown service grpc.health.v1.Health")),
        ("no token", |w, probe| w.status(probe, 16, "etcdserver: invalid auth token")),
        ("nonsense", |w, probe| w.data(probe, vec![7; 9])),
        ("a refusal", |w, probe| w.reset(probe, ResetCause::Refused)),
        ("a reset", |w, probe| w.reset(probe, ResetCause::Stream(2))),
        ("any byte at all", |w, _| w.endpoint(w.connection_to("a"), EndpointInput::Received)),
        ("an answer to another call", |w, _| {
            let other = w.op_calls()[1];
            w.answer(other, &put_response(1));
        }),
    ];
    for (what, answer) in answers {
        let mut world = World::connected(1);
        let op = world.start(&put("slow"), &no_options());
        let _other = world.start(&put("other"), &no_options());
        world.advance(s(1));
        let probe = world.probes()[0];
        world.advance(s(2) - ms(1));
        answer(&mut world, probe);
        assert!(world.probes().is_empty(), "{what}");
        world.advance(ms(10));
        assert!(!world.is_done(&op) && world.dropped.is_empty(), "{what}");
        // Still no answer to the call: the next second of silence is probed again.
        world.advance(s(1));
        assert_eq!(world.probes().len(), 1, "{what}");
        world.answer(world.op_calls()[0], &put_response(1));
        world.take(&op).unwrap();
    }
}

#[test]
fn a_silent_server_is_down_after_three_seconds_and_its_calls_move_on() {
    let mut world = World::connected(2);
    let reads: Vec<_> = (0..4).map(|_| world.start(&get("k"), &no_options())).collect();
    let writes: Vec<_> = (0..4).map(|_| world.start(&put("k"), &no_options())).collect();
    let on_a = world.connection_to("a");
    // b answers what it has.
    for call in world.op_calls() {
        if world.place(call) == "b" {
            match world.calls[&call].method.name() {
                "Put" => world.answer(call, &put_response(1)),
                _ => world.answer(call, &range_response(1)),
            }
        }
    }
    world.advance(s(3) - ms(101));
    assert_eq!(world.probes().len(), 1);
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Probe));
    world.advance(ms(100));
    assert!(world.dropped.is_empty());
    world.advance(ms(1));
    assert!(world.dropped.contains(&on_a));
    assert_eq!(down(&world, "a"), Some(CauseKind::Silent));
    for call in world.op_calls() {
        assert_eq!(world.place(call), "b");
        assert_eq!(world.calls[&call].timeout(), Some(s(7)));
        world.answer(call, &range_response(1));
    }
    for read in &reads {
        world.take(read).unwrap();
    }
    let errors: Vec<_> = writes.iter().filter_map(|write| world.take(write).err()).collect();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown));
        assert!(error.to_string().contains("the server fell silent"), "{error}");
        assert!(error.to_string().contains("no byte for 3s"), "{error}");
    }
    world.assert_clean();
    // Late words of the dead change nothing.
    world.endpoint(on_a, EndpointInput::Received);
    world.endpoint(on_a, EndpointInput::GoingAway);
    assert_eq!(world.core.stats().ready_endpoints, 1);
}

#[test]
fn short_calls_one_after_another_do_not_hide_a_dead_server() {
    let mut world = World::connected(1);
    let start = world.now;
    while world.dropped.is_empty() {
        assert!(world.now - start < s(4), "it is never found");
        let op = world.start(&put("k"), &within(ms(200)));
        world.advance(ms(200));
        if world.is_done(&op) {
            assert_eq!(world.error(&op).outcome(), Outcome::Unknown);
        }
    }
    assert_eq!(world.now - start, s(3));
    assert_eq!(down(&world, "a"), Some(CauseKind::Silent));
}

#[test]
fn calls_that_were_cancelled_do_not_hide_a_dead_server() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.cancel(&op);
    world.advance(s(3));
    assert_eq!(down(&world, "a"), Some(CauseKind::Silent));
    world.assert_clean();
}

#[test]
fn a_slow_server_that_says_anything_is_left_alone() {
    let mut world = World::connected(1);
    let op = world.start(&get("k"), &within(s(100)));
    let call = world.call();
    for second in 0..60 {
        world.advance(ms(900));
        match second % 3 {
            0 => world.endpoint(world.connection_to("a"), EndpointInput::Received),
            1 => {
                let other = world.start(&put("k"), &no_options());
                world.answer(*world.op_calls().last().unwrap(), &put_response(1));
                world.take(&other).unwrap();
            }
            _ => {
                let other = world.start(&put("k"), &no_options());
                world.head(*world.op_calls().last().unwrap());
                world.cancel(&other);
            }
        }
    }
    assert_eq!(world.core.stats().probes, 0);
    assert!(!world.is_done(&op));
    world.answer(call, &range_response(1));
    world.take(&op).unwrap();
    assert_eq!(world.core.stats().connects, 1);
}

#[test]
fn a_server_that_only_answers_probes_keeps_its_calls() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(s(200)));
    for _ in 0..50 {
        world.advance_until(|world| !world.probes().is_empty());
        world.advance(s(1));
        let probe = world.probes()[0];
        world.status(probe, 12, "unknown service");
        assert_eq!(world.probes().len(), 0);
    }
    assert!(!world.is_done(&op));
    assert_eq!(world.now - epoch(), s(100), "one probe at a time, a second after the last sign of life");
}

#[test]
fn an_idle_connection_is_not_probed() {
    let mut world = World::connected(1);
    world.advance(s(60));
    let op = world.start(&put("k"), &no_options());
    world.advance(ms(500));
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
    world.advance(ms(600));
    assert_eq!(world.core.poll_timeout(), None, "not even for the deadline of what is over");
    world.advance(s(60));
    assert_eq!(world.core.stats().probes, 0);
    // The silence of the idle time is not held against it.
    let _op = world.start(&put("k"), &no_options());
    world.advance(ms(999));
    assert_eq!(world.core.stats().probes, 0);
    world.advance(ms(1));
    assert_eq!(world.core.stats().probes, 1, "but that of now is");
}

#[test]
fn one_probe_answered_while_nothing_else_waits_is_enough() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &within(ms(500)));
    world.advance(s(1));
    world.error(&op);
    assert_eq!(world.probes().len(), 1, "its deadline is no answer");
    world.endpoint(world.connection_to("a"), EndpointInput::Received);
    assert!(world.probes().is_empty());
    world.advance(s(60));
    assert_eq!(world.core.stats().probes, 1);
    assert_eq!(world.core.poll_timeout(), None);
    world.assert_clean();
}

#[test]
fn a_probe_that_was_not_sent_is_sent_again() {
    let mut world = World::connected(1);
    let _op = world.start(&put("k"), &no_options());
    world.advance(s(1));
    world.reset(world.probes()[0], ResetCause::NotSent);
    assert!(world.probes().is_empty());
    world.advance(s(1));
    assert_eq!(world.probes().len(), 1);
    world.advance(s(2));
    assert_eq!(down(&world, "a"), Some(CauseKind::Silent));
}

#[test]
fn the_settings_are_taken() {
    let mut world = World::connected_with(Config::new(addresses(1)).silence(ms(200), ms(300)));
    let op = world.start(&put("k"), &no_options());
    world.advance(ms(200));
    assert_eq!(world.calls[&world.probes()[0]].timeout(), Some(ms(300)));
    world.advance(ms(300));
    assert_eq!(world.error(&op).outcome(), Outcome::Unknown);
}

#[test]
fn a_lost_probe_goes_with_its_connection() {
    let mut world = World::connected(2);
    let read = world.start(&get("k"), &no_options());
    world.advance(s(1));
    let probe = world.probes()[0];
    let place = world.place(probe);
    world.cut(&place);
    world.input(probe, CallInput::Data(vec![0].into()));
    assert_ne!(world.place(world.call()), place);
    world.answer(world.call(), &range_response(1));
    world.take(&read).unwrap();
    world.assert_clean();
}

/// The client itself stood still, so the answer lies unread: that is not the server's silence.
#[test]
fn a_client_that_was_stopped_reads_before_it_judges() {
    for stops in [&[s(5)][..], &[ms(1_950), ms(300)], &[ms(1_899), ms(151), ms(151), s(9)]] {
        let mut world = World::connected(1);
        let op = world.start(&put("k"), &within(s(100)));
        world.advance(s(1));
        assert_eq!(world.probes().len(), 1);
        for stop in stops {
            world.now += *stop;
            world.core.handle_timeout(world.now);
            assert_eq!(down(&world, "a"), None, "{stops:?}");
        }
        world.answer(world.op_calls()[0], &put_response(1));
        world.take(&op).unwrap();
        world.advance(s(20));
        assert!(world.dropped.is_empty());
    }
    // It is judged in the end, a tenth of a second after the client runs again.
    let mut world = World::connected(1);
    let _op = world.start(&put("k"), &within(s(100)));
    world.advance(s(1));
    world.now += s(5);
    world.core.handle_timeout(world.now);
    world.advance(ms(100));
    assert_eq!(down(&world, "a"), Some(CauseKind::Silent));
}
