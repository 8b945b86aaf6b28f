//! Watches while servers are down.

use std::time::Duration;

use etcdium_client::WatchItem;

use super::read::{PATIENCE, event, item, no_watches, open, put, told};
use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq, describe, join_all};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-029", Topology::OneMember, "cancelled while the only member is down", |ctx| {
        Box::pin(watch_029(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new("WATCH-088", Topology::ThreeMembers, "the whole cluster is stopped", |ctx| {
        Box::pin(watch_088(ctx))
    })
    .needs(&[Need::Control]),
];

async fn watch_029(ctx: Context) -> Result<(), Failure> {
    let mut told = open(&ctx, ctx.watch(ctx.key("a")).connection_notices()).await?;
    let untold = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    ctx.kill(0).await?;
    let item = item(&ctx, &mut told).await?;
    check!(matches!(item, WatchItem::Disconnected { .. }), "{item:?}");
    for watch in [told, untold] {
        // Nothing has to be waited for; a busy machine may take its time.
        ctx.within(Duration::from_secs(5), watch.cancel()).await?;
    }
    no_watches(&ctx).await
}

/// The policy: a watch does not end with its servers. Who asks for it is told that the connection is gone, by the
/// client's own type of error, and that it is back; without a gap in any case.
async fn watch_088(ctx: Context) -> Result<(), Failure> {
    let mut notified = open(&ctx, ctx.watch(ctx.key("foo")).connection_notices()).await?;
    let mut quiet = open(&ctx, ctx.watch(ctx.key("foo"))).await?;
    put(&ctx, "foo", "before").await?;
    for watch in [&mut notified, &mut quiet] {
        check_eq!(told(&ctx, &event(&ctx, watch).await?), "PUT foo=before");
    }
    for result in join_all((0..3).map(|member| ctx.kill(member))).await {
        result?;
    }
    match item(&ctx, &mut notified).await? {
        WatchItem::Disconnected { cause } => {
            check!(cause.is_retryable(), "not the servers' absence: {}", describe(&cause));
        }
        other => return Err(Failure::new(format!("expected the loss of the connection, got {other:?}"))),
    }
    for result in join_all((0..3).map(|member| ctx.restart(member))).await {
        result?;
    }
    let revision = put(&ctx, "foo", "after").await?;
    let event_after = ctx.within(2 * PATIENCE, async {
        loop {
            match item(&ctx, &mut notified).await? {
                WatchItem::Events { events, .. } => return Ok::<_, Failure>(events),
                WatchItem::Disconnected { .. } => {}
                WatchItem::Resumed { from } => check!(from <= revision, "resumed at {from}"),
                other => return Err(Failure::new(format!("{other:?}"))),
            }
        }
    });
    let events = event_after.await??;
    check_eq!((events.len(), told(&ctx, &events[0]).as_str()), (1, "PUT foo=after"));
    check_eq!(told(&ctx, &event(&ctx, &mut quiet).await?), "PUT foo=after");
    Ok(())
}
