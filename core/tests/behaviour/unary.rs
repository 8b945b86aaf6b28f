//! One call from start to result.

use etcdium_core::{CallInput, Error, ErrorKind, GrpcCode, Outcome, ProtocolError, Revision, TimerReason};
use etcdium_proto::etcdserverpb::{PutRequest, StatusRequest, StatusResponse};
use http::{HeaderMap, StatusCode};
use prost::Message;

use crate::support::*;

#[test]
fn a_put_goes_out_and_its_answer_comes_back() {
    let mut world = World::connected(1);
    let request = put("k");
    let op = world.start(&request, &no_options());
    assert!(!world.is_done(&op));
    assert!(world.core.take(&op).is_none(), "it has not ended");

    let call = world.call();
    let open = &world.calls[&call];
    assert_eq!(open.method.path(), "/etcdserverpb.KV/Put");
    assert_eq!(open.message, framed(&request));
    assert_eq!(PutRequest::decode(&open.message[5..]).unwrap(), request);
    assert_eq!(open.timeout(), Some(s(10)));
    let headers = open.headers();
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("client-api-version", "3.7"),
        ("hasleader", "true"),
        ("grpc-timeout", "10S"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }

    world.answer(call, &put_response(5));
    assert_eq!(world.take(&op).unwrap(), put_response(5));
    assert_eq!(world.core.revision(), Revision::new(5));
    assert!(!world.reset.contains(&call), "a call that ended is not reset");
    world.assert_clean();
    let stats = world.core.stats();
    assert_eq!((stats.ops_started, stats.ops_succeeded, stats.calls_opened), (2, 2, 1));
}

#[test]
fn a_response_may_come_in_any_pieces() {
    let bytes = framed(&put_response(5));
    for size in [1, 2, 4, 5, 6, bytes.len()] {
        let mut world = World::connected(1);
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        world.head(call);
        for piece in bytes.chunks(size) {
            assert!(!world.is_done(&op));
            world.data(call, piece.to_vec());
            world.data(call, Vec::new());
        }
        world.end(call, 0, "");
        assert_eq!(world.take(&op).unwrap(), put_response(5), "pieces of {size}");
    }
}

#[test]
fn an_empty_message_is_a_message() {
    let mut world = World::connected(1);
    let op = world.start(&StatusRequest::default(), &no_options());
    world.answer(world.call(), &StatusResponse::default());
    assert_eq!(world.take(&op).unwrap(), StatusResponse::default());
}

#[test]
fn many_calls_are_open_at_once_and_end_in_any_order() {
    let mut world = World::connected(1);
    let ops: Vec<_> = (0..20).map(|n| world.start(&put(&n.to_string()), &no_options())).collect();
    let calls = world.op_calls();
    assert_eq!(calls.len(), 20);
    for (n, call) in calls.iter().enumerate().rev() {
        world.answer(*call, &put_response(n as i64 + 1));
    }
    for (n, op) in ops.iter().enumerate() {
        assert_eq!(world.take(op).unwrap(), put_response(n as i64 + 1));
    }
    world.assert_clean();
}

#[test]
fn a_reply_can_be_decoded_later() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(5));
    let reply = world.core.take_reply(&op).unwrap().unwrap();
    world.assert_clean();
    assert_eq!(reply.endpoint(), Some("a:1"));
    assert_eq!(*reply.message(), put_response(5).encode_to_vec());
    assert_eq!(reply.decode().unwrap(), put_response(5));
    assert!(world.core.take_reply(&op).is_none());
}

