//! How a watch begins: the first revision, ranges, ids.

use etcdium_client::WatchErrorKind;

use super::read::{created, event, expect, no_watches, open, put, refused, told};
use crate::scenario::{Context, Failure, Scenario, Topology, check, check_eq};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-031", Topology::OneMember, "first revisions of -1, zero and now", |ctx| {
        Box::pin(watch_031(ctx))
    }),
    Scenario::new("WATCH-039", Topology::OneMember, "ranges without keys", |ctx| Box::pin(watch_039(ctx))),
    Scenario::new("WATCH-094", Topology::OneMember, "made, told of a put, cancelled", |ctx| {
        Box::pin(watch_094(ctx))
    }),
];

/// The revision of an empty store, 1, is the newest one there; so it is the newest one here. A negative one is not sent.
async fn watch_031(ctx: Context) -> Result<(), Failure> {
    let kind = refused(&ctx, ctx.watch(ctx.key("foo")).from_revision((-1).into())).await?;
    let WatchErrorKind::Invalid(invalid) = kind else {
        return Err(Failure::new(format!("expected a request that is not valid, got {kind:?}")));
    };
    let words = invalid.to_string();
    check!(words.contains("required revision has been compacted"), "{words}");

    let now = put(&ctx, "other", "").await?;
    let mut zero = open(&ctx, ctx.watch(ctx.key("foo")).from_revision(0.into())).await?;
    let mut newest = open(&ctx, ctx.watch(ctx.key("foo")).from_revision(now)).await?;
    put(&ctx, "foo", "first").await?;
    for watch in [&mut zero, &mut newest] {
        expect(&ctx, watch, &["PUT foo=first"]).await?;
    }
    Ok(())
}

/// A range without keys is refused before it is sent.
async fn watch_039(ctx: Context) -> Result<(), Failure> {
    let (a, b) = (ctx.key("a"), ctx.key("b"));
    for (start, end) in [(&a, &a), (&b, &a)] {
        let kind = refused(&ctx, ctx.watch(start).range(end)).await?;
        check!(matches!(kind, WatchErrorKind::Invalid(_)), "from {start} to {end}: {kind:?}");
    }
    let now = put(&ctx, "foo", "1").await?;
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).from_key().from_revision(now)).await?;
    // Others have keys behind it, too, but this is the first event.
    let event = event(&ctx, &mut watch).await?;
    check_eq!((told(&ctx, &event).as_str(), event.revision()), ("PUT foo=1", now));
    Ok(())
}

/// That the ids match is the core's affair; here it is seen in that the server's answers are taken for the right watch.
async fn watch_094(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).created()).await?;
    created(&ctx, &mut watch).await?;
    put(&ctx, "foo", "bar").await?;
    expect(&ctx, &mut watch, &["PUT foo=bar"]).await?;
    watch.cancel().await;
    no_watches(&ctx).await
}
