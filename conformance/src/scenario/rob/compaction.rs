//! A server dies in the middle of a compaction.

use std::time::Duration;

use etcdium_client::{Compact, Delete, Get, Put, WatchItem};

use crate::etcd::ClusterConfig;
use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq, text};

pub(super) const CASES: &[Scenario] = &[Scenario::new(
    "ROB-023",
    Topology::Own(in_batches),
    "a crash within a compaction loses no revision and no deletion",
    |ctx| Box::pin(rob_023(ctx)),
)
.needs(&[Need::Control, Need::Since(3, 5)])];

const PATIENCE: Duration = Duration::from_secs(20);

/// So small that a compaction takes several.
fn in_batches() -> ClusterConfig {
    ClusterConfig::single().failpoints().flag("compaction-batch-limit", 10)
}

/// etcd issues 17780 and 19179.
async fn rob_023(ctx: Context) -> Result<(), Failure> {
    for point in ["compactBeforeCommitBatch", "compactBeforeSetFinishedCompact"] {
        let name = |name: &str| ctx.key(&format!("{point}/{name}"));
        for n in 0..50 {
            ctx.send(Put::new(name(&format!("key{}", n % 7)), n.to_string())).timeout(PATIENCE).await?;
        }
        let deleted = ctx.send(Delete::new(name("key3"))).await?.header.revision;
        let last = ctx.send(Put::new(name("key4"), "last")).await?.header.revision;

        ctx.member(0, move |member| member.set_failpoint(point, "panic")).await?;
        // It dies of it, before or after it has answered.
        let answer = ctx.send(Compact::new(deleted)).timeout(Duration::from_secs(2)).await;
        ctx.eventually(PATIENCE, "the server has died", || async {
            let running = ctx.member(0, |member| Ok::<_, Failure>(member.is_running())).await?;
            Ok((!running).then_some(()))
        })
        .await?;
        check!(answer.is_ok() || answer.is_err_and(|error| error.is_retryable()));
        ctx.restart(0).await?;

        let now = ctx.send(Get::new(name("key4"))).timeout(PATIENCE).await?;
        check!(now.header.revision >= last, "the revision fell from {last} to {}", now.header.revision);
        check_eq!(now.kvs.first().map(|kv| text(&kv.value)).as_deref(), Some("last"));
        let watch = ctx.watch(name("")).prefix().from_revision(deleted);
        let mut watch = ctx.within(PATIENCE, watch.into_future()).await??;
        for (revision, key) in [(deleted, "key3"), (last, "key4")] {
            match ctx.within(PATIENCE, watch.next()).await? {
                Some(Ok(WatchItem::Events { revision: at, events })) => {
                    check_eq!((at, events.len()), (revision, 1));
                    check_eq!(text(&events[0].kv.key), name(key));
                    check_eq!(events[0].is_delete(), key == "key3");
                }
                other => return Err(Failure::new(format!("at {point}: {other:?}"))),
            }
        }
    }
    Ok(())
}
