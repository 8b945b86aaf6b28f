//! Streams over sockets that somebody else owns.

use std::time::Duration;

use etcdium_client::proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, SnapshotRequest, SnapshotResponse,
};
use etcdium_client::proto::streams::{LeaseKeepAlive, Snapshot};
use etcdium_client::{CauseKind, ErrorKind, Outcome};
use etcdium_core::{CallOptions, Stream, StreamItem};

use crate::world::{DATA, END_STREAM, HEADERS, PING, Socket, World, put_response};

const RST_STREAM: u8 = 3;

fn renewal(id: i64) -> LeaseKeepAliveRequest {
    LeaseKeepAliveRequest { id }
}

fn renewed(id: i64) -> LeaseKeepAliveResponse {
    LeaseKeepAliveResponse { id, ..Default::default() }
}

/// A connection on which nothing but a stream of renewals is open, as the second stream of HTTP/2.
fn renewing() -> (World, Socket, Stream<LeaseKeepAlive>) {
    let (mut world, socket, put) = World::connected();
    socket.respond(1, &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
    let stream = world.core.open(world.now, &renewal(1), &CallOptions::new());
    world.settle();
    let [(HEADERS, _, 3), (DATA, 0, 3)] = socket.frames()[..] else { panic!("no stream that stays open") };
    (world, socket, stream)
}

fn send(world: &mut World, stream: &Stream<LeaseKeepAlive>, id: i64) {
    world.core.send(world.now, stream, &renewal(id)).unwrap();
    world.settle();
}

#[test]
fn messages_go_both_ways_until_both_have_finished() {
    let (mut world, socket, stream) = renewing();
    socket.head(3);
    for id in 1..100 {
        socket.message(3, &renewed(id));
        world.ready();
        assert_eq!(world.core.next(&stream), Some(StreamItem::Message(renewed(id))));
        assert_eq!(world.core.next(&stream), None);
        send(&mut world, &stream, id + 1);
        assert_eq!(socket.frames(), [(DATA, 0, 3)]);
    }
    world.core.finish(world.now, stream.key());
    world.settle();
    assert_eq!(socket.frames(), [(DATA, END_STREAM, 3)]);
    socket.message(3, &renewed(100));
    socket.end(3);
    world.ready();
    assert_eq!(world.core.next(&stream), Some(StreamItem::Message(renewed(100))));
    assert_eq!(world.core.next(&stream), Some(StreamItem::End(Ok(()))));
    assert_eq!((socket.frames(), world.core.stats().connects), (vec![], 1));
}

#[test]
fn a_stream_given_up_is_reset_and_the_connection_goes_on() {
    let (mut world, socket, stream) = renewing();
    socket.head(3);
    world.ready();
    world.core.cancel_stream(world.now, stream.key());
    world.settle();
    assert_eq!(socket.frames(), [(RST_STREAM, 0, 3)]);
    socket.message(3, &renewed(1));
    socket.end(3);
    let put = world.put();
    socket.respond(5, &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
    assert!(world.down.is_empty());
}

#[test]
fn a_stream_ends_with_its_connection() {
    let (mut world, socket, stream) = renewing();
    socket.head(3);
    socket.message(3, &renewed(1));
    socket.buffers().eof = true;
    world.ready();
    assert_eq!(world.core.next(&stream), Some(StreamItem::Message(renewed(1))));
    let Some(StreamItem::End(Err(error))) = world.core.next(&stream) else { panic!("no end") };
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    assert_eq!(world.down, [CauseKind::ClosedByServer]);
    // What is said to a stream that is over goes nowhere, also on the next connection.
    send(&mut world, &stream, 2);
    let socket = world.next_attempt();
    socket.hello();
    world.ready();
    assert!(socket.frames().iter().all(|(kind, ..)| *kind != DATA));
}

#[test]
fn an_idle_stream_is_pinged_and_never_probed() {
    let (mut world, socket, stream) = renewing();
    socket.head(3);
    socket.message(3, &renewed(1));
    world.ready();
    for _ in 0..3 {
        world.sleep_until(world.now + Duration::from_secs(10));
        let frames = socket.frames();
        assert!(
            frames.contains(&(PING, 0, 0)) && frames.iter().all(|(kind, ..)| *kind == PING),
            "{frames:?}"
        );
        socket.pong();
        world.ready();
    }
    assert_eq!((world.core.stats().probes, world.core.stats().connects), (0, 1));
    // Until nobody answers.
    world.sleep_until(world.now + Duration::from_secs(20));
    assert_eq!(world.down, [CauseKind::PingTimeout]);
    assert!(matches!(world.core.next(&stream), Some(StreamItem::Message(_))));
    assert!(matches!(world.core.next(&stream), Some(StreamItem::End(Err(_)))));
}

#[test]
fn a_large_stream_is_read_ahead_of_who_takes_it() {
    const PARTS: usize = 200;
    let (mut world, socket, _) = World::connected();
    let stream: Stream<Snapshot> =
        world.core.open(world.now, &SnapshotRequest::default(), &CallOptions::new());
    world.settle();
    assert_eq!(socket.requests(), [3]);
    let part = SnapshotResponse { blob: vec![7; 32 * 1024].into(), ..Default::default() };
    socket.head(3);
    for _ in 0..PARTS {
        socket.message(3, &part);
        world.ready();
    }
    socket.end(3);
    world.ready();
    assert!(world.core.buffered_bytes(stream.key()) >= PARTS * 32 * 1024);
    for _ in 0..PARTS {
        assert_eq!(world.core.next(&stream), Some(StreamItem::Message(part.clone())));
    }
    assert_eq!(world.core.next(&stream), Some(StreamItem::End(Ok(()))));
}
