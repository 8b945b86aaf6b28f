//! Streams through the whole driver, against servers made by hand: on real sockets, with tasks and timers.
//!
//! They are not part of the client's API by themselves, so these tests talk to the core directly.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::io;
use std::sync::{Arc, Mutex};

use etcdium_core::{CallOptions, Error, ErrorKind, GrpcCode, Outcome, Stream, StreamItem};
use etcdium_proto::StreamMethod;
use etcdium_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcdium_proto::streams::LeaseKeepAlive;
use prost::Message;

use self::runtime::{Rt, until};
use self::server::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, RST_STREAM, Server, field, grpc, put_response,
};
use crate::Client;
use crate::driver::Bell;

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../../tests/loopback/runtime.rs"]
mod runtime;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../../tests/loopback/server.rs"]
mod server;

type Renewals = Stream<LeaseKeepAlive>;

/// What an application layer does with the core, in a few lines.
impl Client {
    fn open<S: StreamMethod>(&self, request: &S::Request) -> Stream<S> {
        let shared = self.shared();
        let stream = shared.lock().core.open(shared.runtime.now(), request, &CallOptions::new());
        shared.bell.ring(Bell::CALLER);
        stream
    }

    fn send(&self, stream: &Renewals, id: i64) {
        let shared = self.shared();
        shared.lock().core.send(shared.runtime.now(), stream, &renewal(id)).unwrap();
        shared.bell.ring(Bell::CALLER);
    }

    fn finish(&self, stream: &Renewals) {
        let shared = self.shared();
        shared.lock().core.finish(shared.runtime.now(), stream.key());
        shared.bell.ring(Bell::CALLER);
    }

    fn cancel(&self, stream: &Renewals) {
        let shared = self.shared();
        shared.lock().core.cancel_stream(shared.runtime.now(), stream.key());
        shared.bell.ring(Bell::CALLER);
    }

    /// The id in the next message, or the end.
    async fn next(&self, stream: &Renewals) -> Result<i64, Result<(), Error>> {
        let mut item = None;
        until("a message or the end", || {
            item = self.shared().lock().core.next(stream);
            item.is_some()
        })
        .await;
        match item.unwrap() {
            StreamItem::Message(LeaseKeepAliveResponse { id, .. }) => Ok(id),
            StreamItem::End(end) => Err(end),
        }
    }
}

fn renewal(id: i64) -> LeaseKeepAliveRequest {
    LeaseKeepAliveRequest { id }
}

fn renewed(id: i64) -> Vec<u8> {
    grpc(&LeaseKeepAliveResponse { id, ..Default::default() })
}

/// The id in a frame that holds one renewal, if it is no empty one.
fn id_in(frame: &Frame) -> Option<i64> {
    let message = frame.payload.get(5..)?;
    Some(LeaseKeepAliveRequest::decode(message).unwrap().id)
}

fn end(peer: &mut Peer, stream: u32, status: &str) -> io::Result<()> {
    peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &field("grpc-status", status))
}

/// Answers each renewal of each stream, and ends the stream when its request ends.
fn renew(peer: &mut Peer) -> io::Result<()> {
    loop {
        let frame = peer.next()?;
        match frame.kind {
            HEADERS => peer.head(frame.stream)?,
            DATA => {
                if let Some(id) = id_in(&frame) {
                    peer.send(DATA, 0, frame.stream, &renewed(id))?;
                }
                if frame.flags & END_STREAM != 0 {
                    end(peer, frame.stream, "0")?;
                }
            }
            _ => {}
        }
    }
}

fn client(server: &Server) -> (Rt, Client) {
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    (rt, client)
}

#[test]
fn messages_go_both_ways_on_many_streams_of_one_connection() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        renew(&mut peer)
    });
    let (rt, client) = client(&server);
    rt.run(async {
        // The first are opened before there is a connection, and say all at once.
        let streams: Vec<Renewals> = (0..50).map(|id| client.open(&renewal(id))).collect();
        for (id, stream) in (0..).zip(&streams) {
            client.send(stream, 100 + id);
            if id % 2 == 0 {
                client.finish(stream);
            }
        }
        for (id, stream) in (0..).zip(&streams) {
            assert_eq!(client.next(stream).await, Ok(id));
            assert_eq!(client.next(stream).await, Ok(100 + id));
            if id % 2 == 1 {
                client.send(stream, 200 + id);
                assert_eq!(client.next(stream).await, Ok(200 + id));
                client.finish(stream);
            }
            assert_eq!(client.next(stream).await, Err(Ok(())));
        }
    });
    let stats = client.stats();
    assert_eq!((server.accepted(), stats.streams, stats.in_flight, stats.probes), (1, 0, 0, 0));
}

