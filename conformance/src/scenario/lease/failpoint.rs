//! Leases on servers that are slowed down from within.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcdium_client::{ErrorKind, Grant, LeaseId, LeaseState, Revoke, TimeToLive};
use futures_lite::future::{or, zip};

use super::kept::renewed;
use crate::etcd::ClusterConfig;
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, failed, join_all, some,
};

pub(super) const CASES: &[Scenario] = &[
    // The failpoint came with 3.7.
    Scenario::new("LEASE-031", Topology::Own(slow), "renewals that a follower passes on slowly", |ctx| {
        Box::pin(lease_031(ctx))
    })
    .needs(&[Need::Client, Need::Since(3, 7)]),
    Scenario::new("LEASE-041", Topology::Own(slow), "the leader changes while leases are looked up", |ctx| {
        Box::pin(lease_041(ctx))
    })
    .needs(&[Need::Since(3, 5)]),
];

fn slow() -> ClusterConfig {
    ClusterConfig::three().failpoints()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Three of the case's five forms; the two without a leader are LEASE-031.no-leader. A follower gives up after 7 s and says
/// that the request timed out, but the client never waits for that: it asks again long before, elsewhere if it can, until
/// its own time-out.
async fn lease_031(ctx: Context) -> Result<(), Failure> {
    const POINT: &str = "beforeServeHTTPLeaseRenew";
    const STREAMS: (&str, &str) = ("grpc_method", "LeaseKeepAlive");
    let leader = ctx.leader().await?;
    let follower = (leader + 1) % 3;
    let subject = ctx.open(&Setup::new([&ctx.endpoints()[follower]]))?;
    let client = subject.client()?;
    let id = client.grant(secs(60)).await?.id;
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(60));
    // Kept by a client that knows of another member as well, and is with the follower now.
    let other = ctx.open(&Setup::new([&ctx.endpoints()[follower]]))?;
    let mut lease = other.client()?.lease(secs(9)).await?;
    let LeaseState::Alive { until } = lease.changed().await else {
        return Err(Failure::new("a new lease is not alive"));
    };
    let until = renewed(&ctx, &mut lease, until).await?;
    other.client()?.set_endpoints([&ctx.endpoints()[follower], &ctx.endpoints()[leader]])?;

    ctx.member(leader, |member| member.set_failpoint(POINT, r#"sleep("60s")"#)).await?;
    // Given up while it is passed on: the server hears of it.
    let renewal = async { Err(Failure::new(format!("renewed: {:?}", client.keep_alive_once(id).await))) };
    or(renewal, ctx.reached(leader, POINT)).await?;
    // Not answered in its time.
    let slow = async { client.keep_alive(id).timeout(secs(3)).await };
    let (slow, lives) = zip(slow, renewed(&ctx, &mut lease, until)).await;
    lives?;
    let error = failed(slow)?;
    check_eq!(error.kind(), &ErrorKind::Timeout { after: secs(3) });

    ctx.member(leader, |member| member.clear_failpoint(POINT)).await?;
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(60));
    lease.revoke().await?;
    client.revoke(id).await?;
    ctx.eventually(secs(20), "no stream is left", || async {
        let begun = ctx.metric(follower, "grpc_server_started_total", &[STREAMS]).await?;
        let ended = ctx.metric(follower, "grpc_server_handled_total", &[STREAMS]).await?;
        Ok((begun.is_some() && begun == ended).then_some(()))
    })
    .await?;
    let cancelled = &[STREAMS, ("grpc_code", "Canceled")];
    check!(ctx.metric(follower, "grpc_server_handled_total", cancelled).await?.is_some());
    Ok(())
}

/// Asked directly and by way of a follower.
async fn lease_041(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(secs(100))).await?.id;
    // A machine that is so busy that the leader changes only after the answer gets more time for it.
    for wait in [1, 5, 25] {
        if moved_meanwhile(&ctx, id, wait).await? {
            ctx.send(Revoke::new(id)).await?;
            return Ok(());
        }
    }
    Err(Failure::new("the leader changed too slowly"))
}

/// Whether the leader changed before the answers came. Their times have to be right in any case.
async fn moved_meanwhile(ctx: &Context, id: LeaseId, wait: u64) -> Result<bool, Failure> {
    const DIRECT: &str = "beforeLookupWhenLeaseTimeToLive";
    const FORWARDED: &str = "beforeLookupWhenForwardLeaseTimeToLive";
    let leader = ctx.leader().await?;
    let (next, follower) = ((leader + 1) % 3, (leader + 2) % 3);
    for point in [DIRECT, FORWARDED] {
        let term = format!("sleep(\"{wait}s\")");
        ctx.member(leader, move |member| member.set_failpoint(point, &term)).await?;
    }
    let moved = &AtomicBool::new(false);
    let questions = join_all([leader, follower].map(|member| async move {
        let endpoint = &ctx.endpoints()[member];
        let answer = ctx.send(TimeToLive::new(id)).endpoint(endpoint).timeout(secs(60)).await;
        (answer, moved.load(Ordering::Relaxed))
    }));
    let change = async {
        ctx.reached(leader, DIRECT).await?;
        ctx.reached(leader, FORWARDED).await?;
        ctx.move_leader(leader, next).await?;
        moved.store(true, Ordering::Relaxed);
        Ok::<(), Failure>(())
    };
    let (answers, change) = zip(questions, change).await;
    change?;
    for point in [DIRECT, FORWARDED] {
        ctx.member(leader, |member| member.clear_failpoint(point)).await?;
    }
    let mut in_time = true;
    for (answer, meanwhile) in answers {
        let left = some(answer?.lease, "the lease")?.remaining;
        check!(left <= secs(100) && left >= secs(30), "{left:?}");
        in_time &= meanwhile;
    }
    Ok(in_time)
}
