//! Servers that send GOAWAY: what they accepted goes on, what they did not is sent again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcdium_client::{ErrorKind, Outcome};

use crate::runtime::{Rt, until};
use crate::server::{Peer, Server, put_response};

/// A server whose first connection goes by `script`, once a request has come; later ones answer everything.
fn leaving(
    script: impl Fn(&mut Peer, u32) -> io::Result<()> + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let server = Server::start(move |number, mut peer| {
        peer.hello()?;
        loop {
            let stream = peer.request()?;
            count.fetch_add(1, Ordering::SeqCst);
            match number {
                0 => script(&mut peer, stream)?,
                _ => peer.respond(stream, &put_response())?,
            }
        }
    });
    (server, requests)
}

#[test]
fn a_write_above_the_last_stream_is_sent_again() {
    for stays in [true, false] {
        let (server, requests) = leaving(move |peer, _| {
            peer.goaway(0, 0, "")?;
            if stays { peer.wait_for_end() } else { Err(io::ErrorKind::Other.into()) }
        });
        let rt = Rt::new();
        let client = rt.builder(server.endpoint()).build().unwrap();
        rt.run(async { client.put("k", "v").await }).unwrap();
        assert_eq!((requests.load(Ordering::SeqCst), server.accepted()), (2, 2));
    }
}

#[test]
fn a_write_the_server_accepted_is_answered_on_the_old_connection() {
    let (server, requests) = leaving(|peer, stream| {
        peer.goaway(0x7fff_ffff, 0, "graceful")?;
        peer.goaway(stream, 0, "graceful")?;
        peer.respond(stream, &put_response())?;
        peer.wait_for_end()
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        client.put("k", "v").await.unwrap();
        assert_eq!((requests.load(Ordering::SeqCst), client.stats().retries), (1, 0));
        client.put("k", "v").await.unwrap();
    });
    assert_eq!((requests.load(Ordering::SeqCst), server.accepted()), (2, 2));
}

#[test]
fn a_write_the_server_accepted_and_dropped_has_an_unknown_outcome() {
    // h2 must not count what lies at or below the last stream as refused, whatever ended the connection.
    for code in [0, 2, 11] {
        let (server, requests) = leaving(move |peer, stream| {
            peer.goaway(stream, code, "bye")?;
            Err(io::ErrorKind::Other.into())
        });
        let rt = Rt::new();
        let client = rt.builder(server.endpoint()).build().unwrap();
        let error = rt.run(async { client.put("k", "v").await }).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{error}");
        rt.run(async { client.put("k", "v").await }).unwrap();
    }
}

#[test]
fn no_new_call_goes_to_a_server_that_is_leaving() {
    let (server, requests) = leaving(|peer, stream| {
        peer.goaway(stream, 0, "")?;
        // Never answered: the connection stays as long as its call.
        peer.wait_for_end()
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        let waiting = rt.spawn({
            let client = client.clone();
            async move { client.put("k", "v").await }
        });
        until("the first connection is left", || client.stats().connections_lost == 1).await;
        for _ in 0..10 {
            client.put("k", "v").await.unwrap();
        }
        assert_eq!((client.stats().retries, client.stats().in_flight), (0, 1));
        waiting.cancel().await;
        until("the old connection is dropped", || client.stats().connections == 1).await;
    });
    assert_eq!((requests.load(Ordering::SeqCst), server.accepted()), (11, 2));
}

#[test]
fn too_many_pings_are_recognised() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        let stream = peer.request()?;
        peer.goaway(stream, 11, "too_many_pings")
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        let error = client.put("k", "v").await.unwrap_err();
        assert!(error.to_string().contains("too many pings"), "{error}");
    });
}
