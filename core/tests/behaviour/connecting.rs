//! Endpoints: the first connection, failed ones, back-off, and what is said of them.

use std::time::Duration;

use etcdium_core::{
    BackoffConfig, Cause, CauseKind, Config, EndpointInput, EndpointStatus, Error, ErrorKind, Event, Outcome,
    TimerReason,
};

use crate::support::*;

/// What an error says of each endpoint: name and sort of cause.
fn causes(error: &Error) -> Vec<(String, CauseKind)> {
    error.causes().iter().map(|it| (host(&it.endpoint), it.cause.kind().clone())).collect()
}

fn connect_refused() -> CauseKind {
    CauseKind::Connect(std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn nothing_is_connected_before_it_is_needed() {
    let mut world = World::new(Config::new(addresses(2)));
    world.advance(s(60));
    assert!(world.dialled.is_empty());
    assert_eq!(world.core.poll_timeout(), None);
    assert!(world.core.endpoints().all(|(_, _, status)| status.is_none()));

    let op = world.start(&put("k"), &no_options());
    assert_eq!(world.dials.len(), 2, "every endpoint at once");
    assert!(world.core.endpoints().all(|(_, _, status)| status == Some(EndpointStatus::Connecting)));
    world.accept("b");
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
    let statuses: Vec<_> =
        world.core.endpoints().map(|(_, address, status)| (host(address), status)).collect();
    assert_eq!(statuses[0], ("a".to_owned(), Some(EndpointStatus::Connecting)));
    assert_eq!(statuses[1], ("b".to_owned(), Some(EndpointStatus::Ready)));
}

#[test]
fn a_dial_names_where_and_how() {
    let config = Config::new([address("https://etcd:2379")]).ping(s(30), s(7));
    let mut world = World::new(config);
    let _op = world.connect(&no_options());
    let dial = world.dials.values().next().unwrap();
    assert_eq!(dial.address.as_str(), "https://etcd:2379");
    assert_eq!((dial.ping_interval, dial.ping_timeout), (s(30), s(7)));
    assert_eq!(Some(dial.endpoint), world.core.endpoint_key(&address("https://etcd:2379")));
}

#[test]
fn waiting_operations_go_out_with_the_first_connection() {
    let mut world = World::new(Config::new(addresses(3)));
    let ops: Vec<_> = (0..3).map(|n| world.start(&put(&n.to_string()), &no_options())).collect();
    assert_eq!((world.core.stats().waiting, world.opened.len()), (3, 0));
    world.accept("b");
    let calls = world.op_calls();
    assert_eq!(calls.len(), 3);
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(world.calls[call].message, framed(&put(&n.to_string())), "in the order of their start");
        world.answer(*call, &put_response(1));
    }
    for op in &ops {
        world.take(op).unwrap();
    }
}

#[test]
fn a_connection_attempt_that_takes_too_long_is_given_up() {
    let mut world = World::new(Config::new(addresses(1)).dial_timeout(s(2)));
    let op = world.start(&put("k"), &no_options());
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Dial));
    let first = world.dial_to("a");
    world.advance(s(2) - ms(1));
    assert!(world.dropped.is_empty());
    world.advance(ms(1));
    assert!(world.dropped.contains(&first));
    let status = world.core.endpoints().next().unwrap().2;
    assert!(
        matches!(
            &status,
            Some(EndpointStatus::Down(cause))
                if *cause.kind() == CauseKind::DialTimeout && cause.to_string().contains("2s")
        ),
        "{status:?}"
    );
    // Late news of it changes nothing.
    world.endpoint(first, EndpointInput::Connected);
    assert!(world.op_calls().is_empty());
    world.advance(ms(50));
    world.accept("a");
    world.answer(world.call(), &put_response(1));
    world.take(&op).unwrap();
}

#[test]
fn a_connection_in_time_is_not_given_up_later() {
    let mut world = World::connected(1);
    world.advance(s(60));
    assert!(world.dropped.is_empty());
    assert_eq!(world.core.poll_timeout(), None, "an idle connection needs no timer");
}

