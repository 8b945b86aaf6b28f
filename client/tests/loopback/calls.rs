//! One call, and what a server can do to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use etcdium_client::{
    CauseKind, Client, Error, ErrorKind, FrameError, GrpcCode, InvalidHead, InvalidRequest, Outcome,
    ProtocolError,
};

use crate::runtime::{Rt, until};
use crate::server::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Peer, REFUSED_STREAM, RST_STREAM, Server, field, good_head,
    put_response, range_response,
};

/// A server that answers its first request as told, and every other one well; the client does one put.
fn put(
    answer: impl Fn(&mut Peer, u32) -> io::Result<()> + Send + Sync + 'static,
) -> (Result<(), Error>, Client, Rt, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let server = Server::start(move |_, mut peer| {
        peer.hello()?;
        loop {
            let stream = peer.request()?;
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => answer(&mut peer, stream)?,
                _ => peer.respond(stream, &put_response())?,
            }
        }
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).max_response_size(1 << 20).build().unwrap();
    let result = rt.run(async { client.put("k", "v").await.map(drop) });
    (result, client, rt, requests)
}

/// The error of a put whose answer went wrong.
fn failed_put(answer: impl Fn(&mut Peer, u32) -> io::Result<()> + Send + Sync + 'static) -> Error {
    let (result, client, rt, requests) = put(answer);
    let error = result.unwrap_err();
    assert_eq!(requests.load(Ordering::SeqCst), 1, "a write must not be sent again: {error}");
    rt.run(async { client.put("k", "v").await }).expect("the client goes on");
    error
}

fn end(peer: &mut Peer, stream: u32, status: &str) -> io::Result<()> {
    peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &field("grpc-status", status))
}

#[test]
fn a_good_answer_is_taken_however_it_is_cut() {
    let (result, client, _, _) = put(|peer, stream| {
        peer.head(stream)?;
        for byte in put_response() {
            peer.send(DATA, 0, stream, &[byte])?;
            peer.send(DATA, 0, stream, &[])?;
        }
        end(peer, stream, "0")
    });
    result.unwrap();
    assert_eq!(client.revision().get(), 42);
    assert_eq!(client.cluster_id().map(|id| id.get()), Some(7));
}

#[test]
fn a_refused_stream_is_sent_again() {
    let (result, _, _, requests) = put(|peer, stream| peer.reset(stream, REFUSED_STREAM));
    result.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_reset_stream_leaves_the_outcome_of_a_write_unknown() {
    for code in [1, 2, 8, 99] {
        let error = failed_put(move |peer, stream| peer.reset(stream, code));
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    // A server that began to answer did not refuse, whatever it says.
    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.reset(stream, REFUSED_STREAM)
    });
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}

#[test]
fn answers_that_break_the_protocol_are_typed() {
    let wrong_type = [&[0x88][..], &field("content-type", "text/html")].concat();
    let error = failed_put(move |peer, stream| {
        peer.send(HEADERS, END_HEADERS, stream, &wrong_type)?;
        peer.send(DATA, END_STREAM, stream, b"<html>")
    });
    let invalid = InvalidHead::ContentType(Some("text/html".to_owned()));
    assert_eq!(error.kind(), &ErrorKind::Protocol(ProtocolError::Head(invalid)));
    assert_eq!(error.outcome(), Outcome::Unknown);

    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.send(DATA, END_STREAM, stream, &put_response())
    });
    assert_eq!(error.kind(), &ErrorKind::Protocol(ProtocolError::Head(InvalidHead::MissingStatus)));

    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.send(DATA, 0, stream, &put_response()[..9])?;
        end(peer, stream, "0")
    });
    assert_eq!(error.kind(), &ErrorKind::Protocol(ProtocolError::Truncated));

    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        end(peer, stream, "0")
    });
    assert_eq!(error.kind(), &ErrorKind::Protocol(ProtocolError::MissingMessage));

    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.send(DATA, 0, stream, &[1, 0, 0, 0, 0])?;
        end(peer, stream, "0")
    });
    assert_eq!(error.kind(), &ErrorKind::Protocol(ProtocolError::Frame(FrameError::Compressed)));
}

#[test]
fn a_huge_declared_length_is_refused_and_not_allocated() {
    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.send(DATA, 0, stream, &[0, 0xff, 0xff, 0xff, 0xff])
    });
    let expected = ErrorKind::ResponseTooLarge { size: u64::from(u32::MAX), limit: 1 << 20 };
    assert_eq!((error.kind(), error.outcome()), (&expected, Outcome::Unknown));
}

