//! What becomes of an operation when one of its calls fails: every error of etcd, every gRPC code, every way to lose a
//! call, for reads and for writes, however far the response came.
//!
//! The rules (guarantee 1 of ARCHITECTURE.md) are written out here as literals, apart from the tables the core decides by. Reads
//! repeat and change nothing. Writes repeat only when it is proved that they were not applied, else they end and may
//! have been applied.

use std::error::Error as _;

use etcdium_core::{
    CallKey, Cause, CauseKind, EndpointInput, Error, ErrorKind, EtcdError, GrpcCode, Outcome, ProtocolError,
    ResetCause,
};

use crate::support::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Read,
    Write,
}

/// What an operation does after its first call failed while another endpoint was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ends,
    Pauses,
    MovesOn,
}

use Class::{Read, Write};
use Next::{Ends, MovesOn, Pauses};

/// What the failed call was told to be, as the operation's error or as the source of its later error.
#[derive(Debug)]
struct Seen {
    next: Next,
    error: Error,
}

/// Starts an operation, brings its call to `stage`, lets it fail, and sees what comes of it.
fn observe(class: Class, stage: Stage, fail: impl Fn(&mut World, CallKey)) -> Seen {
    let mut world = World::connected(2);
    match class {
        Read => {
            let op = world.start(&get("k"), &within(ms(900)));
            observe_op(&mut world, &op, stage, fail)
        }
        Write => {
            let op = world.start(&put("k"), &within(ms(900)));
            observe_op(&mut world, &op, stage, fail)
        }
    }
}

fn observe_op<T: etcdium_proto::Response + std::fmt::Debug>(
    world: &mut World,
    op: &etcdium_core::Op<T>,
    stage: Stage,
    fail: impl Fn(&mut World, CallKey),
) -> Seen {
    let call = world.call();
    world.bring_to(call, stage);
    fail(world, call);
    if world.is_done(op) {
        let seen = Seen { next: Ends, error: world.error(op) };
        assert_eq!(world.opened.iter().filter(|open| !is_probe(open)).count(), 1);
        world.assert_clean();
        return seen;
    }
    let next = if world.op_calls().is_empty() {
        assert!(world.await_call() <= ms(25));
        Pauses
    } else {
        MovesOn
    };
    let again = world.call();
    assert_ne!(world.place(again), world.place(call), "another endpoint is ready");
    let [first, .., second] = &world.opened[..] else { panic!("two calls") };
    assert_eq!((first.method, &first.message), (second.method, &second.message));
    world.advance_until(|world| world.is_done(op));
    let error = world.error(op);
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    world.assert_clean();
    let source = error.source().and_then(|source| source.downcast_ref::<Error>());
    Seen { next, error: source.expect("the first call's error").clone() }
}

/// Ends a call with a status where it stands.
fn status(stage: Stage, code: u32, text: &str) -> impl Fn(&mut World, CallKey) {
    move |world, call| match stage {
        Stage::Nothing => world.status(call, code, text),
        Stage::Head | Stage::Part | Stage::Whole => world.end(call, code, text),
    }
}

/// The errors that leave open whether a write was or will be applied. `NoSpace` is among them although etcd mostly
/// gives it before anything happens: the write that crosses the quota is applied and answered with it.
const LEAVE_OPEN: &[EtcdError] = &[
    EtcdError::NoSpace,
    EtcdError::WatchCanceled,
    EtcdError::LeaderChanged,
    EtcdError::Stopped,
    EtcdError::Timeout,
    EtcdError::TimeoutDueToLeaderFail,
    EtcdError::TimeoutDueToConnectionLost,
    EtcdError::TimeoutWaitAppliedIndex,
    EtcdError::Unhealthy,
    EtcdError::Corrupt,
    EtcdError::Canceled,
    EtcdError::DeadlineExceeded,
];