/// Waits between attempts at one endpoint while all fail at once.
fn waits(seed: u64, attempts: usize) -> Vec<Duration> {
    let mut world = World::with_seed(Config::new(addresses(1)), seed);
    let _op = world.start(&put("k"), &without_limit());
    for _ in 0..attempts {
        world.refuse("a");
        assert_eq!(world.core.timeout_reason(), Some(TimerReason::Reconnect));
        world.await_dial("a");
    }
    world.dialled.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

#[test]
fn waits_between_attempts_double_with_full_jitter() {
    let ceilings = [50, 100, 200, 400, 800, 1600, 3000, 3000];
    let runs: Vec<_> = (0..200).map(|seed| waits(seed, ceilings.len())).collect();
    for (n, ceiling) in ceilings.into_iter().enumerate() {
        let ceiling = ms(ceiling);
        let longest = runs.iter().map(|run| run[n]).max().unwrap();
        let shortest = runs.iter().map(|run| run[n]).min().unwrap();
        assert!(longest <= ceiling, "wait {n}: {longest:?}");
        assert!(longest > ceiling.mul_f64(0.9), "wait {n} uses its width: {longest:?}");
        assert!(
            shortest >= ms(1) && shortest < ceiling.mul_f64(0.1),
            "wait {n} is full jitter: {shortest:?}"
        );
    }
}

#[test]
fn the_back_off_is_what_was_configured() {
    let backoff = BackoffConfig { base: ms(400), cap: ms(500) };
    let mut longest = Duration::ZERO;
    for seed in 0..50 {
        let mut world = World::with_seed(Config::new(addresses(1)).reconnect_backoff(backoff), seed);
        let _op = world.start(&put("k"), &without_limit());
        for _ in 0..4 {
            world.refuse("a");
            longest = longest.max(world.await_dial("a"));
        }
    }
    assert!(longest > ms(450) && longest <= ms(500), "{longest:?}");
}

/// The longest wait after a connection was lost that had come after eight failures, over many seeds.
fn wait_after_loss(end: impl Fn(&mut World)) -> Duration {
    let longest = (0..50).map(|seed| {
        let mut world = World::with_seed(Config::new(addresses(1)), seed);
        let op = world.start(&get("k"), &without_limit());
        for _ in 0..8 {
            world.refuse("a");
            world.await_dial("a");
        }
        world.advance(s(4));
        world.accept("a");
        end(&mut world);
        world.cancel(&op);
        world.cut("a");
        world.await_dial("a")
    });
    longest.max().unwrap()
}

#[test]
fn the_back_off_starts_again_after_a_success() {
    let answered = wait_after_loss(|world| {
        let call = world.call();
        world.answer(call, &range_response(1));
    });
    assert!(answered <= ms(50), "{answered:?}");
    let refused = wait_after_loss(|world| {
        let call = world.call();
        world.status(call, 14, "etcdserver: no leader");
    });
    assert!(refused <= ms(50), "an answer of etcd's is one too: {refused:?}");
    let lasted = wait_after_loss(|world| {
        let call = world.call();
        world.reset(call, etcdium_core::ResetCause::Refused);
        for _ in 0..3 {
            // Some sign of life keeps probes away.
            world.advance(s(1));
        }
    });
    assert!(lasted <= ms(50), "a connection that lasted: {lasted:?}");
    let never = wait_after_loss(|_| {});
    assert!(never > s(1), "a connection lost at once proves nothing: {never:?}");
}

#[test]
fn a_timeout_names_the_last_cause_of_every_endpoint() {
    let mut world = World::new(Config::new(addresses(3)).dial_timeout(s(20)));
    let op = world.start(&put("k"), &within(s(2)));
    world.refuse("a");
    world.endpoint(
        world.dial_to("b"),
        EndpointInput::ConnectFailed(Cause::new(CauseKind::Resolve, "no such host")),
    );
    world.advance(s(2));
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::Timeout { after: s(2) });
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.is_timeout() && error.is_retryable());
    assert_eq!(
        causes(&error),
        [
            ("a".to_owned(), connect_refused()),
            ("b".to_owned(), CauseKind::Resolve),
            ("c".to_owned(), CauseKind::StillConnecting),
        ]
    );
    let text = error.to_string();
    for part in ["Put: timed out after 2s", "a:1: cannot connect", "no such host", "c:1: still connecting"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    world.assert_clean();
}

