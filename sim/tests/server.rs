//! An etcd inside of a process, as users have it: over real sockets, with faults on request.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use etcdium_sim::SimServer;
use etcdium_sim::model::{ClusterConfig, V3_4, Version};
use etcdium_smol::{Client, ErrorKind, EtcdError};

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

#[test]
fn it_starts_answers_and_stops() {
    let server = SimServer::start().unwrap();
    let address = server.addresses()[0];
    assert!(address.ip().is_loopback() && address.port() != 0);
    block_on(async {
        let client = client(&server).await;
        let put = client.put("k", "v").await.unwrap();
        assert_eq!(put.header.revision.get(), server.revision());
        assert_eq!(client.get("k").await.unwrap().kvs[0].value, "v");
    });
    drop(server);
    // The port is free again.
    drop(SimServer::builder().listen(address).version(V3_4).start().unwrap());
}

#[test]
fn members_die_and_come_back() {
    let server = SimServer::builder().members(3).start().unwrap();
    block_on(async {
        let client = client(&server).await;
        for member in 0..3 {
            client.put("k", format!("{member}")).await.unwrap();
            server.kill(member);
            assert!(!server.is_up(member));
            assert_eq!(
                client.get("k").timeout(Duration::from_secs(30)).await.unwrap().kvs[0].value,
                format!("{member}")
            );
            server.restart(member).unwrap();
            assert!(server.is_up(member));
        }
        server.kill(7);
        server.restart(7).unwrap();
    });
}

#[test]
fn connections_break_stall_and_are_refused() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        client.put("k", "v").await.unwrap();

        server.cut_connections(0);
        client.get("k").await.unwrap();
        assert_eq!(client.stats().connections_lost, 1);

        server.refuse_connections(0);
        client.get("k").await.unwrap();
        server.cut_connections(0);
        let error = client.get("k").timeout(Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. } | ErrorKind::Unavailable), "{error:?}");
        server.restart(0).unwrap();
        client.get("k").await.unwrap();

        server.pause_connections(0, true);
        let error = client.put("k", "v").timeout(Duration::from_millis(100)).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        server.pause_connections(0, false);
        client.put("k", "v").await.unwrap();
    });
}

#[test]
fn the_cluster_misbehaves_on_request() {
    let server = SimServer::builder().members(3).start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let first = client.put("k", "1").await.unwrap().header.revision;
        client.put("k", "2").await.unwrap();
        server.compact(server.revision());
        let error = client.get("k").revision(first).await.unwrap_err();
        assert_eq!(error.etcd(), Some(EtcdError::Compacted));

        server.set_leader(None);
        let error = client.put("k", "3").timeout(Duration::from_millis(300)).await.unwrap_err();
        assert!(error.is_timeout() || error.etcd() == Some(EtcdError::NoLeader), "{error:?}");
        server.set_leader(Some(1));
        client.put("k", "3").await.unwrap();

        let lagging = server.endpoints().swap_remove(2);
        server.set_lag(2, Duration::from_secs(600));
        client.put("k", "4").endpoint(&server.endpoints()[1]).await.unwrap();
        let stale = client.get("k").serializable().endpoint(lagging).await.unwrap();
        assert_eq!(stale.kvs[0].value, "3");
    });
}

/// A day passes for the server in an instant, and the lease is gone.
#[test]
fn time_passes_when_told() {
    let server = SimServer::builder().virtual_time().start().unwrap();
    let begin = server.now();
    block_on(async {
        let client = client(&server).await;
        let lease = client.grant(Duration::from_secs(86_400)).await.unwrap();
        client.put("k", "v").lease(lease.id).await.unwrap();
        server.advance(Duration::from_secs(86_000));
        assert_eq!(client.get("k").await.unwrap().count, 1);
        server.advance(Duration::from_secs(500));
        assert_eq!(client.get("k").await.unwrap().count, 0);
    });
    assert_eq!(server.now() - begin, Duration::from_secs(86_500));
}

