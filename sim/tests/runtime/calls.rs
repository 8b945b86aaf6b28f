//! Every kind of call, on every kind of machine, with healthy servers: exact answers, and no connection is ever lost.

use std::time::Duration;

use etcdium_client::{Client, Compare, Error, EtcdError, Get, Put};
use etcdium_sim::runtime::{Profile, SimRuntime};

use crate::world::{World, all, seeds};

async fn one_of_each(client: Client) -> Result<(), Error> {
    let first = client.put("a/1", "one").await?.header.revision;
    client.put("a/2", "two").await?;
    assert_eq!(&client.get("a/1").await?.kvs[0].value[..], b"one");
    let put = client.put("a/1", "eins").prev_kv().await?;
    assert_eq!(&put.prev_kv.unwrap().value[..], b"one");
    let all = client.get("a/").prefix().serializable().await?;
    assert_eq!((all.kvs.len(), all.count), (2, 2));
    assert_eq!(&client.get("a/1").revision(first).await?.kvs[0].value[..], b"one");
    let txn = client
        .txn()
        .when([Compare::value("a/1").equal("eins"), Compare::version("a/1").equal(2)])
        .and_then([Put::new("a/3", "three")])
        .or_else([Put::new("a/3", "never")])
        .await?;
    assert!(txn.succeeded);
    let txn = client.txn().when([Compare::version("a/3").equal(0)]).or_else([Get::new("a/3")]).await?;
    assert!(!txn.succeeded);
    let last = client.delete("a/").prefix().await?;
    assert_eq!(last.deleted, 3);
    client.compact(last.header.revision).await?;
    let old = client.get("a/1").revision(first).await.unwrap_err();
    assert_eq!(old.etcd(), Some(EtcdError::Compacted));
    let refused = client.put("", "no key").await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::EmptyKey));
    Ok(())
}

fn mixed(seed: u64) -> (World, Client) {
    let world = World::new(seed, 1, Profile::draw(seed));
    // Slow machines may take their time.
    let client = world.builder().timeout(Duration::from_secs(120)).build().unwrap();
    let fan = move |client: Client, runtime: SimRuntime| async move {
        one_of_each(client.clone()).await.unwrap();
        let calls = (0..40).map(|n| {
            let client = client.clone();
            async move {
                let (key, value) = (format!("k{n}"), "v".repeat(n * 37));
                client.put(key.as_str(), value.clone()).await.unwrap();
                let read = client.get(key.as_str()).await.unwrap();
                assert_eq!(&read.kvs[0].value[..], value.as_bytes());
            }
        });
        all(&runtime, calls.collect()).await;
        assert_eq!(client.get("k").prefix().count_only().await.unwrap().count, 40);
    };
    world.run(&client, fan);
    let stats = client.stats();
    assert_eq!((stats.connections_lost, stats.connects, stats.retries), (0, 1, 0), "{stats:?}");
    (world, client)
}

#[test]
fn calls_are_answered_on_any_machine() {
    seeds(120, |seed| drop(mixed(seed)));
}

#[test]
fn equal_seeds_give_equal_bytes() {
    seeds(10, |seed| {
        let transcript = || mixed(seed).0.sim.transcript();
        assert_eq!(transcript(), transcript());
        assert_ne!(transcript(), mixed(seed + 1_000_000).0.sim.transcript());
    });
}

#[test]
fn large_answers_pass_small_buffers() {
    seeds(20, |seed| {
        let world = World::new(seed, 1, Profile { buffer: 3_000, ..Profile::draw(seed) });
        let client = world.builder().timeout(Duration::from_secs(500)).build().unwrap();
        world.run(&client, |client, _| async move {
            let value = vec![7; 700_000];
            client.put("large", value.clone()).await.unwrap();
            assert_eq!(client.get("large").await.unwrap().kvs[0].value, value);
        });
        assert_eq!(client.stats().connections_lost, 0);
    });
}
