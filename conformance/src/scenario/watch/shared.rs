//! Watches that share a stream, and streams side by side.

use etcdium_client::Metadata;

use super::read::{expect, open, past, put};
use crate::scenario::{Context, Failure, Scenario, Topology, Watch, check_eq};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-044", Topology::ThreeMembers, "five watches on one stream", |ctx| {
        Box::pin(watch_044(ctx, Begin::Now))
    }),
    Scenario::new("WATCH-045", Topology::ThreeMembers, "five watches on one stream, from the past", |ctx| {
        Box::pin(watch_044(ctx, Begin::Past))
    }),
    Scenario::new("WATCH-050", Topology::ThreeMembers, "five streams with a watch each", |ctx| {
        Box::pin(watch_050(ctx, Begin::Now))
    }),
    Scenario::new(
        "WATCH-051",
        Topology::ThreeMembers,
        "five streams with a watch each, from the past",
        |ctx| Box::pin(watch_050(ctx, Begin::Past)),
    ),
];

/// Where watches begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Now,
    Past,
}

impl Begin {
    async fn set(self, ctx: &Context, watch: Watch) -> Result<Watch, Failure> {
        Ok(match self {
            Self::Now => watch,
            Self::Past => watch.from_revision(past(ctx).await?),
        })
    }
}

async fn watch_044(ctx: Context, begin: Begin) -> Result<(), Failure> {
    let mut single = Vec::new();
    for _ in 0..4 {
        single.push(open(&ctx, begin.set(&ctx, ctx.watch(ctx.key("foo"))).await?).await?);
    }
    let range = begin.set(&ctx, ctx.watch(ctx.key("fo")).range(&ctx.key("fp"))).await?;
    let mut range = open(&ctx, range).await?;
    check_eq!(ctx.subject().stats().watch_streams, 1);
    put(&ctx, "foo", "bar").await?;
    put(&ctx, "fo", "bar").await?;
    put(&ctx, "foo", "end").await?;
    for watch in &mut single {
        expect(&ctx, watch, &["PUT foo=bar", "PUT foo=end"]).await?;
    }
    expect(&ctx, &mut range, &["PUT foo=bar", "PUT fo=bar", "PUT foo=end"]).await
}

/// The server's own ids would all be zero; ours are chosen by the core and never zero, which readers do not see.
/// Metadata of their own gives watches streams of their own.
async fn watch_050(ctx: Context, begin: Begin) -> Result<(), Failure> {
    let mut watches = Vec::new();
    for n in 0..5 {
        let stream = Metadata::new().with("stream", &n.to_string());
        let stream = stream.map_err(|error| Failure::new(error.to_string()))?;
        let watch = begin.set(&ctx, ctx.watch(ctx.key("foo")).metadata(stream)).await?;
        watches.push(open(&ctx, watch).await?);
    }
    check_eq!(ctx.subject().stats().watch_streams, 5);
    put(&ctx, "foo", "bar").await?;
    put(&ctx, "foo", "end").await?;
    for watch in &mut watches {
        expect(&ctx, watch, &["PUT foo=bar", "PUT foo=end"]).await?;
    }
    Ok(())
}
