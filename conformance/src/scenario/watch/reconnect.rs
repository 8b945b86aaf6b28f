//! Connections between a watch and its member break.

use std::future::IntoFuture;
use std::time::Duration;

use etcdium_client::{Get, Metadata, Put, Revision, WatchItem};
use futures_lite::future::zip;

use super::read::{PATIENCE, SILENCE, created, event, expect, item, open, told};
use crate::proxy::{Direction, Flow};
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Subject, Topology, Watching, check, check_eq, describe, join_all,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-003", Topology::ThreeMembers, "asked for while connections break", |ctx| {
        Box::pin(watch_003(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-005", Topology::ThreeMembers, "goes on behind what was told", |ctx| {
        Box::pin(watch_005(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-009", Topology::OneMember, "cut off before its first event", |ctx| {
        Box::pin(watch_009(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-022", Topology::OneMember, "the creation is told once", |ctx| {
        Box::pin(watch_022(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-028", Topology::OneMember, "2,000 watches given up while they resume", |ctx| {
        Box::pin(watch_028(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-053", Topology::OneMember, "100 streams opened while connections break", |ctx| {
        Box::pin(watch_053(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-089", Topology::OneMember, "resumes from what it saw, not from elsewhere", |ctx| {
        Box::pin(watch_089(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-092", Topology::OneMember, "cancelled while cut off", |ctx| {
        Box::pin(watch_092(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-093", Topology::OneMember, "what happens meanwhile is told afterwards", |ctx| {
        Box::pin(watch_093(ctx))
    })
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-093", Topology::OneMember, "connections cut anywhere in a frame", |ctx| {
        Box::pin(watch_093_cuts(ctx))
    })
    .variant("cuts")
    .needs(&[Need::Proxy]),
    Scenario::new("WATCH-093", Topology::OneMember, "the server falls silent", |ctx| {
        Box::pin(watch_093_silent(ctx))
    })
    .variant("silent")
    .needs(&[Need::Proxy]),
];

/// Who watches, through one proxy, and who writes, around all proxies.
struct Actors {
    ctx: Context,
    watcher: Subject,
    writer: Subject,
}

impl Actors {
    fn new(ctx: &Context) -> Result<Self, Failure> {
        Ok(Self {
            ctx: ctx.clone(),
            watcher: ctx.open(&Setup::new(&ctx.endpoints()[..1]))?,
            writer: ctx.open(&Setup::new(ctx.direct_endpoints()))?,
        })
    }

    async fn put(&self, name: &str, value: &str) -> Result<Revision, Failure> {
        let put = self.writer.send(Put::new(self.ctx.key(name), value));
        Ok(put.timeout(PATIENCE).await?.header.revision)
    }

    /// Breaks every connection of the watcher so many times, each when it has come back, sooner or later in its life.
    async fn harass(&self, times: u64) -> Result<(), Failure> {
        let proxy = self.ctx.proxy(0)?;
        for n in 0..times {
            let before = proxy.counts().accepted;
            proxy.reset();
            self.ctx
                .eventually(PATIENCE, "the watcher connects again", || async {
                    Ok((proxy.counts().accepted > before).then_some(()))
                })
                .await?;
            self.ctx.pause(Duration::from_millis(3 * n % 20)).await;
        }
        proxy.reset();
        Ok(())
    }

    /// Cuts the watcher off, and waits until it knows.
    async fn cut_off(&self, watch: &mut Watching) -> Result<(), Failure> {
        self.ctx.proxy(0)?.disconnect();
        match item(&self.ctx, watch).await? {
            WatchItem::Disconnected { cause } => {
                check!(cause.is_retryable(), "not the connection: {}", describe(&cause));
                Ok(())
            }
            other => Err(Failure::new(format!("expected the loss of the connection, got {other:?}"))),
        }
    }

    fn heal(&self) -> Result<(), Failure> {
        self.ctx.proxy(0)?.heal().map_err(|error| Failure::new(error.to_string()))
    }
}

async fn watch_003(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    actors.watcher.send(Get::new(ctx.key("a"))).await?;
    let asking = ctx.within(2 * PATIENCE, actors.watcher.watch(ctx.key("a")).into_future());
    // The watch may be made in a gap; then it is cut off all the same.
    let (watch, harassed) = zip(asking, actors.harass(8)).await;
    harassed?;
    let mut watch = watch??;
    ctx.within(PATIENCE, actors.writer.send(Get::new(ctx.key("a"))).into_future()).await??;
    actors.put("a", "a").await?;
    expect(&ctx, &mut watch, &["PUT a=a"]).await
}

async fn watch_005(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let mut watch = open(&ctx, actors.watcher.watch(ctx.key("a"))).await?;
    actors.put("a", "0").await?;
    expect(&ctx, &mut watch, &["PUT a=0"]).await?;
    for n in 1..4 {
        ctx.proxy(0)?.reset();
        actors.put("a", &n.to_string()).await?;
        expect(&ctx, &mut watch, &[&format!("PUT a={n}")]).await?;
    }
    Ok(())
}

/// An item holds one revision, so the two events are two items. The connection breaks at some moment after the creation,
/// so they may have come before; a few rounds catch it on its way.
async fn watch_009(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let start = actors.put("b", "2").await?;
    actors.put("a", "3").await?;
    let last = actors.put("a", "4").await?;
    for _ in 0..5 {
        let watch = actors.watcher.watch(ctx.key("a")).from_revision(start).created().connection_notices();
        let mut watch = open(&ctx, watch).await?;
        let proxy = ctx.proxy(0)?;
        proxy.pause();
        proxy.reset();
        check!(created(&ctx, &mut watch).await? >= last);
        let mut seen = Vec::new();
        let mut cut = false;
        while seen.len() < 2 {
            match item(&ctx, &mut watch).await? {
                WatchItem::Events { events, .. } => seen.extend(events.iter().map(|event| told(&ctx, event))),
                WatchItem::Disconnected { .. } if !cut => {
                    cut = true;
                    watch.silent(SILENCE).await?;
                    actors.heal()?;
                }
                WatchItem::Resumed { from } if cut => {
                    let expected = if seen.is_empty() { start } else { last };
                    check_eq!(from, expected, "resumed with {} events told", seen.len());
                }
                other => return Err(Failure::new(format!("{other:?}"))),
            }
        }
        check_eq!(seen, ["PUT a=3", "PUT a=4"]);
        actors.heal()?;
    }
    Ok(())
}

async fn watch_022(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let mut watch = open(&ctx, actors.watcher.watch(ctx.key("a")).created()).await?;
    created(&ctx, &mut watch).await?;
    ctx.proxy(0)?.reset();
    actors.put("a", "1").await?;
    // It was made again on the server by now, and that is not told.
    expect(&ctx, &mut watch, &["PUT a=1"]).await
}

async fn watch_028(ctx: Context) -> Result<(), Failure> {
    const WATCHES: usize = 2_000;
    let actors = Actors::new(&ctx)?;
    let watches = (0..WATCHES).map(|n| actors.watcher.watch(ctx.key(&n.to_string())).into_future());
    let watches = ctx.within(2 * PATIENCE, join_all(watches)).await?;
    let mut watches = watches.into_iter().collect::<Result<Vec<Watching>, _>>()?;
    let lost = actors.watcher.stats().connections_lost;
    ctx.proxy(0)?.reset();
    ctx.eventually(PATIENCE, "the connection is lost", || async {
        Ok((actors.watcher.stats().connections_lost > lost).then_some(()))
    })
    .await?;
    // Half of them while they resume, the others by the end of the client.
    watches.truncate(WATCHES / 2);
    check_eq!(actors.watcher.stats().watches, WATCHES / 2);
    actors.watcher.close();
    for watch in &mut watches {
        check_eq!(ctx.within(PATIENCE, watch.next()).await?, None);
    }
    let stats = actors.watcher.stats();
    check_eq!((stats.watches, stats.watch_streams, stats.in_flight), (0, 0, 0));
    Ok(())
}

async fn watch_053(ctx: Context) -> Result<(), Failure> {
    const STREAMS: usize = 100;
    let actors = Actors::new(&ctx)?;
    let task = |n: usize| {
        let (ctx, watcher) = (ctx.clone(), actors.watcher.clone());
        async move {
            let stream = Metadata::new().with("stream", &n.to_string());
            let stream = stream.map_err(|error| Failure::new(error.to_string()))?;
            let watch = watcher.watch(ctx.key("a")).metadata(stream).into_future();
            let watch = ctx.within(2 * PATIENCE, watch).await??;
            Ok::<_, Failure>(watch)
        }
    };
    let tasks = join_all((0..STREAMS).map(task));
    let (watches, harassed) = zip(tasks, actors.harass(5)).await;
    harassed?;
    let mut watches = watches.into_iter().collect::<Result<Vec<Watching>, _>>()?;
    check_eq!(actors.watcher.stats().watch_streams, STREAMS);
    actors.put("a", "after").await?;
    for watch in &mut watches {
        expect(&ctx, watch, &["PUT a=after"]).await?;
    }
    Ok(())
}

/// Nobody can set a revision from outside; what a watch resumes from is what it was told, or what was asked for when
/// nothing was.
async fn watch_089(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let watch = |key| actors.watcher.watch(ctx.key(key)).connection_notices();
    let mut present = open(&ctx, watch("a")).await?;
    let now = actors.put("a", "1").await?;
    expect(&ctx, &mut present, &["PUT a=1"]).await?;
    let future = Revision::new(now.get() + 10_000);
    let mut late = open(&ctx, watch("a").from_revision(future)).await?;

    actors.cut_off(&mut present).await?;
    check_eq!((present.next_revision(), late.next_revision()), (Some(now.next()), Some(future)));
    actors.heal()?;
    check_eq!(item(&ctx, &mut present).await?, WatchItem::Resumed { from: now.next() });
    check!(matches!(item(&ctx, &mut late).await?, WatchItem::Disconnected { .. }));
    check_eq!(item(&ctx, &mut late).await?, WatchItem::Resumed { from: future });
    actors.put("a", "2").await?;
    expect(&ctx, &mut present, &["PUT a=2"]).await?;
    late.silent(SILENCE).await
}

async fn watch_092(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let mut cancelled = open(&ctx, actors.watcher.watch(ctx.key("a")).connection_notices()).await?;
    let dropped = open(&ctx, actors.watcher.watch(ctx.key("a"))).await?;
    actors.cut_off(&mut cancelled).await?;
    drop(dropped);
    ctx.within(PATIENCE, cancelled.cancel()).await?;
    check_eq!((actors.watcher.stats().watches, actors.watcher.stats().watch_streams), (0, 0));
    actors.heal()?;
    actors.watcher.send(Get::new(ctx.key("a"))).timeout(PATIENCE).await?;
    let stats = actors.watcher.stats();
    check_eq!((stats.watches, stats.watch_streams, stats.in_flight), (0, 0, 0));
    Ok(())
}

async fn watch_093(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let mut watch = open(&ctx, actors.watcher.watch(ctx.key("a")).prefix().connection_notices()).await?;
    for round in 0..3 {
        let seen = actors.put("a", &format!("{round}")).await?;
        expect(&ctx, &mut watch, &[&format!("PUT a={round}")]).await?;
        actors.cut_off(&mut watch).await?;
        actors.put("a1", "meanwhile").await?;
        actors.put("a2", "meanwhile").await?;
        actors.heal()?;
        check_eq!(item(&ctx, &mut watch).await?, WatchItem::Resumed { from: seen.next() });
        expect(&ctx, &mut watch, &["PUT a1=meanwhile", "PUT a2=meanwhile"]).await?;
    }
    Ok(())
}

/// The connection breaks after so many bytes from the server, wherever that is in a frame or a message.
async fn watch_093_cuts(ctx: Context) -> Result<(), Failure> {
    const PUTS: usize = 10;
    let actors = Actors::new(&ctx)?;
    let mut watch = open(&ctx, actors.watcher.watch(ctx.key("a"))).await?;
    let proxy = ctx.proxy(0)?;
    for bytes in [0, 1, 8, 9, 14, 60, 1_000, 8_200, 20_000, 33_333] {
        let reset = proxy.counts().reset;
        proxy.cut_after(Direction::ToClient, bytes);
        let value = |n| format!("{bytes}-{n}-{}", "x".repeat(8_000));
        for n in 0..PUTS {
            actors.put("a", &value(n)).await?;
        }
        for n in 0..PUTS {
            check_eq!(told(&ctx, &event(&ctx, &mut watch).await?), format!("PUT a={}", value(n)));
        }
        check!(proxy.counts().reset > reset, "not cut after {bytes} bytes");
    }
    Ok(())
}

/// What the server says vanishes, while the connection stays open: a call that waits finds that out for the watch, too.
async fn watch_093_silent(ctx: Context) -> Result<(), Failure> {
    let actors = Actors::new(&ctx)?;
    let mut watch = open(&ctx, actors.watcher.watch(ctx.key("a")).connection_notices()).await?;
    let seen = actors.put("a", "before").await?;
    expect(&ctx, &mut watch, &["PUT a=before"]).await?;
    ctx.proxy(0)?.set_flow(Direction::ToClient, Flow::Swallow);
    actors.put("a", "meanwhile").await?;
    let call = actors.watcher.send(Get::new(ctx.key("a"))).timeout(Duration::from_secs(5));
    let (told, called) = zip(item(&ctx, &mut watch), call.into_future()).await;
    match told? {
        WatchItem::Disconnected { cause } => check!(cause.is_retryable(), "{}", describe(&cause)),
        other => return Err(Failure::new(format!("expected the loss of the connection, got {other:?}"))),
    }
    check!(called.is_err(), "answered by a server that cannot be heard");
    actors.heal()?;
    check_eq!(item(&ctx, &mut watch).await?, WatchItem::Resumed { from: seen.next() });
    expect(&ctx, &mut watch, &["PUT a=meanwhile"]).await
}