/// One endpoint for three members, whoever of them is up.
#[test]
fn a_grpc_proxy_stands_in_front() {
    let server = SimServer::builder().members(3).grpc_proxy().start().unwrap();
    assert_eq!(server.endpoints().len(), 1);
    block_on(async {
        let client = client(&server).await;
        client.put("k", "v").await.unwrap();
        server.kill(0);
        assert!(!server.is_up(0));
        assert_eq!(client.get("k").timeout(Duration::from_secs(20)).await.unwrap().kvs[0].value, "v");
        assert_eq!(client.stats().connections_lost, 0);
        server.restart(0).unwrap();
        // Behind the proxy no revision of a future that is not there: it tells etcd's error as text only.
        let error = client.get("k").revision(99).await.unwrap_err();
        assert!(error.to_string().contains("required revision is a future revision"), "{error}");
    });
}

#[test]
fn clients_are_sent_away_and_members_are_not_capable() {
    let server = SimServer::builder().members(2).start().unwrap();
    block_on(async {
        let client = client(&server).await;
        client.put("k", "v").await.unwrap();
        let before = server.connections(0) + server.connections(1);
        assert!(before > 0);
        for member in 0..2 {
            server.go_away(member);
        }
        for _ in 0..20 {
            client.get("k").await.unwrap();
        }

        server.set_capable(1, false);
        let refused = client
            .get("k")
            .endpoint(&server.endpoints()[1])
            .timeout(Duration::from_millis(300))
            .await
            .unwrap_err();
        assert!(refused.is_timeout() || refused.to_string().contains("not capable"), "{refused}");
        server.set_capable(1, true);
        client.get("k").endpoint(&server.endpoints()[1]).await.unwrap();
    });
}

#[test]
fn backups_come_back() {
    let server = SimServer::start().unwrap();
    block_on(async {
        let client = client(&server).await;
        let first = client.put("k", "1").await.unwrap().header;
        let backup = server.backup();
        assert_eq!(backup.revision(), first.revision.get());
        client.put("k", "2").await.unwrap();

        server.restore(&backup, None);
        assert_eq!(server.revision(), backup.revision());
        let old = client.get("k").await.unwrap();
        assert_eq!(old.kvs[0].value, "1");
        assert_eq!(old.header.cluster_id, first.cluster_id);

        server.restore(&backup, Some(77));
        assert_eq!(server.with_cluster(|cluster, _| cluster.cluster_id()), 77);
    });
}

#[test]
fn settings_that_make_no_cluster_are_refused() {
    let config = ClusterConfig::default;
    let wrong = [
        ClusterConfig { members: 0, ..config() },
        ClusterConfig { members: 101, ..config() },
        ClusterConfig { members: 2, learners: 2, ..config() },
        ClusterConfig { version: Version { major: 3, minor: 9 }, ..config() },
        ClusterConfig { election_timeout: Duration::ZERO, ..config() },
        ClusterConfig { election_timeout: Duration::MAX, ..config() },
        ClusterConfig { commit_latency: Duration::MAX, ..config() },
        ClusterConfig { progress_interval: Duration::MAX, ..config() },
    ];
    for cluster in wrong {
        let error = SimServer::builder().cluster(cluster.clone()).start().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{cluster:?}");
    }
    let huge = ClusterConfig {
        max_request_bytes: usize::MAX,
        max_txn_ops: usize::MAX,
        quota: u64::MAX,
        members: 3,
        ..config()
    };
    let server = SimServer::builder().cluster(huge).virtual_time().start().unwrap();
    let begin = server.now();
    block_on(async {
        let client = client(&server).await;
        client.put("k", "v").await.unwrap();
        let lease = client.grant(Duration::from_secs(60)).await.unwrap();
        client.put("leased", "v").lease(lease.id).await.unwrap();
        server.set_lag(1, Duration::MAX);
        server.advance(Duration::MAX);
        assert!(server.now() - begin >= Duration::from_secs(86_400 * 365 * 100));
        server.advance(Duration::MAX);
        assert_eq!(client.get("leased").endpoint(&server.endpoints()[0]).await.unwrap().count, 0);
    });
}