#[test]
fn an_error_carries_what_the_server_said() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.status(world.call(), 13, "it%20broke");
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::Status(GrpcCode::Internal));
    assert_eq!(error.message(), Some("it broke"));
    assert_eq!(error.method().map(|method| method.name()), Some("Put"));
    assert_eq!(error.endpoint(), Some("a:1"));
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.to_string(), "Put: Internal: it broke [a:1]");
    assert!(error.etcd().is_none() && !error.is_retryable() && !error.is_timeout());
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    let mut world = World::connected_with(etcdium_core::Config::new(addresses(1)).max_request_size(100));
    let mut request = put("k");
    request.value = vec![b'v'; 100 - (put("k").encoded_len() - 5)].into();
    assert_eq!(request.encoded_len(), 100);
    let fits = world.start(&request, &no_options());
    request.value = vec![b'v'; request.value.len() + 1].into();
    let op = world.start(&request, &no_options());
    let error = world.error(&op);
    assert_eq!(*error.kind(), ErrorKind::RequestTooLarge { size: 101, limit: 100 });
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(error.method().map(|method| method.name()), Some("Put"));
    world.answer(world.call(), &put_response(1));
    world.take(&fits).unwrap();
    world.assert_clean();
}

#[test]
fn the_default_request_limit_is_two_mebibytes() {
    let mut world = World::connected(1);
    let mut request = put("k");
    request.value = vec![0; 2 * 1024 * 1024].into();
    let op = world.start(&request, &no_options());
    assert!(matches!(world.error(&op).kind(), ErrorKind::RequestTooLarge { limit: 2_097_152, .. }));
}

#[test]
fn a_response_over_the_limit_is_refused_on_its_prefix() {
    let response = framed(&range_response(5));
    let limit = response.len() - 5;
    for (limit, refused) in [(limit, false), (limit - 1, true)] {
        let config = etcdium_core::Config::new(addresses(1)).max_response_size(limit);
        let mut world = World::connected_with(config);
        let read = world.start(&get("k"), &no_options());
        let call = world.call();
        world.head(call);
        world.data(call, response.slice(..5));
        assert_eq!(world.is_done(&read), refused);
        assert_eq!(world.reset.contains(&call), refused, "the rest is not wanted");
        if refused {
            let error = world.error(&read);
            let size = response.len() as u64 - 5;
            assert_eq!(*error.kind(), ErrorKind::ResponseTooLarge { size, limit: limit as u64 });
            assert_eq!(error.outcome(), Outcome::NotApplied, "a read");
            let write = world.start(&put("k"), &no_options());
            let call = world.call();
            world.head(call);
            world.data(call, vec![0, 0xff, 0xff, 0xff, 0xff]);
            let error = world.error(&write);
            assert!(matches!(error.kind(), ErrorKind::ResponseTooLarge { size: 0xffff_ffff, .. }));
            assert_eq!(error.outcome(), Outcome::Unknown, "a write");
        } else {
            world.data(call, response.slice(5..));
            world.end(call, 0, "");
            assert_eq!(world.take(&read).unwrap(), range_response(5));
        }
        world.assert_clean();
    }
}

#[test]
fn a_message_that_cannot_be_decoded_is_an_error_of_the_right_outcome() {
    for (write, outcome) in [(true, Outcome::Unknown), (false, Outcome::NotApplied)] {
        let mut world = World::connected(1);
        // Field 1, length-delimited, of more bytes than follow.
        let answer = |world: &mut World| {
            let call = world.call();
            world.head(call);
            world.data(call, vec![0, 0, 0, 0, 2, 0x0a, 9]);
            world.end(call, 0, "");
        };
        let error = if write {
            let op = world.start(&put("k"), &no_options());
            answer(&mut world);
            world.error(&op)
        } else {
            let op = world.start(&get("k"), &no_options());
            answer(&mut world);
            world.error(&op)
        };
        assert!(matches!(error.kind(), ErrorKind::Protocol(ProtocolError::Message(_))), "{error}");
        assert_eq!(error.outcome(), outcome);
        assert_eq!(error.endpoint(), Some("a:1"));
        assert!(error.method().is_some());
        world.assert_clean();
    }
}