#[test]
fn the_servers_status_ends_a_stream_and_what_was_open_of_its_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let frames = seen.clone();
    let server = Server::start(move |_, mut peer| {
        peer.hello()?;
        let first = peer.next()?;
        peer.head(first.stream)?;
        peer.send(DATA, 0, first.stream, &renewed(1))?;
        end(&mut peer, first.stream, "14")?;
        loop {
            let frame = peer.next()?;
            frames.lock().unwrap().push((frame.kind, frame.flags, frame.payload.len()));
        }
    });
    let (rt, client) = client(&server);
    rt.run(async {
        let stream: Renewals = client.open(&renewal(1));
        assert_eq!(client.next(&stream).await, Ok(1));
        let error = client.next(&stream).await.unwrap_err().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Status(GrpcCode::Unavailable));
        until("the end of the request", || seen.lock().unwrap().last() == Some(&(DATA, END_STREAM, 0))).await;
    });
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_cancelled_stream_is_reset() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let resets = Arc::new(Mutex::new(Vec::new()));
    let seen = resets.clone();
    let server = Server::start(move |_, mut peer| {
        peer.hello()?;
        loop {
            let frame = peer.next()?;
            match frame.kind {
                HEADERS if frame.stream == 1 => peer.head(1)?,
                RST_STREAM => seen.lock().unwrap().push((frame.stream, frame.payload)),
                _ => {}
            }
        }
    });
    let (rt, client) = client(&server);
    rt.run(async {
        let streams: Vec<Renewals> = (0..2).map(|id| client.open(&renewal(id))).collect();
        until("both are open", || client.stats().in_flight == 2).await;
        streams.iter().for_each(|stream| client.cancel(stream));
        until("both are reset", || resets.lock().unwrap().len() == 2).await;
    });
    let mut resets = resets.lock().unwrap().clone();
    resets.sort_unstable();
    assert_eq!(resets, [(1, CANCEL.to_vec()), (3, CANCEL.to_vec())]);
    assert_eq!((server.accepted(), client.stats().streams), (1, 0));
}

#[test]
fn a_server_that_leaves_in_good_order_keeps_its_streams() {
    let server = Server::start(|number, mut peer| {
        peer.hello()?;
        if number > 0 {
            return peer.serve(&put_response());
        }
        let first = peer.next()?.stream;
        peer.head(first)?;
        peer.goaway(first, 0, "graceful")?;
        peer.send(DATA, 0, first, &renewed(0))?;
        loop {
            let frame = peer.next()?;
            if let Some(id) = id_in(&frame).filter(|_| frame.kind == DATA) {
                peer.send(DATA, 0, first, &renewed(id))?;
            }
        }
    });
    let (rt, client) = client(&server);
    rt.run(async {
        let stream: Renewals = client.open(&renewal(1));
        assert_eq!(client.next(&stream).await, Ok(0));
        assert_eq!(client.next(&stream).await, Ok(1));
        // New calls go to a new connection.
        client.put("k", "v").await.unwrap();
        client.send(&stream, 2);
        assert_eq!(client.next(&stream).await, Ok(2));
        assert_eq!((server.accepted(), client.stats().connections), (2, 2));
        client.cancel(&stream);
        until("the old connection is let go", || client.stats().connections == 1).await;
    });
}

#[test]
fn a_connection_that_breaks_ends_its_streams_after_what_came() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        let first = peer.next()?.stream;
        let frame = peer.next()?;
        assert_eq!((frame.kind, id_in(&frame)), (DATA, Some(1)));
        peer.head(first)?;
        peer.send(DATA, 0, first, &renewed(1))?;
        peer.send_cut(DATA, 0, first, &renewed(2), 3)
    });
    let (rt, client) = client(&server);
    rt.run(async {
        let stream: Renewals = client.open(&renewal(1));
        assert_eq!(client.next(&stream).await, Ok(1));
        let error = client.next(&stream).await.unwrap_err().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
        assert_eq!(error.endpoint(), Some(&*server.endpoint()));
    });
}

/// Many small frames that nobody takes must not look like an attack, and none may be lost.
#[test]
fn a_flood_of_tiny_messages_is_kept_for_a_slow_reader() {
    const MESSAGES: i64 = 50_000;
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        let first = peer.next()?.stream;
        peer.head(first)?;
        // The windows of a stream are larger than all of it.
        for id in 0..MESSAGES {
            peer.send(DATA, 0, first, &renewed(id))?;
        }
        end(&mut peer, first, "0")?;
        peer.wait_for_end()
    });
    let (rt, client) = client(&server);
    rt.run(async {
        let stream: Renewals = client.open(&renewal(1));
        until("all has come", || client.stats().in_flight == 0 && client.stats().calls_opened == 1).await;
        for id in 0..MESSAGES {
            assert_eq!(client.next(&stream).await, Ok(id));
        }
        assert_eq!(client.next(&stream).await, Err(Ok(())));
    });
    assert_eq!(server.accepted(), 1);
}
