//! Large responses, whole or in pieces.

use etcdium_client::{Op, Put, Revision, Txn};

use super::read::{event, events, open, past, told};
use crate::scenario::{Context, Failure, Need, Scenario, Topology, Watching, check_eq};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-032", Topology::OneMember, "ten events of a MiB, in one response", |ctx| {
        Box::pin(watch_032(ctx))
    })
    .needs(&[Need::Bulk]),
    Scenario::new(
        "WATCH-034",
        Topology::OneMember,
        "ten events of a MiB, and transactions, in pieces",
        |ctx| Box::pin(watch_034(ctx)),
    )
    .needs(&[Need::Bulk]),
];

const MIB: usize = 1024 * 1024;
/// How many puts a transaction may hold by default.
const OPS: usize = 128;

/// Puts ten keys of a MiB; the revision before.
async fn fill(ctx: &Context) -> Result<Revision, Failure> {
    let start = past(ctx).await?;
    for n in 0..10 {
        ctx.send(Put::new(ctx.key(&format!("foo{n}")), vec![b'x'; MIB])).await?;
    }
    Ok(start)
}

/// One response or many, an item holds the events of one revision.
async fn read(ctx: &Context, watch: &mut Watching) -> Result<(), Failure> {
    for n in 0..10 {
        let event = event(ctx, watch).await?;
        check_eq!((ctx.name(&event.kv.key), event.kv.value.len()), (format!("foo{n}"), MIB));
    }
    Ok(())
}

/// No limit of the client is in the way.
async fn watch_032(ctx: Context) -> Result<(), Failure> {
    let start = fill(&ctx).await?;
    let watch = ctx.watch(ctx.key("foo")).prefix().from_revision(start).fragment(false);
    read(&ctx, &mut open(&ctx, watch).await?).await
}

/// The pieces end anywhere, also within the events of one revision, which come in one item all the same.
async fn watch_034(ctx: Context) -> Result<(), Failure> {
    let start = fill(&ctx).await?;
    let watch = ctx.watch(ctx.key("foo")).prefix().from_revision(start);
    read(&ctx, &mut open(&ctx, watch).await?).await?;

    let mut revisions = Vec::new();
    for round in 0..3 {
        let key = |n| ctx.key(&format!("txn{n:03}"));
        let puts = (0..OPS).map(|n| Op::from(Put::new(key(n), vec![b'0' + round; MIB / OPS])));
        revisions.push(ctx.send(Txn::new().and_then(puts)).await?.header.revision);
    }
    let watch = ctx.watch(ctx.key("txn")).prefix().from_revision(revisions[0]);
    let mut watch = open(&ctx, watch).await?;
    for (round, revision) in revisions.into_iter().enumerate() {
        let events = events(&ctx, &mut watch).await?;
        check_eq!((events.len(), events[0].revision()), (OPS, revision));
        for (n, event) in events.iter().enumerate() {
            let value = round.to_string().repeat(MIB / OPS);
            check_eq!(told(&ctx, event), format!("PUT txn{n:03}={value}"), "event {n} of {revision}");
        }
    }
    Ok(())
}
