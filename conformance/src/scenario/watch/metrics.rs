//! What the server knows of watches, by its own counts.

use std::future::IntoFuture;
use std::time::Duration;

use etcdium_client::Metadata;

use super::read::{PATIENCE, expect, open, put};
use crate::scenario::{Context, Failure, Need, Scenario, Topology, Watching, check_eq, join_all};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new(
        "WATCH-024",
        Topology::OneMember,
        "ten streams: the server hears of the end of each",
        |ctx| Box::pin(watch_024(ctx)),
    )
    .needs(&[Need::Metrics]),
    Scenario::new(
        "WATCH-056",
        Topology::OneMember,
        "1,000 watches come and go beside one that stays",
        |ctx| Box::pin(watch_056(ctx)),
    )
    .needs(&[Need::Metrics]),
];

/// Waits until the server has so many watches.
async fn watchers(ctx: &Context, expected: f64) -> Result<(), Failure> {
    ctx.eventually(PATIENCE, &format!("the server has {expected} watches"), || async {
        let count = ctx.metric(0, "etcd_debugging_mvcc_watcher_total", &[]).await?;
        Ok((count == Some(expected)).then_some(()))
    })
    .await
}

async fn watch_024(ctx: Context) -> Result<(), Failure> {
    // Those of cases before this one are on their way out.
    watchers(&ctx, 0.0).await?;
    let mut watches = Vec::new();
    for n in 0..10 {
        let stream = Metadata::new().with("stream", &n.to_string());
        let stream = stream.map_err(|error| Failure::new(error.to_string()))?;
        watches.push(open(&ctx, ctx.watch(ctx.key("a")).metadata(stream)).await?);
    }
    watchers(&ctx, 10.0).await?;
    for (n, watch) in watches.into_iter().enumerate() {
        // Dropped is as good as cancelled.
        if n % 2 == 0 {
            ctx.within(PATIENCE, watch.cancel()).await?;
        }
    }
    watchers(&ctx, 0.0).await
}

async fn watch_056(ctx: Context) -> Result<(), Failure> {
    watchers(&ctx, 0.0).await?;
    let mut stays = open(&ctx, ctx.watch(ctx.key("a"))).await?;
    for _ in 0..10 {
        let watches = join_all((0..100).map(|_| ctx.watch(ctx.key("b")).into_future()));
        let watches =
            ctx.within(PATIENCE, watches).await?.into_iter().collect::<Result<Vec<Watching>, _>>()?;
        let cancelled = join_all(watches.into_iter().map(Watching::cancel));
        ctx.within(PATIENCE, cancelled).await?;
    }
    let stats = ctx.subject().stats();
    check_eq!((stats.watches, stats.watch_streams), (1, 1));
    watchers(&ctx, 1.0).await?;
    put(&ctx, "a", "1").await?;
    expect(&ctx, &mut stays, &["PUT a=1"]).await?;
    stays.silent(Duration::from_millis(50)).await
}
