//! Sockets that come late, not at all, or lead to the wrong place.

use std::io;
use std::time::Duration;

use etcdium_client::{CauseKind, ConnectError, ErrorKind, Outcome, WrongServer};

use crate::world::{GOAWAY, Socket, World, put_response};

#[test]
fn a_socket_may_be_handed_over_before_it_is_connected() {
    let (mut world, put) = World::new();
    let socket = Socket::new();
    socket.buffers().connected = false;
    world.attach_this(socket.clone());
    world.ready();
    assert_eq!((world.interest(), socket.buffers().to_server.len()), ((true, true), 0));
    socket.buffers().connected = true;
    world.ready();
    assert_eq!(world.interest(), (true, false));
    socket.hello();
    world.ready();
    let streams = socket.requests();
    socket.respond(streams[0], &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
    assert!(world.down.is_empty());
}

#[test]
fn a_socket_that_cannot_be_connected_is_told_with_its_first_operation() {
    let (mut world, put) = World::new();
    let socket = Socket::new();
    socket.buffers().error = Some(io::ErrorKind::ConnectionRefused);
    world.attach_this(socket);
    assert_eq!(world.down, [CauseKind::Connect(io::ErrorKind::ConnectionRefused)]);
    assert_eq!((world.closed.len(), world.wanted.len()), (1, 0));
    // The put waits for the next attempt, and gets it.
    let socket = world.next_attempt();
    socket.hello();
    world.ready();
    socket.respond(socket.requests()[0], &put_response());
    world.ready();
    world.core.take(&put).unwrap().unwrap();
}

#[test]
fn the_owner_tells_what_keeps_it_from_connecting() {
    let (mut world, _) = World::new();
    let began = world.now;
    let connection = world.wanted.pop().unwrap();
    world.transport.connect_failed(connection, ConnectError::Resolve(io::ErrorKind::NotFound.into()));
    world.settle();
    assert_eq!(world.down, [CauseKind::Resolve]);
    world.sleep();
    assert!(world.now > began && world.now <= began + Duration::from_millis(50));
    let second = world.wanted.pop().unwrap();
    // Late news of the first attempt concerns nobody.
    world.transport.connect_failed(connection, io::Error::from(io::ErrorKind::Other));
    world.transport.ready(connection.slot());
    world.transport.ready(17);
    world.settle();
    assert_eq!(world.down.len(), 1);
    world.transport.connect_failed(second, io::Error::from(io::ErrorKind::AddrNotAvailable));
    world.settle();
    assert_eq!(world.down[1], CauseKind::Connect(io::ErrorKind::AddrNotAvailable));
    assert!(world.closed.is_empty() && world.abandoned.is_empty());
}

#[test]
fn a_socket_that_does_not_come_in_time_is_no_longer_wanted() {
    let (mut world, _) = World::with(|config| config.dial_timeout(Duration::from_secs(2)));
    let connection = world.wanted[0];
    world.sleep_until(world.now + Duration::from_secs(2));
    assert_eq!((&world.down[..], &world.abandoned[..]), (&[CauseKind::DialTimeout][..], &[connection][..]));
    // Now it comes, and is given back.
    world.transport.attach(world.now, connection, Socket::new());
    world.settle();
    assert_eq!(world.closed, [connection]);
    assert_eq!(world.transport.sockets().count(), 0);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (mut world, put) = World::with(|config| {
        config.dial_timeout(Duration::from_secs(2)).timeout(Some(Duration::from_secs(2)))
    });
    let socket = world.attach();
    assert_eq!(world.interest(), (true, false));
    world.sleep_until(world.now + Duration::from_secs(2));
    assert_eq!((world.down.as_slice(), world.closed.len()), (&[CauseKind::DialTimeout][..], 1));
    assert!(world.abandoned.is_empty() && socket.requests().is_empty());
    let error = world.core.take(&put).unwrap().unwrap_err();
    assert_eq!((error.is_timeout(), error.outcome()), (true, Outcome::NotApplied));
}

#[test]
fn a_wrong_server_is_named() {
    for (words, wrong) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], WrongServer::Http1),
        (&[0x15, 3, 1, 0, 2, 2, 70], WrongServer::TlsAlert { level: 2, description: 70 }),
        (b"", WrongServer::SilentClose),
    ] {
        let (mut world, _) = World::new();
        let socket = world.attach();
        socket.buffers().to_client.extend(words);
        socket.buffers().eof = words.is_empty();
        world.ready();
        assert_eq!(world.down, [CauseKind::WrongServer(wrong)]);
        assert_eq!(world.closed.len(), 1);
    }
}

#[test]
fn a_closed_core_says_goodbye_and_gives_the_socket_back() {
    let (mut world, socket, put) = World::connected();
    world.core.close(world.now);
    world.settle();
    assert!(socket.frames().iter().any(|(kind, ..)| *kind == GOAWAY));
    assert!(world.closed.len() == 1 && world.core.is_drained());
    assert_eq!(world.core.take(&put).unwrap().unwrap_err().kind(), &ErrorKind::Closed);
    assert_eq!(world.transport.poll_timeout(&world.core), None);
}

#[test]
fn an_attempt_of_a_closed_core_is_abandoned() {
    let (mut world, _) = World::new();
    world.core.close(world.now);
    world.settle();
    assert_eq!((world.abandoned.len(), world.closed.len()), (1, 0));
}

#[test]
fn what_came_since_the_last_run_is_no_time_to_sleep() {
    let (mut world, _) = World::new();
    let sleepless = |world: &World| world.transport.poll_timeout(&world.core) <= Some(world.now);
    assert!(!sleepless(&world));
    let connection = world.wanted.pop().unwrap();
    world.transport.connect_failed(connection, io::Error::from(io::ErrorKind::Other));
    assert!(sleepless(&world));
    world.settle();
    assert!(!sleepless(&world));
    world.sleep();
    let connection = world.wanted.pop().unwrap();
    world.transport.attach(world.now, connection, Socket::new());
    assert!(sleepless(&world));
    world.settle();
    assert!(!sleepless(&world));
    world.transport.ready(connection.slot());
    assert!(sleepless(&world));
    world.settle();
    assert!(!sleepless(&world));
}
