//! Thousands of calls at once, and calls that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdium_sim::runtime::{Profile, Range};
use futures_lite::future::or;

use crate::world::{World, all, seeds};

#[test]
fn thousands_of_calls_at_once() {
    seeds(2, |seed| {
        let world = World::new(seed, 1, Profile { in_order: seed % 2 == 0, ..Profile::default() });
        let client = world.client();
        world.run(&client, |client, runtime| async move {
            let calls = (0..5_000_u32).map(|n| {
                let client = client.clone();
                async move { client.put(n.to_be_bytes().as_slice(), "").await.unwrap().header.revision }
            });
            let mut revisions = all(&runtime, calls.collect()).await;
            revisions.sort_unstable();
            revisions.dedup();
            assert_eq!(revisions.len(), 5_000, "each put has a revision of its own");
            assert_eq!(client.get("").from_key().count_only().await.unwrap().count, 5_000);
        });
        let stats = client.stats();
        assert_eq!((stats.connections_lost, stats.connects, stats.retries), (0, 1, 0), "{stats:?}");
    });
}

/// Calls are dropped at any moment of their life; those left alone are answered, on the same connection.
#[test]
fn calls_are_given_up_at_any_moment() {
    seeds(60, |seed| {
        let profile = Profile { latency: Range::micros(10, 3_000), ..Profile::draw(seed) };
        let world = World::new(seed, 1, profile);
        let client = world.builder().timeout(Duration::from_secs(120)).build().unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = answered.clone();
        world.run(&client, move |client, runtime| async move {
            let calls = (0..300_u64).map(|n| {
                let (client, sleeper, count) = (client.clone(), runtime.clone(), count.clone());
                async move {
                    let call = async {
                        client.put(format!("k{n}"), "v").await.unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    };
                    if n % 3 == 0 {
                        call.await;
                    } else {
                        or(call, sleeper.sleep(Duration::from_micros(n * 40))).await;
                    }
                }
            });
            all(&runtime, calls.collect()).await;
            client.get("k1").await.unwrap();
        });
        assert!(answered.load(Ordering::Relaxed) >= 100);
        let stats = client.stats();
        assert_eq!((stats.connections_lost, stats.connects, stats.in_flight), (0, 1, 0), "{stats:?}");
    });
}
