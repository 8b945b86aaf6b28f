//! A member that missed so much that it gets a snapshot, while it serves a watch.

use std::time::Duration;

use etcdium_client::Revision;

use super::read::{PATIENCE, event, open, put};
use crate::etcd::ClusterConfig;
use crate::scenario::{Context, Failure, Need, Scenario, Setup, Topology, check_eq};

pub(super) const CASES: &[Scenario] =
    &[Scenario::new("WATCH-036", Topology::Own(forgetful), "a member is restored from a snapshot", |ctx| {
        Box::pin(watch_036(ctx))
    })
    // 3.4 has no flag for what is kept for members that lag.
    .needs(&[Need::Since(3, 5)])];

fn forgetful() -> ClusterConfig {
    ClusterConfig::three().flag("snapshot-count", 10).flag("snapshot-catchup-entries", 5)
}

/// A stopped process stands for the partition. What its leader sends it would wait in the sockets and be read later, but a
/// new leader sends a member that does not answer one message and no more; when it answers, what it needs is gone.
async fn watch_036(ctx: Context) -> Result<(), Failure> {
    const PUTS: usize = 30;
    const GOT: &str = "etcd_network_snapshot_receive_success";
    let leader = ctx.leader().await?;
    let (slow, next) = ((leader + 1) % 3, (leader + 2) % 3);
    let endpoints = ctx.endpoints();
    let from = put(&ctx, "foo", "before").await?.next().next().next();
    // It waits for a revision of the future, as the case has it: among the watches that are up to date.
    let watch = ctx.watch(ctx.key("foo")).from_revision(from).endpoint(&endpoints[slow]);
    let mut watch = open(&ctx, watch).await?;

    ctx.freeze(slow).await?;
    ctx.move_leader(leader, next).await?;
    let others = ctx.open(&Setup::new([&endpoints[leader], &endpoints[next]]))?;
    let mut revisions = Vec::new();
    for n in 0..PUTS {
        let put = etcdium_client::Put::new(ctx.key("foo"), n.to_string());
        revisions.push(others.send(put).await?.header.revision);
    }
    check_eq!(ctx.metric(next, GOT, &[]).await?, None, "snapshots for others");
    ctx.thaw(slow).await?;
    ctx.eventually(PATIENCE, "the member gets a snapshot", || async {
        // While it is busy with that it may not answer.
        let got = ctx.metric(slow, GOT, &[]).await.ok().flatten();
        Ok(got.filter(|got| *got >= 1.0))
    })
    .await?;

    revisions.push(put(&ctx, "foo", "after").await?);
    revisions.retain(|revision| *revision >= from);
    check_eq!(revisions.len(), PUTS - 1, "revisions that the watch asked for");
    let mut seen: Vec<Revision> = Vec::new();
    for _ in &revisions {
        seen.push(event(&ctx, &mut watch).await?.revision());
    }
    check_eq!(seen, revisions);
    check_eq!(watch.repeated_events(), 0);
    watch.silent(Duration::from_millis(50)).await
}