#[test]
fn a_response_that_breaks_the_protocol_ends_the_call() {
    type Script = fn(&mut World, etcdium_core::CallKey);
    // What the server does, what is said of it, whether the stream is still open and so reset.
    let table: &[(&str, Script, &str, bool)] = &[
        ("data before the head", |w, c| w.data(c, vec![0]), "MissingHead", true),
        ("the end before the head", |w, c| w.end(c, 0, ""), "MissingHead", false),
        (
            "an end without trailers",
            |w, c| {
                w.bring_to(c, Stage::Whole);
                w.input(c, CallInput::End(None));
            },
            "Head(MissingStatus)",
            false,
        ),
        (
            "trailers without a status",
            |w, c| {
                w.bring_to(c, Stage::Whole);
                w.input(c, CallInput::End(Some(&HeaderMap::new())));
            },
            "Head(MissingStatus)",
            false,
        ),
        (
            "a status that is no number",
            |w, c| {
                w.bring_to(c, Stage::Whole);
                let mut trailers = trailers(0, "");
                trailers.insert("grpc-status", "ok".parse().unwrap());
                w.input(c, CallInput::End(Some(&trailers)));
            },
            r#"Head(BadStatus("ok"))"#,
            false,
        ),
        ("success in a head", |w, c| w.status(c, 0, ""), "MissingMessage", false),
        (
            "success without a message",
            |w, c| {
                w.head(c);
                w.end(c, 0, "");
            },
            "MissingMessage",
            false,
        ),
        (
            "success inside a message",
            |w, c| {
                w.bring_to(c, Stage::Part);
                w.end(c, 0, "");
            },
            "Truncated",
            false,
        ),
        (
            "success inside a prefix",
            |w, c| {
                w.head(c);
                w.data(c, vec![0, 0]);
                w.end(c, 0, "");
            },
            "Truncated",
            false,
        ),
        (
            "the beginning of a second message",
            |w, c| {
                w.bring_to(c, Stage::Whole);
                w.data(c, vec![0]);
                w.end(c, 0, "");
            },
            "Truncated",
            false,
        ),
        (
            "a second message",
            |w, c| {
                w.bring_to(c, Stage::Whole);
                w.data(c, framed(&put_response(5)));
            },
            "ExtraMessage",
            true,
        ),
        (
            "two messages in one piece",
            |w, c| {
                w.head(c);
                w.data(c, [framed(&put_response(5)), framed(&put_response(5))].concat());
            },
            "ExtraMessage",
            true,
        ),
        (
            "a compressed message",
            |w, c| {
                w.head(c);
                w.data(c, vec![1, 0, 0, 0, 1, 9]);
            },
            "Frame(Compressed)",
            true,
        ),
        (
            "an unknown flag",
            |w, c| {
                w.head(c);
                w.data(c, vec![7, 0, 0, 0, 1, 9]);
            },
            "Frame(UnknownFlag(7))",
            true,
        ),
        (
            "a wrong content type",
            |w, c| {
                let mut headers = good_head();
                headers.insert("content-type", "text/html".parse().unwrap());
                w.input(c, CallInput::Head { status: StatusCode::OK, headers: &headers, end: false });
            },
            r#"Head(ContentType(Some("text/html")))"#,
            true,
        ),
        (
            "a head that ends without a status",
            |w, c| {
                w.input(c, CallInput::Head { status: StatusCode::OK, headers: &good_head(), end: true });
            },
            "Head(MissingStatus)",
            false,
        ),
    ];
    for (what, script, expected, reset) in table {
        for write in [true, false] {
            let mut world = World::connected(2);
            let error: Error = if write {
                let op = world.start(&put("k"), &no_options());
                let call = world.call();
                script(&mut world, call);
                world.error(&op)
            } else {
                let op = world.start(&get("k"), &no_options());
                let call = world.call();
                script(&mut world, call);
                world.error(&op)
            };
            let ErrorKind::Protocol(protocol) = error.kind() else { panic!("{what}: {error}") };
            assert_eq!(format!("{protocol:?}"), *expected, "{what}");
            assert_eq!(error.outcome(), if write { Outcome::Unknown } else { Outcome::NotApplied }, "{what}");
            assert_eq!(world.reset.contains(&world.opened[0].call), *reset, "{what}");
            assert_eq!(world.opened.len(), 1, "{what}: every member would break it alike");
            world.assert_clean();
        }
    }
}

