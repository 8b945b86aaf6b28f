//! Watches of the whole client over real sockets, against an etcd inside of this process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use etcdium_sim::SimServer;
use etcdium_smol::{Client, ListItem, Revision, WatchError, WatchErrorKind, WatchItem, Watcher};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(Duration::from_secs(60)).await;
        panic!("the test does not end");
    };
    smol::block_on(smol::future::or(future, late))
}

async fn client(server: &SimServer) -> Client {
    etcdium_smol::builder().endpoints(server.endpoints()).connect().await.unwrap()
}

/// The values of the next revision.
async fn values(watcher: &mut Watcher) -> Vec<String> {
    match watcher.next().await.unwrap().unwrap() {
        WatchItem::Events { events, .. } => {
            events.iter().map(|event| event.kv.value_str().unwrap().to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_come_whole_and_in_order_and_the_watch_can_be_cancelled() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let mut watcher = client.watch("k").prefix().prev_kv().await.unwrap();
        client.put("k1", "a").await.unwrap();
        client.put("other", "b").await.unwrap();
        let both = [etcdium_smol::Put::new("k1", "c"), etcdium_smol::Put::new("k2", "d")];
        client.txn().and_then(both).await.unwrap();
        assert_eq!(values(&mut watcher).await, ["a"]);
        assert_eq!(values(&mut watcher).await, ["c", "d"]);
        assert_eq!(watcher.next_revision().unwrap().get(), server.revision() + 1);
        let at = watcher.request_progress().await.unwrap();
        assert_eq!(at.get(), server.revision());
        watcher.cancel().await;
        assert_eq!(client.stats().watches, 0);
        assert_eq!(client.stats().watch_streams, 0);
    });
}

#[test]
fn nothing_is_lost_over_broken_connections_and_dead_members() {
    let server = SimServer::builder().members(3).start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let mut watcher = client.watch("k").connection_notices().await.unwrap();
        for round in 0..6 {
            // It may fail on a connection that is cut, and be applied all the same.
            let _ = client.put("k", format!("{round}")).timeout(Duration::from_secs(20)).await;
            server.cut_connections(round % 3);
            server.kill((round + 1) % 3);
            server.restart((round + 1) % 3).unwrap();
        }
        while client.put("k", "end").await.is_err() {}
        let history = client.watch("k").from_revision(Revision::new(1)).await.unwrap();
        assert_eq!(until_end(&mut watcher).await, until_end(&mut { history }).await);
    });
}

/// Revisions and values up to the end.
async fn until_end(watcher: &mut Watcher) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, value)| value != "end") {
        if let WatchItem::Events { events, .. } = watcher.next().await.unwrap().unwrap() {
            let value = |event: &etcdium_smol::Event| event.kv.value_str().unwrap().to_owned();
            seen.extend(events.iter().map(|event| (event.revision(), value(event))));
        }
    }
    seen
}

#[test]
fn a_compacted_start_is_told() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        for n in 0..5 {
            client.put("k", format!("{n}")).await.unwrap();
        }
        server.compact(4);
        let mut watcher = client.watch("k").from_revision(Revision::new(2)).await.unwrap();
        let error: WatchError = watcher.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), &WatchErrorKind::Compacted { oldest: Revision::new(4) });
        assert!(watcher.next().await.is_none());
        let mut watcher = client.watch("k").from_revision(Revision::new(4)).await.unwrap();
        assert_eq!(values(&mut watcher).await, ["2"]);
    });
}

#[test]
fn a_slow_reader_is_parked_and_loses_nothing() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let mut slow = client.watch("k").max_buffer(2_000).await.unwrap();
        let mut quick = client.watch("k").await.unwrap();
        for n in 0..100 {
            client.put("k", format!("{n}")).await.unwrap();
            assert_eq!(values(&mut quick).await, [format!("{n}")]);
        }
        for n in 0..100 {
            assert_eq!(values(&mut slow).await, [format!("{n}")]);
        }
    });
}

#[test]
fn a_position_in_the_middle_of_what_came_together_is_exact() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let first = client.put("k", "0").await.unwrap().header.revision;
        for n in 1..20 {
            client.put("k", format!("{n}")).await.unwrap();
        }
        // The history comes in one response. Past half of it the rest is left.
        let mut watcher = client.watch("k").from_revision(first).await.unwrap();
        for n in 0..10 {
            assert_eq!(values(&mut watcher).await, [format!("{n}")]);
            assert_eq!(watcher.next_revision().unwrap().get(), first.get() + n + 1);
        }
        let from = watcher.next_revision().unwrap();
        watcher.cancel().await;
        assert_eq!(client.stats().watches, 0);
        let mut watcher = client.watch("k").from_revision(from).max_buffer(1_000).await.unwrap();
        for n in 10..20 {
            assert_eq!(values(&mut watcher).await, [format!("{n}")]);
        }
        // All is read, so that the watch is not behind, whether it was parked or not.
        assert_eq!(watcher.request_progress().await.unwrap().get(), server.revision());
    });
}

#[test]
fn a_closed_client_ends_its_watches() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let mut watcher = client.watch("k").await.unwrap();
        client.close();
        assert!(watcher.next().await.is_none());
        assert_eq!(client.watch("k").await.unwrap_err().kind(), &WatchErrorKind::Closed);
    });
}

#[test]
fn a_follower_reads_the_state_again_when_its_past_is_compacted() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        for n in 0..2_500 {
            client.put(format!("k{n:04}"), "v").await.unwrap();
        }
        let mut follower = client.list_and_watch("k").await.unwrap();
        assert_eq!(follower.take_snapshot().len(), 2_500);
        client.delete("k0000").await.unwrap();
        let item = follower.next().await.unwrap().unwrap();
        assert!(matches!(item, ListItem::Events { .. }));
        assert!(item.into_events()[0].is_delete());

        // The server is away while its past is compacted.
        server.kill(0);
        server.restart(0).unwrap();
        // A write on a connection that breaks is not repeated; a read finds the next one.
        client.get("k0001").timeout(Duration::from_secs(20)).await.unwrap();
        client.put("k0001", "w").await.unwrap();
        let (mut gone, mut put) = (0, 0);
        client.delete("k0002").await.unwrap();
        server.compact(server.revision());
        while gone < 1 {
            for event in follower.next().await.unwrap().unwrap().into_events() {
                gone += usize::from(event.is_delete() && event.kv.key == "k0002");
                put += usize::from(event.is_modify() && event.kv.key == "k0001");
            }
        }
        assert_eq!((gone, put), (1, 1));
        assert_eq!(follower.revision().get(), server.revision());
    });
}
