//! Slow clients of healthy servers: however slow the client is, it must not take the server for silent.

use std::time::Duration;

use etcdium_sim::runtime::{Profile, Range, Reactor};

use crate::world::{World, all, seeds};

/// 256 calls are always in flight, and the client needs up to tens of milliseconds for each poll.
#[test]
fn a_slow_client_does_not_blame_the_server() {
    seeds(15, |seed| {
        let profile = Profile {
            poll_cost: Range::micros(100, 2_000 + 1_000 * (seed % 20)),
            io_cost: Range::micros(10, 500),
            ..Profile::draw(seed)
        };
        let world = World::new(seed, 1, profile);
        let client = world.builder().timeout(Duration::from_secs(500)).build().unwrap();
        world.run(&client, |client, runtime| async move {
            let callers = (0..256).map(|n| {
                let client = client.clone();
                async move {
                    for _ in 0..2 {
                        client.put(format!("k{n}"), "v").await.unwrap();
                    }
                }
            });
            all(&runtime, callers.collect()).await;
        });
        let stats = client.stats();
        assert_eq!((stats.connections_lost, stats.connects), (0, 1), "{stats:?}");
    });
}

/// The client's processor stops now and then for up to seconds, as in a machine that is paused or overbooked.
#[test]
fn a_client_that_stops_does_not_blame_the_server() {
    seeds(60, |seed| {
        let reactor = if seed % 2 == 0 { Reactor::Eager } else { Reactor::Every(61) };
        let profile = Profile {
            poll_cost: Range::micros(50, 1_000),
            pause: 5,
            pauses: Range::micros(100_000, 4_000_000),
            reactor,
            ..Profile::draw(seed)
        };
        let world = World::new(seed, 1, profile);
        let client = world.builder().timeout(Duration::from_secs(500)).build().unwrap();
        world.run(&client, |client, runtime| async move {
            let callers = (0..20).map(|n| {
                let client = client.clone();
                async move {
                    for _ in 0..10 {
                        client.put(format!("k{n}"), "v").await.unwrap();
                    }
                }
            });
            all(&runtime, callers.collect()).await;
        });
        let stats = client.stats();
        // A client that stands still while it connects may find its own time for that over.
        assert_eq!(stats.connections_lost, 0, "{stats:?}");
    });
}

/// Requests that take the wire many seconds leave the server nothing to say meanwhile; that they get on is enough.
#[test]
fn a_slow_wire_does_not_make_the_server_silent() {
    seeds(20, |seed| {
        let profile = Profile { latency: Range::micros(10_000, 20_000), buffer: 64, ..Profile::default() };
        let world = World::new(seed, 1, profile);
        let client = world.builder().timeout(Duration::from_secs(500)).build().unwrap();
        world.run(&client, |client, _| async move {
            client.put("large", vec![7; 60_000]).await.unwrap();
        });
        let stats = client.stats();
        assert!(world.sim.elapsed() > Duration::from_secs(10), "the wire is not slow");
        assert_eq!((stats.connections_lost, stats.connects), (0, 1), "{stats:?}");
    });
}
