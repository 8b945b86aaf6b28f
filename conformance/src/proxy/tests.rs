//! Every fault against a server that sends back what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use super::Direction::{ToClient, ToServer};
use super::{Counts, Flow, Proxy};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to come.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets, until the test process ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 1 << 16];
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    if client.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn proxy() -> Proxy {
    Proxy::start(echo()).unwrap()
}

fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn echoes(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).unwrap();
    expects(client, text);
}

fn expects(client: &mut TcpStream, text: &[u8]) {
    let mut got = vec![0; text.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, text);
}

/// Nothing comes, and no end either.
fn is_silent(client: &mut TcpStream) {
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// What still comes, and whether RST follows it.
fn rest(client: &mut TcpStream) -> (Vec<u8>, bool) {
    let (mut all, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return (all, false),
            Ok(count) => all.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, true),
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_reset(client: &mut TcpStream) {
    assert_eq!(rest(client), (Vec::new(), true));
}

fn wait(proxy: &Proxy, wanted: impl Fn(&Counts) -> bool) -> Counts {
    proxy.wait_for(PATIENCE, wanted).unwrap()
}

#[test]
fn bytes_pass_and_are_counted() {
    let proxy = proxy();
    let (mut one, mut two) = (client(&proxy), client(&proxy));
    echoes(&mut one, b"one");
    echoes(&mut two, b"second");
    let counts = wait(&proxy, |counts| counts.delivered(ToClient) == 9);
    assert_eq!((counts.accepted, counts.open, counts.reset), (2, 2, 0));
    assert_eq!((counts.delivered(ToServer), counts.swallowed(ToServer)), (9, 0));

    // Megabytes, more than any buffer holds, and then an end in good order.
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i / 7) as u8).collect();
    let mut writer = one.try_clone().unwrap();
    let sent = large.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let (got, reset) = rest(&mut one);
    sender.join().unwrap();
    assert!(got == large && !reset);
    drop(two);
    wait(&proxy, |counts| counts.open == 0);
}

#[test]
fn all_connections_are_reset_at_once() {
    let proxy = proxy();
    let mut clients = [client(&proxy), client(&proxy)];
    clients.iter_mut().for_each(|client| echoes(client, b"x"));
    proxy.reset();
    clients.iter_mut().for_each(is_reset);
    assert_eq!((proxy.counts().open, proxy.counts().reset), (0, 2));
    echoes(&mut client(&proxy), b"again");
}

#[test]
fn the_server_sees_the_reset_too() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap()).unwrap();
    let _client = client(&proxy);
    let (mut accepted, _) = server.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    wait(&proxy, |counts| counts.open == 1);
    proxy.reset();
    is_reset(&mut accepted);
}

#[test]
fn connections_end_in_good_order() {
    let proxy = proxy();
    let mut client = client(&proxy);
    echoes(&mut client, b"x");
    proxy.close();
    assert_eq!(rest(&mut client), (Vec::new(), false));
}

#[test]
fn new_connections_are_refused() {
    let proxy = proxy();
    let mut old = client(&proxy);
    echoes(&mut old, b"x");
    proxy.refuse();
    let error = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    echoes(&mut old, b"goes on");
    proxy.disconnect();
    is_reset(&mut old);
    assert!(TcpStream::connect(proxy.address()).is_err());
    proxy.accept().unwrap();
    proxy.accept().unwrap();
    echoes(&mut client(&proxy), b"again");
}

#[test]
fn a_pause_loses_nothing() {
    let proxy = proxy();
    let mut old = client(&proxy);
    echoes(&mut old, b"x");
    proxy.pause();
    let mut new = client(&proxy);
    old.write_all(b"old").unwrap();
    new.write_all(b"new").unwrap();
    wait(&proxy, |counts| counts.accepted == 2);
    is_silent(&mut old);
    is_silent(&mut new);
    proxy.heal().unwrap();
    expects(&mut old, b"old");
    expects(&mut new, b"new");
}

#[test]
fn a_black_hole_swallows_and_keeps_the_connection() {
    let proxy = proxy();
    let mut old = client(&proxy);
    echoes(&mut old, b"x");
    let mut idle = client(&proxy);
    echoes(&mut idle, b"y");
    proxy.blackhole();
    let mut new = client(&proxy);
    old.write_all(b"into").unwrap();
    new.write_all(b"nothing").unwrap();
    wait(&proxy, |counts| counts.swallowed(ToServer) == 11);
    is_silent(&mut old);
    is_silent(&mut new);
    // Only what lost nothing can go on.
    proxy.heal().unwrap();
    is_reset(&mut old);
    is_reset(&mut new);
    echoes(&mut idle, b"goes on");
}

