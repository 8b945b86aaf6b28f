//! What a watch may ask for: filters, the creation, the pairs of before.

use super::read::{SILENCE, caught_up, created, delete, event, expect, open, put, told};
use crate::scenario::{Context, Failure, Scenario, Topology, check, check_eq, some, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-020", Topology::OneMember, "without puts; without deletions", |ctx| {
        Box::pin(watch_020(ctx))
    }),
    Scenario::new("WATCH-021", Topology::OneMember, "the creation is told", |ctx| Box::pin(watch_021(ctx))),
    Scenario::new("WATCH-054", Topology::OneMember, "a filtered put is not told, a deletion is", |ctx| {
        Box::pin(watch_054(ctx))
    }),
    Scenario::new("WATCH-055", Topology::OneMember, "the pair of before", |ctx| Box::pin(watch_055(ctx))),
    Scenario::new("WATCH-087", Topology::ThreeMembers, "the creation is told, without events", |ctx| {
        Box::pin(watch_021(ctx))
    }),
];

async fn watch_020(ctx: Context) -> Result<(), Failure> {
    let mut deletions = open(&ctx, ctx.watch(ctx.key("a")).no_puts()).await?;
    let mut puts = open(&ctx, ctx.watch(ctx.key("a")).no_deletes()).await?;
    put(&ctx, "a", "1").await?;
    delete(&ctx, "a").await?;
    put(&ctx, "a", "2").await?;
    delete(&ctx, "a").await?;
    expect(&ctx, &mut deletions, &["DELETE a", "DELETE a"]).await?;
    expect(&ctx, &mut puts, &["PUT a=1", "PUT a=2"]).await?;
    deletions.silent(SILENCE).await?;
    puts.silent(SILENCE).await
}

/// WATCH-021 and WATCH-087.
async fn watch_021(ctx: Context) -> Result<(), Failure> {
    let before = put(&ctx, "a", "before").await?;
    caught_up(&ctx).await?;
    let mut watch = open(&ctx, ctx.watch(ctx.key("a")).created()).await?;
    let at = created(&ctx, &mut watch).await?;
    check!(at >= before, "created at {at}, after {before}");
    put(&ctx, "a", "1").await?;
    expect(&ctx, &mut watch, &["PUT a=1"]).await
}

async fn watch_054(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).no_puts()).await?;
    put(&ctx, "foo", "bar").await?;
    watch.silent(SILENCE).await?;
    let revision = delete(&ctx, "foo").await?;
    let event = event(&ctx, &mut watch).await?;
    check_eq!((told(&ctx, &event).as_str(), event.revision()), ("DELETE foo", revision));
    Ok(())
}

async fn watch_055(ctx: Context) -> Result<(), Failure> {
    for (key, end, values) in [("foo", "fop", ["bar", "baz"]), ("fop", "foq", ["", "new"])] {
        let mut watch = open(&ctx, ctx.watch(ctx.key(key)).range(&ctx.key(end)).prev_kv()).await?;
        let first = put(&ctx, key, values[0]).await?;
        put(&ctx, key, values[1]).await?;
        delete(&ctx, key).await?;
        let creation = event(&ctx, &mut watch).await?;
        check_eq!((text(&creation.kv.value).as_str(), creation.prev_kv), (values[0], None));
        let change = event(&ctx, &mut watch).await?;
        let before = some(change.prev_kv, "the pair of before")?;
        check_eq!([text(&before.value), text(&change.kv.value)], values);
        check_eq!((before.mod_revision, before.version), (first, 1));
        let deletion = event(&ctx, &mut watch).await?;
        check_eq!(text(&some(deletion.prev_kv, "the pair of before")?.value), values[1]);
    }
    Ok(())
}
