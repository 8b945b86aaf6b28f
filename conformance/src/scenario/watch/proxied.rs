//! Watches behind etcd's own grpc-proxy, which joins watches, chooses ids itself and never answers requests for
//! progress: the basic cases hold there as well, or it is said that they cannot.

use std::future::IntoFuture;

use etcdium_client::{Compact, ProgressError, Put, WatchErrorKind};

use super::read::{PATIENCE, caught_up, created, delete, error, event, expect, no_watches, open, past, put};
use crate::scenario::{Context, Failure, Need, Scenario, Setup, Topology, Watching, check_eq, join_all};

/// A case behind a proxy of its own.
const fn proxied(scenario: Scenario) -> Scenario {
    scenario.variant("grpc-proxy").needs(&[Need::GrpcProxy])
}

pub(super) const CASES: &[Scenario] = &[
    proxied(Scenario::new("WATCH-015", Topology::OneMember, "progress on request is not to be had", |ctx| {
        Box::pin(watch_015(ctx))
    })),
    proxied(Scenario::new(
        "WATCH-044",
        Topology::OneMember,
        "watches of the same keys and of others",
        |ctx| Box::pin(watch_044(ctx)),
    )),
    proxied(Scenario::new("WATCH-048", Topology::OneMember, "past and present, without a seam", |ctx| {
        Box::pin(watch_048(ctx))
    })),
    Scenario::new("WATCH-082", Topology::OneMember, "from a compacted revision", |ctx| {
        Box::pin(watch_082(ctx))
    })
    .variant("grpc-proxy")
    .needs(&[Need::GrpcProxy, Need::Compaction]),
    Scenario::new("WATCH-093", Topology::OneMember, "the proxy is killed and comes back", |ctx| {
        Box::pin(watch_093(ctx))
    })
    .variant("grpc-proxy")
    .needs(&[Need::GrpcProxy]),
];

async fn watch_015(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("/")).prefix()).await?;
    put(&ctx, "/a", "1").await?;
    expect(&ctx, &mut watch, &["PUT /a=1"]).await?;
    let answer = ctx.within(PATIENCE, watch.request_progress()).await?;
    check_eq!(answer, Err(ProgressError::Unsupported));
    // The watch is none the worse for it.
    put(&ctx, "/a", "2").await?;
    expect(&ctx, &mut watch, &["PUT /a=2"]).await
}

/// Creations, options, filters and cancellations of many watches on one stream, whose ids are the proxy's.
async fn watch_044(ctx: Context) -> Result<(), Failure> {
    let mut told = open(&ctx, ctx.watch(ctx.key("foo")).created()).await?;
    created(&ctx, &mut told).await?;
    let watches = join_all((0..20).map(|_| ctx.watch(ctx.key("foo")).into_future())).await;
    let mut watches = watches.into_iter().collect::<Result<Vec<Watching>, _>>()?;
    let mut range = open(&ctx, ctx.watch(ctx.key("fo")).range(&ctx.key("fp"))).await?;
    let mut deletions = open(&ctx, ctx.watch(ctx.key("foo")).no_puts()).await?;
    let mut before = open(&ctx, ctx.watch(ctx.key("foo")).prev_kv()).await?;
    put(&ctx, "foo", "1").await?;
    put(&ctx, "fo", "1").await?;
    for cancelled in watches.split_off(10) {
        ctx.within(PATIENCE, cancelled.cancel()).await?;
    }
    put(&ctx, "foo", "2").await?;
    delete(&ctx, "foo").await?;
    for watch in watches.iter_mut().chain([&mut told]) {
        expect(&ctx, watch, &["PUT foo=1", "PUT foo=2", "DELETE foo"]).await?;
    }
    expect(&ctx, &mut range, &["PUT foo=1", "PUT fo=1", "PUT foo=2", "DELETE foo"]).await?;
    expect(&ctx, &mut deletions, &["DELETE foo"]).await?;
    event(&ctx, &mut before).await?;
    let change = event(&ctx, &mut before).await?;
    check_eq!(change.prev_kv.map(|kv| kv.value), Some("1".into()));
    drop((watches, told, range, deletions, before));
    no_watches(&ctx).await
}

async fn watch_048(ctx: Context) -> Result<(), Failure> {
    let start = past(&ctx).await?;
    put(&ctx, "foo0", "1").await?;
    put(&ctx, "foo1", "1").await?;
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).prefix().from_revision(start)).await?;
    put(&ctx, "foo0", "2").await?;
    put(&ctx, "foo1", "2").await?;
    expect(&ctx, &mut watch, &["PUT foo0=1", "PUT foo1=1", "PUT foo0=2", "PUT foo1=2"]).await
}

async fn watch_082(ctx: Context) -> Result<(), Failure> {
    let first = put(&ctx, "foo", "0").await?;
    put(&ctx, "foo", "1").await?;
    let oldest = put(&ctx, "foo", "last").await?;
    ctx.send(Compact::new(oldest)).await?;
    let from = |revision| ctx.watch(ctx.key("foo")).from_revision(revision);
    let mut watch = open(&ctx, from(first)).await?;
    check_eq!(error(&ctx, &mut watch).await?.kind(), &WatchErrorKind::Compacted { oldest });
    let mut watch = open(&ctx, from(oldest)).await?;
    expect(&ctx, &mut watch, &["PUT foo=last"]).await
}

async fn watch_093(ctx: Context) -> Result<(), Failure> {
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(open(&ctx, ctx.watch(ctx.key("foo"))).await?);
    }
    put(&ctx, "foo", "before").await?;
    for watch in &mut watches {
        expect(&ctx, watch, &["PUT foo=before"]).await?;
    }
    ctx.kill_grpc_proxy().await?;
    // Around the proxy, while nobody can be told.
    let direct = ctx.open(&Setup::new(ctx.direct_endpoints()))?;
    direct.send(Put::new(ctx.key("foo"), "meanwhile")).await?;
    ctx.restart_grpc_proxy().await?;
    caught_up(&ctx).await?;
    put(&ctx, "foo", "after").await?;
    for watch in &mut watches {
        expect(&ctx, watch, &["PUT foo=meanwhile", "PUT foo=after"]).await?;
    }
    Ok(())
}
