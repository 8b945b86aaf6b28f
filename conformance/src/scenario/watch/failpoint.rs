//! A server that is slowed down from within.

use etcdium_client::{Compact, Revision, WatchErrorKind, WatchItem};

use super::read::{PATIENCE, open, put};
use crate::etcd::ClusterConfig;
use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq};

pub(super) const CASES: &[Scenario] = &[Scenario::new(
    "WATCH-060",
    Topology::Own(slow),
    "compacted while the server's own queue is full",
    |ctx| Box::pin(watch_060(ctx)),
)
.needs(&[Need::Since(3, 5)])];

fn slow() -> ClusterConfig {
    ClusterConfig::single().failpoints()
}

/// How many responses to a stream the server keeps (`chanBufLen`, mvcc/watcher_group.go and watcher.go).
const BUFFER: usize = 128;

/// What is behind the server's queue is lost to it: that has to be told, and the events before it have to be whole.
async fn watch_060(ctx: Context) -> Result<(), Failure> {
    const POINT: &str = "beforeSendWatchResponse";
    ctx.member(0, |member| member.set_failpoint(POINT, r#"sleep("1s")"#)).await?;
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo"))).await?;
    let mut revisions = Vec::new();
    for n in 0..BUFFER + BUFFER / 5 {
        revisions.push(put(&ctx, "foo", &n.to_string()).await?);
    }
    let oldest = revisions.last().copied().unwrap_or_default();
    ctx.send(Compact::new(oldest)).await?;
    ctx.member(0, |member| member.clear_failpoint(POINT)).await?;

    let mut seen: Vec<Revision> = Vec::new();
    let error = loop {
        match ctx.within(PATIENCE, watch.next()).await? {
            Some(Ok(WatchItem::Events { revision, .. })) => seen.push(revision),
            Some(Err(error)) => break error,
            other => return Err(Failure::new(format!("after {} events: {other:?}", seen.len()))),
        }
    };
    check_eq!(error.kind(), &WatchErrorKind::Compacted { oldest });
    check!(seen.len() < revisions.len(), "all {} events came", seen.len());
    check_eq!(seen[..], revisions[..seen.len()], "the events before");
    check_eq!(error.next_revision(), seen.last().map(|last| last.next()));
    check_eq!(ctx.within(PATIENCE, watch.next()).await?, None);
    Ok(())
}
