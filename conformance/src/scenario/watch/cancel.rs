//! Watches that are given up, and clients that are closed.

use std::future::IntoFuture;
use std::time::Duration;

use etcdium_client::{Metadata, WatchErrorKind};

use super::read::{PATIENCE, caught_up, ended, event, expect, no_watches, open, past, put, refused, told};
use crate::scenario::{Context, Failure, Scenario, Setup, Topology, check_eq, join_all};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-006", Topology::ThreeMembers, "given up before it is made", |ctx| {
        Box::pin(watch_006(ctx))
    }),
    Scenario::new("WATCH-007", Topology::ThreeMembers, "cancelled without events", |ctx| {
        Box::pin(watch_007(ctx))
    }),
    Scenario::new("WATCH-008", Topology::ThreeMembers, "cancelled while an event comes", |ctx| {
        Box::pin(watch_008(ctx))
    }),
    Scenario::new("WATCH-018", Topology::OneMember, "a closed client has no watches", |ctx| {
        Box::pin(watch_018(ctx))
    }),
    Scenario::new(
        "WATCH-025",
        Topology::OneMember,
        "cancelling one leaves the others of its stream",
        |ctx| Box::pin(watch_025(ctx)),
    ),
    Scenario::new("WATCH-030", Topology::ThreeMembers, "cancelled, and the client closed", |ctx| {
        Box::pin(watch_030(ctx))
    }),
    Scenario::new("WATCH-041", Topology::ThreeMembers, "cancelled while it catches up", |ctx| {
        Box::pin(watch_041(ctx))
    }),
    Scenario::new("WATCH-083", Topology::ThreeMembers, "dropped after its first event", |ctx| {
        Box::pin(watch_083(ctx))
    }),
];

/// Who gives up drops the future, before it was polled or after.
async fn watch_006(ctx: Context) -> Result<(), Failure> {
    drop(ctx.watch(ctx.key("a")).into_future());
    check_eq!(ctx.subject().stats().watches, 0);
    let mut watch = ctx.watch(ctx.key("a")).into_future();
    let first = futures_lite::future::poll_once(&mut watch).await;
    drop((watch, first));
    no_watches(&ctx).await
}

async fn watch_007(ctx: Context) -> Result<(), Failure> {
    let watch = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    ctx.within(PATIENCE, watch.cancel()).await?;
    no_watches(&ctx).await
}

/// What is not read when it is cancelled is dropped.
async fn watch_008(ctx: Context) -> Result<(), Failure> {
    let mut read = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    let unread = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    put(&ctx, "a", "a").await?;
    expect(&ctx, &mut read, &["PUT a=a"]).await?;
    for watch in [read, unread] {
        ctx.within(PATIENCE, watch.cancel()).await?;
    }
    no_watches(&ctx).await
}

async fn watch_018(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let mut watch = open(&ctx, subject.watch(ctx.key("a"))).await?;
    subject.close();
    ended(&ctx, &mut watch).await?;
    check_eq!(refused(&ctx, subject.watch(ctx.key("a"))).await?, WatchErrorKind::Closed);
    subject.close();
    Ok(())
}

/// Ten tasks, two for each stream, make ten watches each, one after the other.
async fn watch_025(ctx: Context) -> Result<(), Failure> {
    let start = past(&ctx).await?;
    put(&ctx, "key", "value").await?;
    let task = |task: usize| {
        let ctx = ctx.clone();
        async move {
            let stream = Metadata::new().with("stream", &(task % 5).to_string());
            let stream = stream.map_err(|error| Failure::new(error.to_string()))?;
            for round in 0..10 {
                let watch = ctx.watch(ctx.key("key")).from_revision(start).metadata(stream.clone());
                let mut watch = open(&ctx, watch).await?;
                check_eq!(told(&ctx, &event(&ctx, &mut watch).await?), "PUT key=value");
                // At one moment or another, one way or another.
                match (task + round) % 4 {
                    0 => drop(watch),
                    1 => ctx.within(PATIENCE, watch.cancel()).await?,
                    2 => {
                        ctx.pause(Duration::from_millis((task + 3 * round) as u64 % 10)).await;
                        drop(watch);
                    }
                    _ => drop(watch.cancel()),
                }
            }
            Ok(())
        }
    };
    for result in join_all((0..10).map(task)).await {
        result?;
    }
    no_watches(&ctx).await
}

async fn watch_030(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let cancelled = open(&ctx, subject.watch(ctx.key("foo"))).await?;
    let mut open = open(&ctx, subject.watch(ctx.key("foo"))).await?;
    ctx.within(PATIENCE, cancelled.cancel()).await?;
    subject.close();
    ended(&ctx, &mut open).await
}

async fn watch_041(ctx: Context) -> Result<(), Failure> {
    let start = past(&ctx).await?;
    for n in 0..20 {
        put(&ctx, "foo", &n.to_string()).await?;
    }
    let watch = open(&ctx, ctx.watch(ctx.key("foo")).from_revision(start)).await?;
    ctx.within(PATIENCE, watch.cancel()).await?;
    no_watches(&ctx).await?;
    // The client's streams are fit for others.
    caught_up(&ctx).await?;
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo"))).await?;
    put(&ctx, "foo", "after").await?;
    expect(&ctx, &mut watch, &["PUT foo=after"]).await
}

/// A watch that is dropped has no reader left that could get more; its sibling on the same stream has.
async fn watch_083(ctx: Context) -> Result<(), Failure> {
    let mut dropped = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    let mut stays = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    put(&ctx, "a", "1").await?;
    expect(&ctx, &mut dropped, &["PUT a=1"]).await?;
    drop(dropped);
    check_eq!(ctx.subject().stats().watches, 1);
    put(&ctx, "a", "2").await?;
    expect(&ctx, &mut stays, &["PUT a=1", "PUT a=2"]).await
}
