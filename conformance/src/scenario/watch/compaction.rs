//! Watches of what is compacted.

use etcdium_client::{Compact, WatchErrorKind};

use super::read::{error, expect, open, put};
use crate::scenario::{Context, Failure, Need, Scenario, Topology, check_eq};

pub(super) const CASES: &[Scenario] =
    &[Scenario::new("WATCH-082", Topology::ThreeMembers, "from a compacted revision", |ctx| {
        Box::pin(watch_082(ctx))
    })
    .needs(&[Need::Compaction])];

/// All by one member, since others compact a little later.
async fn watch_082(ctx: Context) -> Result<(), Failure> {
    let member = &ctx.endpoints()[0];
    let first = put(&ctx, "foo", "0").await?;
    for n in 1..5 {
        put(&ctx, "foo", &n.to_string()).await?;
    }
    let oldest = put(&ctx, "foo", "last").await?;
    ctx.send(Compact::new(oldest)).endpoint(member).await?;

    let from = |revision| ctx.watch(ctx.key("foo")).from_revision(revision).endpoint(member);
    let mut watch = open(&ctx, from(first)).await?;
    let end = error(&ctx, &mut watch).await?;
    check_eq!(end.kind(), &WatchErrorKind::Compacted { oldest });
    check_eq!(end.next_revision(), Some(first));
    // It says from where there is something to be had.
    let mut watch = open(&ctx, from(oldest)).await?;
    expect(&ctx, &mut watch, &["PUT foo=last"]).await
}