#[test]
fn a_timeout_of_a_pinned_operation_names_the_cause_of_its_endpoint() {
    let mut world = World::new(Config::new(addresses(2)));
    let op = world.start(&put("k"), &within(s(1)).endpoint(world.key_of("b")));
    world.refuse("a");
    world.refuse("b");
    world.advance(s(1));
    assert_eq!(causes(&world.error(&op)), [("b".to_owned(), connect_refused())]);
}

#[test]
fn a_cause_is_forgotten_when_the_endpoint_connects() {
    let mut world = World::new(Config::new(addresses(2)).max_in_flight(1).dial_timeout(s(20)));
    let busy = world.start(&put("busy"), &no_options());
    world.refuse("a");
    world.refuse("b");
    world.await_dial("a");
    world.accept("a");
    let waits = world.start(&put("waits"), &within(ms(500)));
    world.advance(ms(500));
    assert_eq!(causes(&world.error(&waits)), [("b".to_owned(), connect_refused())]);
    world.cut("a");
    assert_eq!(world.error(&busy).outcome(), Outcome::Unknown);
    let late = world.start(&put("late"), &within(ms(500)));
    world.advance(ms(500));
    let lost = ("a".to_owned(), CauseKind::ClosedByServer);
    assert_eq!(causes(&world.error(&late)), [lost, ("b".to_owned(), connect_refused())]);
}

#[test]
fn connect_succeeds_with_the_first_endpoint() {
    let mut world = World::new(Config::new(addresses(3)));
    let op = world.connect(&no_options());
    world.refuse("a");
    world.refuse("b");
    assert!(!world.is_done(&op));
    world.accept("c");
    world.take(&op).unwrap();
    let again = world.connect(&no_options());
    world.take(&again).unwrap();
    assert!(world.opened.is_empty(), "nothing is sent");
    world.assert_clean();
}

#[test]
fn connect_fails_as_soon_as_every_endpoint_has() {
    let mut world = World::new(Config::new(addresses(2)));
    let op = world.connect(&no_options());
    world.refuse("a");
    assert!(!world.is_done(&op));
    world.refuse("b");
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::Unavailable);
    assert_eq!(causes(&error), [("a".to_owned(), connect_refused()), ("b".to_owned(), connect_refused())]);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    world.assert_clean();
}

#[test]
fn connect_counts_failures_since_its_own_start() {
    let mut world = World::new(Config::new(addresses(2)));
    let first = world.connect(&no_options());
    world.refuse("a");
    world.refuse("b");
    world.error(&first);
    let second = world.connect(&no_options());
    world.advance(ms(50));
    world.refuse("a");
    assert!(!world.is_done(&second), "b was not tried since");
    world.accept("b");
    world.take(&second).unwrap();
}

#[test]
fn connect_to_one_endpoint_asks_for_that_one() {
    let mut world = World::new(Config::new(addresses(2)));
    let to_b = no_options().endpoint(world.key_of("b"));
    let (one, two) = (world.connect(&to_b), world.connect(&to_b));
    world.accept("a");
    assert!(!world.is_done(&one));
    world.refuse("b");
    let error = world.error(&one);
    assert_eq!(causes(&error), [("b".to_owned(), connect_refused())]);
    world.error(&two);
    let three = world.connect(&to_b);
    world.advance(ms(50));
    world.accept("b");
    world.take(&three).unwrap();
}