#[test]
fn statuses_outside_the_tables_keep_what_they_say() {
    let trailers_only = |status: &'static str, text: &'static str| {
        move |peer: &mut Peer, stream: u32| {
            let fields = [good_head(), field("grpc-status", status), field("grpc-message", text)].concat();
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
        }
    };
    let error = failed_put(trailers_only("99", "what%20now"));
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Status(GrpcCode::Unknown), Outcome::Unknown));
    assert_eq!(error.message(), Some("what now"));
    let error = failed_put(trailers_only("13", "oops"));
    assert_eq!(error.kind(), &ErrorKind::Status(GrpcCode::Internal));
}

#[test]
fn a_connection_lost_mid_answer_leaves_the_outcome_unknown() {
    let error = failed_put(|peer, stream| {
        peer.head(stream)?;
        peer.send_cut(DATA, 0, stream, &put_response(), 3)?;
        Err(io::ErrorKind::Other.into())
    });
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    assert!(error.to_string().contains("closed the connection"), "{error}");
}

#[test]
fn frames_that_break_http2_end_the_connection_and_are_named() {
    // A frame of 16 MiB, and a frame on stream 0 that belongs to none.
    for (kind, len, stream) in [(DATA, 0x00ff_ffff, 1), (HEADERS, 10, 0), (RST_STREAM, 4, 0)] {
        let error = failed_put(move |peer, _| {
            peer.send_cut(kind, END_HEADERS, stream, &vec![0; len], len.min(100))?;
            peer.wait_for_end()
        });
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
        assert!(error.to_string().contains("broke HTTP/2"), "{error}");
    }
}

#[test]
fn an_oversize_request_never_leaves() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        peer.serve(&put_response())
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    let error = rt.run(async { client.put("k", vec![0; 3 << 20]).await }).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RequestTooLarge { limit: 0x20_0000, .. }), "{error}");
    assert_eq!((error.outcome(), server.accepted()), (Outcome::NotApplied, 0));
}

#[test]
fn an_endpoint_can_be_chosen() {
    let answering = |value: &'static [u8]| {
        Server::start(move |_, mut peer| {
            peer.hello()?;
            peer.serve(&range_response(value))
        })
    };
    let (a, b) = (answering(b"a"), answering(b"b"));
    let rt = Rt::new();
    let client = rt.builder([a.endpoint(), b.endpoint()]).build().unwrap();
    rt.run(async {
        for (server, value) in [(&a, "a"), (&b, "b"), (&a, "a"), (&a, "a")] {
            let found = client.get("k").endpoint(server.endpoint()).await.unwrap();
            assert_eq!(found.kvs[0].value, value);
        }
        let error = client.get("k").endpoint("127.0.0.1:1").await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint));
        let error = client.get("k").endpoint("nonsense").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidRequest(InvalidRequest::Address(_))), "{error}");
    });
}

#[test]
fn a_dropped_call_resets_its_stream_and_leaves_nothing() {
    let (seen, frames) = mpsc::channel();
    let server = Server::start(move |_, mut peer| {
        peer.hello()?;
        loop {
            let frame = peer.next()?;
            if frame.kind != HEADERS {
                seen.send((frame.kind, frame.stream)).map_err(|_| io::ErrorKind::Other)?;
            }
        }
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        let call = rt.spawn({
            let client = client.clone();
            async move { client.put("k", "v").await }
        });
        until("the request arrives", || frames.try_recv() == Ok((DATA, 1))).await;
        assert_eq!((client.stats().in_flight, client.stats().ops), (1, 1));
        call.cancel().await;
        assert_eq!((client.stats().in_flight, client.stats().ops), (0, 0));
        until("the reset arrives", || frames.try_recv() == Ok((RST_STREAM, 1))).await;
    });
}

#[test]
fn a_timeout_names_the_endpoint_that_owes_the_answer() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        peer.wait_for_end()
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    let after = Duration::from_millis(150);
    let error = rt.run(async { client.put("k", "v").timeout(after).await }).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after }, Outcome::Unknown), "{error}");
    assert_eq!(error.causes()[0].cause.kind(), &CauseKind::NoAnswer);
    assert_eq!(error.endpoint(), Some(&*server.endpoint()));
}

#[test]
fn a_silent_member_is_left_for_another() {
    let silent = Server::start(|_, mut peer| {
        peer.hello()?;
        peer.request()?;
        peer.wait_for_end()
    });
    let good = Server::start(|_, mut peer| {
        peer.hello()?;
        peer.serve(&range_response(b"v"))
    });
    let rt = Rt::new();
    let endpoints = [silent.endpoint(), good.endpoint()];
    let short = Duration::from_millis(100);
    rt.run(async {
        let client = rt.builder(&endpoints[..]).silence(short, short).connect().await.unwrap();
        until("both are ready", || client.stats().ready_endpoints == 2).await;
        for _ in 0..4 {
            client.get("k").await.unwrap();
        }
        until("the silent one is given up", || client.stats().connections_lost > 0).await;
        assert!(client.stats().probes > 0);
    });
}