/// The errors that come from the member's own state: another member may do better.
const MOVE_ON: &[EtcdError] = &[
    EtcdError::NoLeader,
    EtcdError::NotLeader,
    EtcdError::LeaderChanged,
    EtcdError::NotCapable,
    EtcdError::Stopped,
    EtcdError::Timeout,
    EtcdError::TimeoutDueToLeaderFail,
    EtcdError::TimeoutDueToConnectionLost,
    EtcdError::TimeoutWaitAppliedIndex,
    EtcdError::Unhealthy,
    EtcdError::NotSupportedForLearner,
];

/// The errors that come from load, or from a server that gave up while the call has time: any member may do better
/// later.
const PAUSE: &[EtcdError] = &[EtcdError::TooManyRequests, EtcdError::Canceled, EtcdError::DeadlineExceeded];

/// The answers etcd gives before it acts, as the design names them, but for argument errors.
const GIVEN_BEFORE: &[EtcdError] = &[
    EtcdError::InvalidAuthToken,
    EtcdError::PermissionDenied,
    EtcdError::UserEmpty,
    EtcdError::AuthOldRevision,
    EtcdError::NoLeader,
    EtcdError::NotLeader,
    EtcdError::NotSupportedForLearner,
    EtcdError::NotCapable,
    EtcdError::TooManyRequests,
];

