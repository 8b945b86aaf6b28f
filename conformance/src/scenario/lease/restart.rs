//! Leases across restarts of servers and changes of the leader.

use std::time::Duration;

use etcdium_client::{Delete, Get, Grant, LeaseId, Put, Revoke, TimeToLive};

use super::calls::count;
use crate::etcd::{Cluster, ClusterConfig};
use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq, some};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("LEASE-032", Topology::ThreeMembers, "a new leader gives leases their full time", |ctx| {
        Box::pin(lease_032(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new(
        "LEASE-032",
        Topology::Own(checkpoints),
        "with checkpoints, leases go on where they were",
        |ctx| Box::pin(lease_032_checkpoints(ctx)),
    )
    .variant("checkpoints")
    .needs(&[Need::Since(3, 5)]),
    Scenario::new("LEASE-033", Topology::ThreeMembers, "a lease about to expire meets a new leader", |ctx| {
        Box::pin(lease_033(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new("LEASE-040", Topology::OneMember, "leases and keys across a restart", |ctx| {
        Box::pin(lease_040(ctx))
    })
    .needs(&[Need::Control]),
];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is left of a lease, as soon as there is somebody to tell.
async fn left(ctx: &Context, id: LeaseId) -> Result<Duration, Failure> {
    ctx.eventually(secs(30), "a leader tells what is left of a lease", || async {
        let Ok(answer) = ctx.send(TimeToLive::new(id)).await else { return Ok(None) };
        Ok(Some(some(answer.lease, "the lease")?.remaining))
    })
    .await
}

/// Ends the leader, waits for another, and starts the old one again.
async fn change_leader(ctx: &Context) -> Result<(), Failure> {
    let old = ctx.leader().await?;
    ctx.terminate(old).await?;
    ctx.leader().await?;
    ctx.restart(old).await
}

async fn lease_032(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(secs(300))).await?.id;
    ctx.pause(secs(4)).await;
    check!(left(&ctx, id).await? <= secs(297));
    change_leader(&ctx).await?;
    let left = left(&ctx, id).await?;
    check!(left >= secs(285), "{left:?}");
    ctx.send(Revoke::new(id)).await?;
    Ok(())
}

fn checkpoints() -> ClusterConfig {
    ClusterConfig::three().lease_checkpoints()
}

/// With shorter times than in the case. The second change is a restart of all members.
async fn lease_032_checkpoints(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(secs(300))).await?.id;
    for (restart, least) in [(false, 293), (true, 291)] {
        ctx.eventually(secs(20), "time passes", || async {
            Ok((left(&ctx, id).await? <= secs(least)).then_some(()))
        })
        .await?;
        if restart {
            ctx.control(Cluster::restart).await?;
        } else {
            change_leader(&ctx).await?;
        }
        // A checkpoint may be two seconds old, and a new leader adds the time of an election.
        let left = left(&ctx, id).await?;
        check!(left <= secs(least + 5), "{left:?}");
    }
    ctx.send(Revoke::new(id)).await?;
    Ok(())
}

async fn lease_033(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(secs(5))).await?.id;
    ctx.send(Put::new(ctx.key("foo"), "bar").lease(id)).await?;
    ctx.pause(secs(3)).await;
    let old = ctx.leader().await?;
    ctx.terminate(old).await?;
    ctx.leader().await?;
    // It has its full time again.
    check_eq!(count(&ctx, "foo").await?, 1);
    ctx.restart(old).await?;
    ctx.eventually(secs(20), "the lease expires", || async {
        Ok((ctx.send(Get::new(ctx.key("foo"))).await?.kvs.is_empty()).then_some(()))
    })
    .await
}

async fn lease_040(ctx: Context) -> Result<(), Failure> {
    let grant = || async { Ok::<_, Failure>(ctx.send(Grant::new(secs(600))).await?.id) };
    let (one, two, three, four, five) =
        (grant().await?, grant().await?, grant().await?, grant().await?, grant().await?);
    // Revoked after the restart.
    ctx.send(Put::new(ctx.key("after"), "v").lease(one)).await?;
    // Revoked before it.
    ctx.send(Put::new(ctx.key("before"), "v").lease(two)).await?;
    ctx.send(Revoke::new(two)).await?;
    // Detached before it.
    ctx.send(Put::new(ctx.key("detached"), "v").lease(three)).await?;
    ctx.send(Put::new(ctx.key("detached"), "w")).await?;
    // Attached to two, one after the other.
    ctx.send(Put::new(ctx.key("switched"), "v").lease(four)).await?;
    ctx.send(Put::new(ctx.key("switched"), "v").lease(five)).await?;
    ctx.terminate(0).await?;
    ctx.restart(0).await?;
    ctx.eventually(secs(20), "the server answers", || async { Ok(count(&ctx, "after").await.ok()) }).await?;
    check_eq!((count(&ctx, "after").await?, count(&ctx, "before").await?), (1, 0));
    for id in [one, three, four] {
        ctx.send(Revoke::new(id)).await?;
    }
    check_eq!(count(&ctx, "after").await?, 0);
    check_eq!(count(&ctx, "detached").await?, 1);
    check_eq!(count(&ctx, "switched").await?, 1);
    ctx.send(Revoke::new(five)).await?;
    check_eq!(count(&ctx, "switched").await?, 0);
    ctx.send(Delete::new(ctx.key("")).prefix()).await?;
    Ok(())
}
