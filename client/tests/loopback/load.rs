//! Much at once: large messages, and more cancellations than HTTP/2 engines like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use std::{future::IntoFuture, pin::Pin};

use crate::runtime::{Rt, until};
use crate::server::{DATA, END_STREAM, RST_STREAM, Server, put_response, range_response};

#[test]
fn large_messages_go_both_ways_while_the_server_reads_nothing_else() {
    const SIZE: usize = 1_900_000;
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        loop {
            let stream = peer.request()?;
            peer.respond(stream, &range_response(&vec![7; SIZE]))?;
        }
    });
    let rt = Rt::new();
    let client = rt.builder(server.endpoint()).build().unwrap();
    rt.run(async {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                rt.spawn(async move {
                    let found = client.get(vec![1; SIZE]).await.unwrap();
                    assert!(
                        found.kvs[0].value.len() == SIZE && found.kvs[0].value.iter().all(|byte| *byte == 7)
                    );
                })
            })
            .collect();
        for call in calls {
            call.await;
        }
    });
    assert_eq!(server.accepted(), 1);
}

#[test]
fn ten_thousand_calls_dropped_at_once_leave_the_connection_alive() {
    const STORM: usize = 10_000;
    let (requests, resets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let answer = Arc::new(AtomicBool::new(false));
    let server = Server::start({
        let (requests, resets, answer) = (requests.clone(), resets.clone(), answer.clone());
        move |_, mut peer| {
            peer.hello()?;
            let mut open = Vec::new();
            loop {
                let frame = peer.next()?;
                match frame.kind {
                    DATA if frame.flags & END_STREAM != 0 => {
                        requests.fetch_add(1, Ordering::SeqCst);
                        open.push(frame.stream);
                    }
                    RST_STREAM => {
                        resets.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {}
                }
                // Then also those that were reset meanwhile, as if their answers had been on their way.
                if answer.load(Ordering::SeqCst) {
                    for stream in open.drain(..) {
                        peer.respond(stream, &put_response())?;
                    }
                }
            }
        }
    });
    let rt = Rt::new();
    let never = Duration::from_secs(3600);
    let client = rt.builder(server.endpoint()).max_in_flight(STORM + 1).silence(never, never);
    let client = client.no_timeout().build().unwrap();
    rt.run(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut survivor = client.put("survivor", "v").into_future();
        assert!(Pin::new(&mut survivor).poll(&mut cx).is_pending());
        for round in 1..=3 {
            let mut storm: Vec<_> = (0..STORM).map(|_| client.put("k", "v").into_future()).collect();
            for call in &mut storm {
                assert!(Pin::new(call).poll(&mut cx).is_pending());
            }
            until("all requests arrive", || requests.load(Ordering::SeqCst) == round * STORM + 1).await;
            drop(storm);
            until("all resets arrive", || resets.load(Ordering::SeqCst) == round * STORM).await;
        }
        answer.store(true, Ordering::SeqCst);
        client.put("k", "v").await.unwrap();
        survivor.await.unwrap();
        client.put("k", "v").await.unwrap();
        assert_eq!((client.stats().ops, client.stats().in_flight), (0, 0));
    });
    assert_eq!((client.stats().connections_lost, server.accepted()), (0, 1));
}