#[test]
fn every_error_of_etcd() {
    assert!(GIVEN_BEFORE.iter().all(|error| !LEAVE_OPEN.contains(error)));
    let mut cases = 0;
    for error in EtcdError::ALL {
        let wish = if MOVE_ON.contains(error) {
            MovesOn
        } else if PAUSE.contains(error) {
            Pauses
        } else {
            Ends
        };
        let open = LEAVE_OPEN.contains(error);
        // Some travel under another code than that of the table: the text decides.
        for code in [error.code().number(), GrpcCode::Unknown.number()] {
            for class in [Read, Write] {
                for stage in Stage::ALL {
                    let seen = observe(class, stage, status(stage, code, error.text()));
                    let (next, outcome) = match class {
                        Read => (wish, Outcome::NotApplied),
                        Write if open => (Ends, Outcome::Unknown),
                        Write => (wish, Outcome::NotApplied),
                    };
                    let case = format!("{error:?} as {code}, {class:?}, {stage:?}");
                    assert_eq!(seen.next, next, "{case}");
                    assert_eq!(seen.error.outcome(), outcome, "{case}");
                    assert_eq!(*seen.error.kind(), ErrorKind::Etcd(*error), "{case}");
                    assert_eq!(seen.error.message(), Some(error.text()), "{case}");
                    if wish != Ends {
                        assert!(seen.error.is_retryable(), "{case}");
                    }
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, EtcdError::ALL.len() * 16);
}

#[test]
fn every_code_with_a_text_etcd_does_not_have() {
    for code in GrpcCode::ALL.into_iter().filter(|code| *code != GrpcCode::Ok) {
        for text in ["", "something else", "etcdserver: key not found, or so"] {
            for class in [Read, Write] {
                for stage in Stage::ALL {
                    let seen = observe(class, stage, status(stage, code.number(), text));
                    let next = match (class, code) {
                        (Read, GrpcCode::Unavailable) => MovesOn,
                        (Read, GrpcCode::DeadlineExceeded | GrpcCode::Canceled) => Pauses,
                        _ => Ends,
                    };
                    let case = format!("{code} {text:?}, {class:?}, {stage:?}");
                    assert_eq!(seen.next, next, "{case}");
                    let outcome = if class == Read { Outcome::NotApplied } else { Outcome::Unknown };
                    assert_eq!(seen.error.outcome(), outcome, "{case}");
                    assert_eq!(*seen.error.kind(), ErrorKind::Status(code), "{case}");
                    assert_eq!(seen.error.message(), Some(text), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_code_grpc_does_not_have_is_unknown() {
    for code in [17, 99, u32::MAX] {
        let seen = observe(Write, Stage::Nothing, status(Stage::Nothing, code, "new"));
        assert_eq!(*seen.error.kind(), ErrorKind::Status(GrpcCode::Unknown));
        assert_eq!((seen.next, seen.error.outcome()), (Ends, Outcome::Unknown));
    }
}

#[test]
fn success_without_a_whole_message_is_a_broken_promise() {
    for (stage, broken) in [
        (Stage::Nothing, ProtocolError::MissingMessage),
        (Stage::Head, ProtocolError::MissingMessage),
        (Stage::Part, ProtocolError::Truncated),
    ] {
        for (class, outcome) in [(Read, Outcome::NotApplied), (Write, Outcome::Unknown)] {
            let seen = observe(class, stage, status(stage, 0, "fine"));
            assert_eq!(*seen.error.kind(), ErrorKind::Protocol(broken.clone()), "{stage:?}");
            assert_eq!((seen.next, seen.error.outcome()), (Ends, outcome), "{stage:?}");
        }
    }
}

#[test]
fn every_way_to_lose_a_call() {
    let unprocessed = [ResetCause::NotSent, ResetCause::Refused, ResetCause::GoAway];
    let streams = (0..=13).chain([u32::MAX]).map(ResetCause::Stream);
    let connections = [
        CauseKind::ClosedByServer,
        CauseKind::Io(std::io::ErrorKind::ConnectionReset),
        CauseKind::PingTimeout,
        CauseKind::TooManyPings,
        CauseKind::GoAway(2),
        CauseKind::Http2(1),
        CauseKind::Silent,
        CauseKind::ShutDown,
    ];
    let connections = connections.map(|kind| ResetCause::Connection(Cause::from(kind)));
    for cause in unprocessed.iter().cloned().chain(streams).chain(connections) {
        for class in [Read, Write] {
            for stage in Stage::ALL {
                // A server that has begun to answer has acted, whatever the reset says.
                let proved = unprocessed.contains(&cause) && stage == Stage::Nothing;
                let (next, outcome) = match class {
                    Read => (MovesOn, Outcome::NotApplied),
                    Write if proved => (MovesOn, Outcome::NotApplied),
                    Write => (Ends, Outcome::Unknown),
                };
                let seen = observe(class, stage, |world, call| world.reset(call, cause.clone()));
                let case = format!("{cause:?}, {class:?}, {stage:?}");
                assert_eq!((seen.next, seen.error.outcome()), (next, outcome), "{case}");
                assert_eq!(*seen.error.kind(), ErrorKind::Unavailable, "{case}");
                assert!(seen.error.is_retryable() && seen.error.endpoint().is_some(), "{case}");
                assert_eq!(cause.is_unprocessed(), unprocessed.contains(&cause));
            }
        }
    }
}

#[test]
fn every_way_to_lose_a_connection() {
    type Loss = fn(&mut World, CallKey);
    let losses: &[(&str, Loss)] = &[
        ("closed", |world, call| {
            let place = world.place(call);
            world.cut(&place);
        }),
        ("failed, as drivers should not say it of an open one", |world, call| {
            let connection = world.calls[&call].connection;
            world.endpoint(connection, EndpointInput::ConnectFailed(Cause::from(CauseKind::Tls)));
        }),
        ("closed after it went away", |world, call| {
            let place = world.place(call);
            let connection = world.connection_to(&place);
            world.endpoint(connection, EndpointInput::GoingAway);
            world.endpoint(connection, EndpointInput::Closed(Cause::from(CauseKind::GoAway(0))));
        }),
    ];
    for (what, loss) in losses {
        for class in [Read, Write] {
            for stage in Stage::ALL {
                let expected = match class {
                    Read => (MovesOn, Outcome::NotApplied),
                    Write => (Ends, Outcome::Unknown),
                };
                let seen = observe(class, stage, loss);
                assert_eq!((seen.next, seen.error.outcome()), expected, "{what}, {class:?}, {stage:?}");
                assert_eq!(*seen.error.kind(), ErrorKind::Unavailable);
            }
        }
    }
}
