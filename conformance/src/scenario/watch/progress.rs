//! How far a watch has come: told by the server, and asked for.

use etcdium_client::proto::etcdserverpb::StatusRequest;
use etcdium_client::{ProgressError, Revision, WatchItem};

use super::read::{PATIENCE, caught_up, detail, event, expect, item, open, put};
use crate::etcd::provision::Version;
use crate::scenario::{Context, Failure, Need, PROGRESS, Scenario, Topology, Watching, check, check_eq};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-012", Topology::ThreeMembers, "progress, then an event", |ctx| {
        Box::pin(watch_012(ctx))
    })
    .needs(&[Need::Progress]),
    Scenario::new("WATCH-013", Topology::ThreeMembers, "progress behind what is not watched", |ctx| {
        Box::pin(watch_013(ctx))
    })
    .needs(&[Need::Progress]),
    Scenario::new("WATCH-014", Topology::ThreeMembers, "progress in the interval of the servers", |ctx| {
        Box::pin(watch_014(ctx))
    })
    .needs(&[Need::Progress]),
    Scenario::new("WATCH-015", Topology::ThreeMembers, "progress on request", |ctx| Box::pin(watch_015(ctx))),
    Scenario::new("WATCH-084", Topology::ThreeMembers, "progress on request, for two watches", |ctx| {
        Box::pin(watch_084(ctx))
    }),
];

/// The next item, which must tell progress.
async fn progress(ctx: &Context, watch: &mut Watching) -> Result<Revision, Failure> {
    match item(ctx, watch).await? {
        WatchItem::Progress { revision } => Ok(revision),
        other => Err(Failure::new(format!("expected progress, got {other:?}"))),
    }
}

async fn watch_012(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).prefix().progress_notify()).await?;
    progress(&ctx, &mut watch).await?;
    let revision = put(&ctx, "foox", "bar").await?;
    // Others write meanwhile, so there may be more progress before; never up to the event.
    let events = loop {
        match item(&ctx, &mut watch).await? {
            WatchItem::Progress { revision: at } => {
                check!(at < revision, "progress at {at} before {revision}")
            }
            WatchItem::Events { events, .. } => break events,
            other => return Err(Failure::new(format!("{other:?}"))),
        }
    };
    check_eq!(events.len(), 1);
    check_eq!(detail(&ctx, &events[0]), ("PUT foox=bar".to_owned(), revision, revision, 1));
    Ok(())
}

async fn watch_013(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).progress_notify()).await?;
    progress(&ctx, &mut watch).await?;
    let revision = put(&ctx, "foox", "bar").await?;
    while progress(&ctx, &mut watch).await? < revision {}
    Ok(())
}

async fn watch_014(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).progress_notify()).await?;
    // A busy machine may be late; the default would be ten minutes.
    ctx.within(10 * PROGRESS, progress(&ctx, &mut watch)).await??;
    Ok(())
}

/// Whether this version's answers to requests for progress are trusted.
async fn is_trusted(ctx: &Context) -> Result<bool, Failure> {
    let told = ctx.call(StatusRequest::default()).await?.version;
    let version: Version = told.parse().map_err(|error| Failure::new(format!("{told}: {error}")))?;
    Ok(version.progress_keeps_order())
}

/// Asks for progress and demands what this version of etcd can give: the revision, told in-band as well, or that there
/// is none to be had.
async fn request(
    ctx: &Context,
    watch: &mut Watching,
    trusted: bool,
    at_least: Revision,
) -> Result<(), Failure> {
    let answer = ctx.within(PATIENCE, watch.request_progress()).await?;
    if !trusted {
        check_eq!(answer, Err(ProgressError::Unsupported));
        return Ok(());
    }
    let answer = answer?;
    check!(answer >= at_least, "progress at {answer}, and {at_least} was known");
    check_eq!(progress(ctx, watch).await?, answer, "progress in-band");
    check_eq!(watch.next_revision(), Some(answer.next()));
    Ok(())
}

/// Our rule: progress is asked of one watch, so without a watch there is nobody to ask. Servers before 3.4.25 and 3.5.8
/// are not believed, and it is said so.
async fn watch_015(ctx: Context) -> Result<(), Failure> {
    let trusted = is_trusted(&ctx).await?;
    let mut watches = Vec::new();
    for count in 1..=2 {
        caught_up(&ctx).await?;
        watches.push(open(&ctx, ctx.watch(ctx.key("/")).prefix()).await?);
        put(&ctx, "/a", &count.to_string()).await?;
        let unrelated = put(&ctx, "x", "").await?;
        for watch in &mut watches {
            expect(&ctx, watch, &[&format!("PUT /a={count}")]).await?;
            request(&ctx, watch, trusted, unrelated).await?;
        }
    }
    Ok(())
}

/// Our rule: each watch is asked for itself; revisions may differ as others write.
async fn watch_084(ctx: Context) -> Result<(), Failure> {
    let trusted = is_trusted(&ctx).await?;
    let mut one = open(&ctx, ctx.watch(ctx.key("one"))).await?;
    let mut two = open(&ctx, ctx.watch(ctx.key("two"))).await?;
    let before = put(&ctx, "other", "").await?;
    for watch in [&mut one, &mut two] {
        request(&ctx, watch, trusted, before).await?;
    }
    let revision = put(&ctx, "one", "1").await?;
    check_eq!(event(&ctx, &mut one).await?.revision(), revision);
    for watch in [&mut one, &mut two] {
        request(&ctx, watch, trusted, revision).await?;
    }
    // Nor do those that begin with what has not happened yet keep the others from being answered, nor wait themselves.
    let next = revision.next();
    let _level = open(&ctx, ctx.watch(ctx.key("one")).from_revision(next)).await?;
    let ahead = ctx.watch(ctx.key("one")).from_revision(Revision::new(next.get() + 1_000_000));
    let ahead = open(&ctx, ahead).await?;
    for watch in [&mut one, &mut two] {
        request(&ctx, watch, trusted, revision).await?;
    }
    let answer = ctx.within(PATIENCE, ahead.request_progress()).await?;
    check!(!trusted || answer.is_ok_and(|answer| answer >= revision), "{answer:?}");
    Ok(())
}