#[test]
fn a_gateways_refusal_has_the_code_grpc_gives_it() {
    for (status, code) in [
        (400, GrpcCode::Internal),
        (401, GrpcCode::Unauthenticated),
        (403, GrpcCode::PermissionDenied),
        (404, GrpcCode::Unimplemented),
        (429, GrpcCode::Unavailable),
        (500, GrpcCode::Unknown),
        (503, GrpcCode::Unavailable),
    ] {
        let mut world = World::connected(1);
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        let status = StatusCode::from_u16(status).unwrap();
        world.input(call, CallInput::Head { status, headers: &HeaderMap::new(), end: false });
        let error = world.error(&op);
        assert_eq!(*error.kind(), ErrorKind::Status(code), "{status}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(error.message().unwrap().contains(status.as_str()), "{error}");
        assert!(world.reset.contains(&call), "its body is not wanted");
        world.assert_clean();
    }
}

#[test]
fn an_error_status_wins_over_what_came_before_it() {
    for stage in Stage::ALL {
        let mut world = World::connected(1);
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        world.bring_to(call, stage);
        match stage {
            Stage::Nothing => world.status(call, 3, "etcdserver: key is not provided"),
            _ => world.end(call, 3, "etcdserver: key is not provided"),
        }
        let error = world.error(&op);
        assert_eq!(error.etcd(), Some(etcdium_core::EtcdError::EmptyKey), "{stage:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }
}

#[test]
fn a_status_in_a_head_ends_a_call_even_if_more_follows() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    let headers = trailers_only(3, "etcdserver: key is not provided");
    world.input(call, CallInput::Head { status: StatusCode::OK, headers: &headers, end: false });
    assert_eq!(world.error(&op).etcd(), Some(etcdium_core::EtcdError::EmptyKey));
    assert!(world.reset.contains(&call), "what follows is not wanted");
    world.assert_clean();
}

#[test]
fn keys_are_new_and_slots_are_used_again() {
    let mut world = World::connected(1);
    let first = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(1));
    world.take(&first).unwrap();
    for n in 1..1_000 {
        let op = world.start(&put("k"), &no_options());
        let call = world.call();
        world.answer(call, &put_response(1));
        world.take(&op).unwrap();
        assert_eq!(op.key().serial(), first.key().serial() + n);
        assert_eq!((op.key().slot(), call.slot()), (first.key().slot(), 0), "tables do not grow");
    }
}

#[test]
fn what_a_driver_tells_late_is_ignored() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    world.answer(call, &put_response(5));
    world.head(call);
    world.data(call, vec![1, 2, 3]);
    world.end(call, 13, "late");
    world.reset(call, etcdium_core::ResetCause::Refused);
    assert_eq!(world.take(&op).unwrap(), put_response(5));
    world.assert_clean();
}

#[test]
fn a_second_head_changes_nothing() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    world.head(call);
    world.head(call);
    let headers = trailers_only(13, "a head again");
    world.input(call, CallInput::Head { status: StatusCode::OK, headers: &headers, end: false });
    world.data(call, framed(&put_response(5)));
    world.end(call, 0, "");
    assert_eq!(world.take(&op).unwrap(), put_response(5));
}

#[test]
fn a_head_that_ends_a_response_is_its_trailers() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    world.bring_to(call, Stage::Whole);
    world.status(call, 0, "");
    assert_eq!(world.take(&op).unwrap(), put_response(9));
    world.assert_clean();
}

#[test]
fn the_next_wake_up_is_the_deadline_or_the_look_at_silence() {
    let mut world = World::connected(1);
    assert_eq!(world.core.timeout_reason(), None);
    let _short = world.start(&put("k"), &within(ms(400)));
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Deadline));
    assert_eq!(world.core.poll_timeout(), Some(world.now + ms(400)));
    world.advance(ms(400));
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Silence));
    assert_eq!(world.core.poll_timeout(), Some(world.now + ms(600)));
}