#[test]
fn one_way_is_cut() {
    let proxy = proxy();
    let mut client = client(&proxy);
    echoes(&mut client, b"x");
    proxy.set_flow(ToClient, Flow::Hold);
    client.write_all(b"late").unwrap();
    wait(&proxy, |counts| counts.delivered(ToServer) == 5);
    is_silent(&mut client);
    proxy.set_flow(ToClient, Flow::Pass);
    expects(&mut client, b"late");

    proxy.set_flow(ToClient, Flow::Swallow);
    client.write_all(b"never").unwrap();
    wait(&proxy, |counts| counts.swallowed(ToClient) == 5);
    is_silent(&mut client);
    proxy.set_flow(ToClient, Flow::Pass);
    is_reset(&mut client);

    proxy.set_flow(ToServer, Flow::Swallow);
    let mut client = self::client(&proxy);
    client.write_all(b"unheard").unwrap();
    wait(&proxy, |counts| counts.swallowed(ToServer) == 7);
    is_silent(&mut client);
}

#[test]
fn an_end_does_not_get_through_a_cut() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap()).unwrap();
    let mut client = client(&proxy);
    let (accepted, _) = server.accept().unwrap();
    client.write_all(b"x").unwrap();
    wait(&proxy, |counts| counts.delivered(ToServer) == 1);
    proxy.set_flow(ToClient, Flow::Swallow);
    drop((accepted, server));
    is_silent(&mut client);
    // Of what is sent now the server knows nothing, and the client does not learn that.
    client.write_all(b"y").unwrap();
    is_silent(&mut client);
    client.write_all(b"z").unwrap();
    is_silent(&mut client);
    assert_eq!(proxy.counts().open, 1);
    proxy.heal().unwrap();
    is_reset(&mut client);
}

#[test]
fn a_connection_is_cut_in_the_middle() {
    let proxy = proxy();
    let (mut client, mut other) = (client(&proxy), client(&proxy));
    echoes(&mut client, b"x");
    echoes(&mut other, b"y");
    proxy.cut_after(ToClient, 3);
    client.write_all(b"abcdef").unwrap();
    assert_eq!(rest(&mut client), (b"abc".to_vec(), true));
    // Once.
    echoes(&mut other, b"a longer text");
    proxy.cut_after(ToServer, 0);
    other.write_all(b"z").unwrap();
    is_reset(&mut other);
    assert_eq!(proxy.counts().delivered(ToServer), 2 + 6 + 13);
}

#[test]
fn bytes_take_their_time() {
    let proxy = proxy();
    let mut client = client(&proxy);
    echoes(&mut client, b"x");
    let latency = Duration::from_millis(60);
    proxy.set_latency(ToServer, latency);
    proxy.set_latency(ToClient, latency);
    let begin = Instant::now();
    echoes(&mut client, b"slow");
    assert!(begin.elapsed() >= 2 * latency);
    // The end comes after the bytes, no matter how long they take.
    client.write_all(b"last").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), (b"last".to_vec(), false));
    assert!(begin.elapsed() >= 4 * latency);
}

#[test]
fn bandwidth_is_limited_in_one_direction() {
    let proxy = proxy();
    let mut client = client(&proxy);
    echoes(&mut client, b"x");
    proxy.set_bandwidth(ToClient, NonZeroU64::new(100_000));
    let begin = Instant::now();
    echoes(&mut client, &[7; 20_000]);
    // But for the first slice.
    assert!(begin.elapsed() >= Duration::from_millis(190), "{:?}", begin.elapsed());
    proxy.set_bandwidth(ToClient, None);
    echoes(&mut client, &[8; 200_000]);
}

#[test]
fn a_server_that_is_not_there_is_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(gone).unwrap();
    is_reset(&mut client(&proxy));
}

#[test]
fn nothing_is_left_of_it() {
    let proxy = proxy();
    let address = proxy.address();
    let (mut open, mut held) = (client(&proxy), client(&proxy));
    echoes(&mut open, b"x");
    echoes(&mut held, b"y");
    proxy.pause();
    drop(proxy);
    assert_eq!(rest(&mut open), (Vec::new(), false));
    assert_eq!(rest(&mut held), (Vec::new(), false));
    assert!(TcpStream::connect(address).is_err());
    drop(TcpListener::bind(address).unwrap());
}