#[test]
fn connect_times_out_with_causes() {
    let mut world = World::new(Config::new(addresses(2)).dial_timeout(s(10)));
    let op = world.connect(&within(s(1)));
    world.refuse("a");
    world.advance(s(1));
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::Timeout { after: s(1) });
    assert_eq!(
        causes(&error),
        [("a".to_owned(), connect_refused()), ("b".to_owned(), CauseKind::StillConnecting)]
    );
    world.assert_clean();
}

#[test]
fn no_endpoints_is_an_error_at_once() {
    let mut world = World::new(Config::new([]));
    let op = world.start(&put("k"), &no_options());
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest(etcdium_core::InvalidRequest::NoEndpoints));
    let op = world.connect(&no_options());
    assert_eq!(
        *world.error(&op).kind(),
        ErrorKind::InvalidRequest(etcdium_core::InvalidRequest::NoEndpoints)
    );
    world.assert_clean();
}

#[test]
fn too_many_pings_double_the_interval() {
    let mut world = World::connected(1);
    let pings = Cause::new(CauseKind::TooManyPings, "ENHANCE_YOUR_CALM");
    let _waits = world.start(&get("k"), &without_limit());
    for expected in [10, 20, 40] {
        assert_eq!(world.dialled.last().unwrap().1.ping_interval, s(expected));
        let connection = world.connection_to("a");
        // As servers do it: GOAWAY, then the end of the connection; with the last, its end alone.
        if expected != 40 {
            world.endpoint(connection, EndpointInput::GoingAway);
        }
        world.endpoint(connection, EndpointInput::Closed(pings.clone()));
        world.await_dial("a");
        world.accept_all();
        world.await_call();
    }
}

#[test]
fn a_lost_connection_is_made_again_and_told() {
    let mut world = World::connected(1);
    let key = world.key_of("a");
    world.cut("a");
    world.advance(ms(50));
    world.accept("a");
    let lost = Cause::from(CauseKind::ClosedByServer);
    let statuses = [EndpointStatus::Down(lost), EndpointStatus::Connecting, EndpointStatus::Ready];
    let expected = statuses.map(|status| Event::Endpoint { endpoint: key, status });
    assert_eq!(world.events, expected);
    let stats = world.core.stats();
    assert_eq!((stats.connects, stats.connections_lost, stats.connections), (2, 1, 1));
}

#[test]
fn extreme_settings_are_taken_at_their_word() {
    let config = Config::new(addresses(1))
        .timeout(Some(Duration::MAX))
        .dial_timeout(Duration::MAX)
        .silence(Duration::MAX, Duration::MAX)
        .reconnect_backoff(BackoffConfig { base: Duration::MAX, cap: Duration::MAX })
        .retry_backoff(BackoffConfig { base: Duration::MAX, cap: Duration::MAX });
    let mut world = World::new(config);
    let op = world.start(&put("k"), &no_options());
    world.advance(s(1_000_000));
    world.accept("a");
    world.advance(s(1_000_000));
    assert!(world.probes().is_empty());
    world.status(world.call(), 14, "etcdserver: no leader");
    world.cut("a");
    world.cancel(&op);
    world.assert_clean();

    let config = Config::new(addresses(1))
        .timeout(Some(Duration::ZERO))
        .dial_timeout(Duration::ZERO)
        .silence(Duration::ZERO, Duration::ZERO)
        .reconnect_backoff(BackoffConfig { base: Duration::ZERO, cap: Duration::ZERO })
        .max_in_flight(0);
    let mut world = World::new(config);
    let op = world.start(&put("k"), &no_options());
    assert_eq!(*world.error(&op).kind(), ErrorKind::Timeout { after: Duration::ZERO });
    let op = world.start(&put("k"), &without_limit());
    world.advance(ms(100));
    world.accept_all();
    world.advance(ms(100));
    world.cancel(&op);
    world.assert_clean();

    let mut world = World::connected_with(Config::new(addresses(1)).silence(Duration::ZERO, s(1)));
    let _op = world.start(&put("k"), &without_limit());
    world.advance(ms(500));
    assert_eq!(world.probes().len(), 1);
}
