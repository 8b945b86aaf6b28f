//! The beginning and the end of clients and of the runtimes under them.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use etcdium_client::{ErrorKind, InvalidRequest};

use crate::runtime::{Rt, until};
use crate::server::{DATA, GOAWAY, HEADERS, Server, put_response};

fn good() -> Server {
    Server::start(|_, mut peer| {
        peer.hello()?;
        peer.serve(&put_response())
    })
}

fn silent() -> Server {
    Server::start(|_, mut peer| {
        peer.hello()?;
        peer.wait_for_end()
    })
}

#[test]
fn a_built_client_connects_with_its_first_call() {
    let server = good();
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        assert_eq!((client.endpoints()[0].status.clone(), server.accepted()), (None, 0));
        client.put("k", "v").await.unwrap();
    });
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_client_closes_twice_and_refuses_calls() {
    let server = silent();
    let rt = Rt::new();
    rt.run(async {
        let client = rt.builder(server.endpoint()).connect().await.unwrap();
        let call = rt.spawn({
            let client = client.clone();
            async move { client.put("k", "v").no_timeout().await }
        });
        until("the call is open", || client.stats().in_flight == 1).await;
        client.close();
        client.close();
        assert!(client.is_closed());
        assert_eq!(call.await.unwrap_err().kind(), &ErrorKind::Closed);
        assert_eq!(client.get("k").await.unwrap_err().kind(), &ErrorKind::Closed);
        client.set_endpoints("127.0.0.1:1").unwrap();
        assert_eq!((client.stats().ops, client.stats().connections), (0, 0));
    });
}

#[test]
fn calls_end_when_the_runtime_is_shut_down() {
    let server = silent();
    let rt = Rt::new();
    let client = rt.run(rt.builder(server.endpoint()).connect()).unwrap();
    let mut call = Box::pin(client.put("k", "v").no_timeout().into_future());
    rt.run(async {
        assert!(smol::future::poll_once(&mut call).await.is_none());
        until("the call is open", || client.stats().in_flight == 1).await;
    });
    rt.shut_down();
    assert_eq!(rt.run(call).unwrap_err().kind(), &ErrorKind::Closed);
    for _ in 0..3 {
        let error = rt.run(async { client.put("k", "v").await }).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Closed);
    }
    assert!(client.is_closed());
    assert_eq!(client.stats().ops, 0);
    let error = rt.builder(server.endpoint()).build().unwrap_err();
    let reason = "the runtime was shut down";
    assert_eq!(error.kind(), &ErrorKind::InvalidRequest(InvalidRequest::Value { option: "runtime", reason }));
}

#[test]
fn the_last_clone_says_goodbye() {
    let (seen, frames) = mpsc::channel();
    let server = Server::start(move |_, mut peer| {
        peer.hello()?;
        loop {
            match peer.next() {
                Ok(frame) if frame.kind == HEADERS => {}
                Ok(frame) if frame.kind == DATA => peer.respond(frame.stream, &put_response())?,
                Ok(frame) => seen.send(Some(frame.kind)).map_err(|_| io::ErrorKind::Other)?,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    return seen.send(None).map_err(|_| io::ErrorKind::Other.into());
                }
            }
        }
    });
    let rt = Rt::new();
    rt.run(async {
        let client = rt.builder(server.endpoint()).connect().await.unwrap();
        let clone = client.clone();
        drop(client);
        clone.put("k", "v").await.unwrap();
        // A call keeps its client.
        let call = clone.put("k", "v").into_future();
        drop(clone);
        call.await.unwrap();
        let mut said = Vec::new();
        until("the connection ends", || {
            said.extend(frames.try_iter());
            said.last() == Some(&None)
        })
        .await;
        assert_eq!(said, [Some(GOAWAY), None]);
    });
}

#[test]
fn endpoints_can_be_replaced_under_calls() {
    let (first, second) = (good(), good());
    let rt = Rt::new();
    rt.run(async {
        let client = rt.builder(first.endpoint()).connect().await.unwrap();
        client.put("k", "v").await.unwrap();
        client.set_endpoints(second.endpoint()).unwrap();
        client.put("k", "v").await.unwrap();
        assert_eq!(client.endpoints()[0].address.as_str(), second.endpoint());
        until("the old connection is dropped", || client.stats().connections == 1).await;
        assert!(client.set_endpoints("nonsense").is_err());
        client.put("k", "v").await.unwrap();
    });
    assert_eq!((first.accepted(), second.accepted()), (1, 1));
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let server = Server::start(|number, mut peer| {
        peer.hello()?;
        // Each connection but the third lasts for one answer.
        let stream = peer.request()?;
        peer.respond(stream, &put_response())?;
        if number < 2 { Err(io::ErrorKind::Other.into()) } else { peer.serve(&put_response()) }
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        for lost in 1..=2 {
            client.put("k", "v").await.unwrap();
            until("the loss is noticed", || client.stats().connections_lost == lost).await;
        }
        for _ in 0..5 {
            client.put("k", "v").timeout(Duration::from_secs(5)).await.unwrap();
        }
    });
    assert_eq!(server.accepted(), 3);
}
