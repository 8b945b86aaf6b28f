//! Nothing there, or something that is no etcd: `connect` says so, and says what.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use etcdium_client::{AddressErrorKind, CauseKind, Error, ErrorKind, InvalidRequest, WrongServer};

use crate::runtime::Rt;
use crate::server::{GOAWAY, SETTINGS, Server};

/// Why none of these endpoints can be connected.
fn failure(endpoints: &[String]) -> (Error, Vec<CauseKind>) {
    let rt = Rt::new();
    let builder = rt.builder(endpoints).dial_timeout(Duration::from_millis(300));
    let error = rt.run(builder.connect()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    let causes = error.causes().iter().map(|cause| cause.cause.kind().clone()).collect();
    (error, causes)
}

fn wrong(server: &Server) -> WrongServer {
    let (error, causes) = failure(&[server.endpoint()]);
    match causes.as_slice() {
        [CauseKind::WrongServer(wrong)] => wrong.clone(),
        _ => panic!("{error}"),
    }
}

#[test]
fn malformed_endpoints_are_refused_before_anything_is_done() {
    let rt = Rt::new();
    for (endpoint, part) in [
        ("", AddressErrorKind::Empty),
        ("ftp://a:1", AddressErrorKind::Scheme),
        ("a", AddressErrorKind::MissingPort),
        ("a:99999", AddressErrorKind::Port),
        ("a:1,b:2", AddressErrorKind::List),
        ("http://u:p@a:1", AddressErrorKind::UserInfo),
    ] {
        let error = rt.builder(["127.0.0.1:1", endpoint]).build().unwrap_err();
        match error.kind() {
            ErrorKind::InvalidRequest(InvalidRequest::Address(wrong)) => {
                assert_eq!(wrong.kind(), part, "{error}")
            }
            _ => panic!("{endpoint:?}: {error}"),
        }
    }
    let error = rt.builder(Vec::<String>::new()).build().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints));
    let error = rt.builder("https://127.0.0.1:1").build().unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[test]
fn every_endpoint_that_cannot_be_reached_is_named_with_its_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut endpoints = vec![closed.to_string()];
    let mut expected = vec![CauseKind::Connect(io::ErrorKind::ConnectionRefused)];
    if cfg!(unix) {
        endpoints.push("unix:///nowhere/at/all".to_owned());
        expected.push(CauseKind::Connect(io::ErrorKind::NotFound));
    }
    let (error, causes) = failure(&endpoints);
    assert_eq!(causes, expected);
    for endpoint in endpoints {
        assert!(error.to_string().contains(&endpoint), "{error}");
    }
}

#[test]
fn a_server_that_says_nothing_fails_at_the_dial_timeout() {
    let server = Server::saying(b"");
    let start = Instant::now();
    let (error, causes) = failure(&[server.endpoint()]);
    assert_eq!(causes, [CauseKind::DialTimeout], "{error}");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn the_first_bytes_name_the_wrong_server() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], WrongServer::Http1),
        (&[21, 3, 3, 0, 2, 2, 70], WrongServer::TlsAlert { level: 2, description: 70 }),
        (b"SSH-2.0-OpenSSH_9.2\r\n", WrongServer::Garbage(b"SSH-2.0-O".to_vec())),
        (&[0xff; 100_000], WrongServer::Garbage(vec![0xff; 9])),
        (
            &[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            WrongServer::NotSettings { frame_type: GOAWAY },
        ),
    ] {
        assert_eq!(wrong(&Server::saying(bytes)), expected);
    }
}

#[test]
fn a_server_that_hangs_up_at_once_is_named() {
    let reads_first = Server::start(|_, mut peer| {
        let mut preface = [0; 24];
        io::Read::read_exact(&mut peer.stream, &mut preface)
    });
    let (error, causes) = failure(&[reads_first.endpoint()]);
    // What was sent meanwhile makes the system reset the connection instead of ending it.
    let reset = CauseKind::Io(io::ErrorKind::ConnectionReset);
    let silent = CauseKind::WrongServer(WrongServer::SilentClose);
    assert!(causes == [silent] || causes == [reset], "{error}");
    let half = Server::start(|_, mut peer| {
        peer.send_cut(SETTINGS, 0, 0, &[], 0)?;
        io::Write::write_all(&mut peer.stream, &[0, 0])
    });
    // Its SETTINGS came: it is an HTTP/2 server, and the next attempt may go better.
    let rt = Rt::new();
    let _ = rt.run(rt.builder(half.endpoint()).connect());
}
