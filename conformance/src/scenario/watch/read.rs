//! Reading watches, and what bodies write for them to read.

use std::time::Duration;

use etcdium_client::{
    Delete, Event, EventKind, Events, Get, Put, Revision, WatchError, WatchErrorKind, WatchItem,
};

use crate::scenario::{Context, Failure, Watch, Watching, check_eq, text};

/// How long an item may take to come on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing has to come where it cannot be seen otherwise.
pub(super) const SILENCE: Duration = Duration::from_millis(150);

/// Makes a watch.
pub(super) async fn open(ctx: &Context, watch: Watch) -> Result<Watching, Failure> {
    Ok(ctx.within(PATIENCE, watch.into_future()).await??)
}

/// The next item.
pub(super) async fn item(ctx: &Context, watch: &mut Watching) -> Result<WatchItem, Failure> {
    match ctx.within(PATIENCE, watch.next()).await? {
        Some(Ok(item)) => Ok(item),
        Some(Err(error)) => Err(error.into()),
        None => Err(Failure::new("the watch is over")),
    }
}

/// The events of the next item, which must be events.
pub(super) async fn events(ctx: &Context, watch: &mut Watching) -> Result<Events<Event>, Failure> {
    match item(ctx, watch).await? {
        WatchItem::Events { revision, events } => {
            for event in events.iter() {
                check_eq!(event.revision(), revision, "revision of {event:?}");
            }
            Ok(events)
        }
        other => Err(Failure::new(format!("expected events, got {other:?}"))),
    }
}

/// The event of the next item, which must be one alone.
pub(super) async fn event(ctx: &Context, watch: &mut Watching) -> Result<Event, Failure> {
    let mut events = events(ctx, watch).await?.into_iter();
    match (events.next(), events.len()) {
        (Some(event), 0) => Ok(event),
        (first, more) => Err(Failure::new(format!("expected one event, got {first:?} and {more} more"))),
    }
}

/// Demands that the next items are these single events, as [`told`] tells them.
pub(super) async fn expect(ctx: &Context, watch: &mut Watching, expected: &[&str]) -> Result<(), Failure> {
    for &expected in expected {
        check_eq!(told(ctx, &event(ctx, watch).await?), expected);
    }
    Ok(())
}

/// The revision of the notice that a watch is made, which must be next.
pub(super) async fn created(ctx: &Context, watch: &mut Watching) -> Result<Revision, Failure> {
    match item(ctx, watch).await? {
        WatchItem::Created { revision } => Ok(revision),
        other => Err(Failure::new(format!("expected the creation, got {other:?}"))),
    }
}

/// The error a watch ends with next, and that nothing follows it.
pub(super) async fn error(ctx: &Context, watch: &mut Watching) -> Result<WatchError, Failure> {
    match ctx.within(PATIENCE, watch.next()).await? {
        Some(Err(error)) => {
            ended(ctx, watch).await?;
            Ok(error)
        }
        other => Err(Failure::new(format!("expected an error, got {other:?}"))),
    }
}

/// Demands that a watch is over, without an item or an error.
pub(super) async fn ended(ctx: &Context, watch: &mut Watching) -> Result<(), Failure> {
    match ctx.within(PATIENCE, watch.next()).await? {
        None => Ok(()),
        Some(other) => Err(Failure::new(format!("expected the end, got {other:?}"))),
    }
}

/// Demands that a watch is refused as it is made.
pub(super) async fn refused(ctx: &Context, watch: Watch) -> Result<WatchErrorKind, Failure> {
    match ctx.within(PATIENCE, watch.into_future()).await? {
        Err(error) => Ok(error.kind().clone()),
        Ok(watch) => Err(Failure::new(format!("expected an error, got {watch:?}"))),
    }
}

/// An event in words: `PUT key=value` or `DELETE key`, without the case's prefix.
pub(super) fn told(ctx: &Context, event: &Event) -> String {
    let key = ctx.name(&event.kv.key);
    match event.kind {
        EventKind::Delete => format!("DELETE {key}"),
        _ => format!("PUT {key}={}", text(&event.kv.value)),
    }
}

/// What tells an event from others: its words, and the revisions and version of its pair.
pub(super) fn detail(ctx: &Context, event: &Event) -> (String, Revision, Revision, i64) {
    (told(ctx, event), event.kv.create_revision, event.kv.mod_revision, event.kv.version)
}

/// Puts a key of the case; the revision.
pub(super) async fn put(ctx: &Context, name: &str, value: &str) -> Result<Revision, Failure> {
    Ok(ctx.send(Put::new(ctx.key(name), value)).timeout(PATIENCE).await?.header.revision)
}

/// Deletes a key of the case; the revision.
pub(super) async fn delete(ctx: &Context, name: &str) -> Result<Revision, Failure> {
    Ok(ctx.send(Delete::new(ctx.key(name))).timeout(PATIENCE).await?.header.revision)
}

/// A revision of the past, from which nothing of the case happened yet: a watch from there has to catch up.
pub(super) async fn past(ctx: &Context) -> Result<Revision, Failure> {
    let past = put(ctx, "~past", "1").await?;
    put(ctx, "~past", "2").await?;
    Ok(past)
}

/// Lets every member catch up. A watch from now on begins where its member is, and that may be behind what another has
/// answered: then it tells of puts that were made before it.
pub(super) async fn caught_up(ctx: &Context) -> Result<(), Failure> {
    for endpoint in ctx.endpoints() {
        ctx.send(Get::new(ctx.key("~past"))).endpoint(endpoint).timeout(PATIENCE).await?;
    }
    Ok(())
}

/// Waits until the subject has no watches and no streams for them any more.
pub(super) async fn no_watches(ctx: &Context) -> Result<(), Failure> {
    ctx.eventually(PATIENCE, "no watches are left", || async {
        let stats = ctx.subject().stats();
        Ok(((stats.watches, stats.watch_streams) == (0, 0)).then_some(()))
    })
    .await
}
