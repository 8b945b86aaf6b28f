//! Calls, and sockets that move them in pieces, stop or fail meanwhile.

use std::io;
use std::time::Duration;

use etcdium_client::proto::etcdserverpb::PutRequest;
use etcdium_client::{CauseKind, ErrorKind, Outcome};
use etcdium_core::CallOptions;

use crate::world::{PING, Socket, World, put_response, range_response};

#[test]
fn calls_share_a_connection() {
    let (mut world, socket, first) = World::connected();
    let others: Vec<_> = (0..100).map(|_| world.put()).collect();
    let streams = socket.requests();
    assert_eq!(streams.len(), 100);
    // In whatever order they are answered.
    streams.iter().rev().for_each(|stream| socket.respond(*stream, &put_response()));
    socket.respond(1, &put_response());
    world.ready();
    for put in others.iter().chain([&first]) {
        assert_eq!(world.core.take(put).unwrap().unwrap().header.unwrap().revision, 42);
    }
    assert_eq!((world.closed.len(), world.core.stats().retries), (0, 0));
}

#[test]
fn bytes_may_come_and_go_in_pieces() {
    let (mut world, put) = World::new();
    let socket = Socket::new();
    (socket.buffers().piece, socket.buffers().room) = (1, 0);
    world.attach_this(socket.clone());
    socket.hello();
    // The greetings and one request take a few hundred bytes.
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        socket.buffers().room = 1;
        world.ready();
        streams.extend(socket.requests());
    }
    assert_eq!((streams.len(), world.interest()), (1, (true, false)));
    socket.respond(streams[0], &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
}

#[test]
fn nothing_is_written_before_there_is_room() {
    let (mut world, socket, _) = World::connected();
    socket.buffers().room = 5;
    let _ = world.put();
    assert_eq!((world.interest(), socket.buffers().to_server.len()), ((true, true), 5));
    // Room alone is no reason to try: the poller tells when it is there.
    socket.buffers().room = usize::MAX;
    let _ = world.put();
    assert_eq!(socket.buffers().to_server.len(), 5);
    world.ready();
    assert_eq!((world.interest(), socket.requests()), ((true, false), vec![3, 5]));
}

#[test]
fn a_stream_that_buffers_is_flushed_until_it_has_let_go() {
    let (mut world, socket, _) = World::connected();
    (socket.buffers().kept, socket.buffers().room) = (Some(Vec::new()), 0);
    let _ = world.put();
    assert_eq!((world.interest(), socket.requests()), ((true, true), vec![]));
    socket.buffers().room = usize::MAX;
    world.ready();
    assert_eq!((world.interest(), socket.requests()), ((true, false), vec![3]));
}

#[test]
fn a_large_answer_is_read_to_its_end() {
    // More than one turn reads, and less than the window of a stream.
    let (mut world, socket, _) = World::connected();
    let get = world.get();
    socket.respond(socket.requests()[0], &range_response(1_000_000));
    world.ready();
    assert_eq!(world.core.take(&get).unwrap().unwrap().kvs[0].value.len(), 1_000_000);
    assert_eq!(socket.buffers().to_client.len(), 0);
}

#[test]
fn a_large_request_is_written_as_there_is_room() {
    let (mut world, socket, _) = World::connected();
    socket.buffers().room = 0;
    let request = PutRequest { key: "k".into(), value: vec![1; 1_500_000].into(), ..Default::default() };
    let put = world.core.start(world.now, &request, &CallOptions::new());
    world.settle();
    let mut wakes = 0;
    let stream = loop {
        if let Some(stream) = socket.requests().pop() {
            break stream;
        }
        assert!(world.interest().1 && wakes < 100, "{wakes}");
        wakes += 1;
        socket.buffers().room = 100_000;
        world.ready();
    };
    assert!(wakes >= 15, "{wakes}");
    socket.respond(stream, &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
}

#[test]
fn nothing_more_is_read_while_what_it_asks_for_cannot_be_written() {
    const PINGS: usize = 10_000;
    let (mut world, socket, _) = World::connected();
    socket.buffers().room = 0;
    let request = PutRequest { key: "k".into(), value: vec![1; 1_500_000].into(), ..Default::default() };
    let _ = world.core.start(world.now, &request, &CallOptions::new());
    world.settle();
    (0..PINGS).for_each(|_| socket.ping());
    world.ready();
    assert_eq!(world.interest(), (false, true));
    let left = socket.buffers().to_client.len();
    world.ready();
    assert!(left > 0 && socket.buffers().to_client.len() == left);
    socket.buffers().room = usize::MAX;
    world.ready();
    assert_eq!((world.interest(), socket.buffers().to_client.len()), ((true, false), 0));
    assert_eq!(socket.frames().iter().filter(|(kind, ..)| *kind == PING).count(), PINGS);
}

#[test]
fn a_server_that_leaves_mid_call_ends_a_write_and_moves_a_read() {
    let (mut world, socket, put) = World::connected();
    let get = world.get();
    assert_eq!(socket.requests(), [3]);
    socket.buffers().eof = true;
    world.ready();
    let error = world.core.take(&put).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!((&world.down[..], world.closed.len()), (&[CauseKind::ClosedByServer][..], 1));
    assert!(world.core.take(&get).is_none());

    let socket = world.next_attempt();
    socket.hello();
    world.ready();
    socket.respond(socket.requests()[0], &range_response(1));
    world.ready();
    world.core.take(&get).unwrap().unwrap();
}

#[test]
fn a_socket_that_fails_is_named() {
    let (mut world, socket, _) = World::connected();
    socket.buffers().error = Some(io::ErrorKind::ConnectionReset);
    world.ready();
    assert_eq!(world.down, [CauseKind::Io(io::ErrorKind::ConnectionReset)]);

    // Also when it fails in writing.
    let (mut world, socket, _) = World::connected();
    socket.buffers().error = Some(io::ErrorKind::BrokenPipe);
    let _ = world.put();
    assert_eq!(world.down, [CauseKind::Io(io::ErrorKind::BrokenPipe)]);
}

#[test]
fn a_server_that_falls_silent_is_found_by_the_clock() {
    let (mut world, socket, put) = World::connected();
    world.sleep_until(world.now + Duration::from_secs(1));
    assert_eq!(socket.requests().len(), 1, "a health probe");
    world.sleep_until(world.now + Duration::from_secs(2));
    assert_eq!((&world.down[..], world.closed.len()), (&[CauseKind::Silent][..], 1));
    let error = world.core.take(&put).unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[test]
fn a_call_is_given_up_on_its_stream() {
    const RST_STREAM: u8 = 3;
    let (mut world, socket, put) = World::connected();
    world.core.cancel(world.now, put.key());
    world.settle();
    assert_eq!(socket.frames().iter().map(|frame| frame.0).collect::<Vec<_>>(), [RST_STREAM]);
    // Its answer was on its way.
    socket.respond(1, &put_response());
    let other = world.put();
    socket.respond(3, &put_response());
    world.ready();
    world.core.take(&other).unwrap().unwrap();
    assert!(world.down.is_empty());
}
