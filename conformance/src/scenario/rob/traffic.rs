//! Clients that write, watch and compact while members are killed.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use etcdium_client::{
    Compact, Delete, Error, EtcdError, Get, Op, Put, Revision, Txn, WatchErrorKind, WatchItem,
};
use futures_lite::future::zip;

use super::judge::{Account, History, Told};
use crate::scenario::{Context, Failure, Setup, Subject, check, describe, join_all};

/// How long a busy machine may need for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So that all together leave a small machine some time.
const PAUSE: Duration = Duration::from_millis(10);
/// Writers, and keys: each has one that it mostly writes.
const WRITERS: usize = 8;
const WATCHERS: usize = 8;
/// How far behind the newest revision the history is compacted.
const KEPT: i64 = 100;
/// The key that is written last.
const END: &str = "~end";

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) members: usize,
    pub(super) kills: usize,
    /// How many writes have to succeed before, between and after kills.
    pub(super) writes: usize,
    /// Watches ask for progress.
    pub(super) progress: bool,
}

/// What all share.
#[derive(Default)]
struct State {
    /// The newest revision that was answered.
    newest: AtomicI64,
    /// What the record has: nothing is compacted before it is recorded.
    recorded: AtomicI64,
    /// The highest revision that a watch began at.
    furthest: AtomicI64,
    writes: AtomicUsize,
    /// Writers stop.
    over: AtomicBool,
}

impl State {
    fn saw(&self, revision: Revision) {
        self.newest.fetch_max(revision.get(), Ordering::Relaxed);
    }

    fn newest(&self) -> Revision {
        self.newest.load(Ordering::Relaxed).into()
    }
}

fn key(n: usize) -> String {
    format!("key{n}")
}

/// A subject for one member, or for all.
fn subject(ctx: &Context, n: usize, pinned: usize, load: Load) -> Result<Subject, Failure> {
    let endpoints = ctx.endpoints();
    let member = n % load.members;
    ctx.open(&Setup::new(if n < pinned { &endpoints[member..=member] } else { endpoints }))
}

/// Lets all run, and judges every watch by the history.
pub(super) async fn run(ctx: Context, mut load: Load) -> Result<(), Failure> {
    if ctx.is_simulated() {
        // It computes for others, and there are worlds made for this.
        load = Load { kills: 1, writes: load.writes / 4, ..load };
    }
    let state = State::default();
    let start = ctx.send(Put::new(ctx.key("start"), "")).await?.header.revision.next();
    state.saw(start);
    let record = record(&ctx, &state, start);
    let watches = join_all((0..WATCHERS).map(|n| watch(&ctx, n, load, &state, start)));
    let work = async {
        let writes = join_all((0..WRITERS).map(|n| write(&ctx, n, load, &state)));
        let faults = async {
            let killed = kill(&ctx, load, &state).await;
            state.over.store(true, Ordering::Relaxed);
            killed
        };
        let ((written, compacted), killed) = zip(zip(writes, compact(&ctx, &state)), faults).await;
        killed?;
        compacted?;
        written.into_iter().collect::<Result<(), Failure>>()?;
        // What every watch waits for, where every watch has begun.
        while state.newest().get() < state.furthest.load(Ordering::Relaxed) {
            state.saw(ctx.send(Put::new(ctx.key("more"), "")).timeout(PATIENCE).await?.header.revision);
        }
        for name in (0..WRITERS).map(key).chain([END.to_owned()]) {
            ctx.send(Put::new(ctx.key(&name), "end")).timeout(PATIENCE).await?;
        }
        ctx.send(Get::new(ctx.key("")).prefix()).timeout(PATIENCE).await.map_err(Failure::from)
    };
    let ((record, watches), last) = zip(zip(record, watches), work).await;
    let history = History::new(&record?, &without_start(last?, &ctx.key("start")))?;
    for accounts in watches {
        for account in accounts? {
            history.judge(&account)?;
        }
    }
    Ok(())
}

fn without_start(mut last: etcdium_client::GetResponse, start: &str) -> etcdium_client::GetResponse {
    last.kvs.retain(|kv| kv.key != start);
    last
}

/// Everything, by one watch for all of the time.
async fn record(ctx: &Context, state: &State, start: Revision) -> Result<Account, Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let watch = subject.watch(ctx.key("")).prefix().from_revision(start).into_future();
    let mut watch = ctx.within(PATIENCE, watch).await??;
    let name = "the record".to_owned();
    let mut account = Account { name, key: ctx.key("").into(), prefix: true, start, told: Vec::new() };
    loop {
        match ctx.within(PATIENCE, watch.next()).await? {
            Some(Ok(WatchItem::Events { revision, events })) => {
                let last = events.iter().any(|event| event.kv.key == ctx.key(END));
                account.told.push(Told::Events(revision, events.into_iter().collect()));
                state.recorded.store(revision.get(), Ordering::Relaxed);
                if last {
                    return Ok(account);
                }
            }
            other => {
                return Err(Failure::new(format!("the record at {:?}: {other:?}", watch.next_revision())));
            }
        }
    }
}

/// One watch after the other, from now, from the past and from the future, of one key or of all.
async fn watch(
    ctx: &Context,
    n: usize,
    load: Load,
    state: &State,
    first: Revision,
) -> Result<Vec<Account>, Failure> {
    let subject = subject(ctx, n, WATCHERS / 2, load)?;
    let prefix = n % 2 == 0;
    let (key, last) = if prefix { (ctx.key(""), ctx.key(END)) } else { (ctx.key(&key(n)), ctx.key(&key(n))) };
    let mut accounts = Vec::new();
    let mut start = first;
    for turn in 0.. {
        let mut watch = subject.watch(&key).from_revision(start);
        if prefix {
            watch = watch.prefix();
        }
        if load.progress {
            watch = watch.progress_notify();
        }
        let mut watch = ctx.within(PATIENCE, watch.into_future()).await??;
        let name = format!("watch {n}.{turn}");
        let mut account = Account { name, key: key.clone().into(), prefix, start, told: Vec::new() };
        let items = 50 + 25 * n;
        let mut over = false;
        start = loop {
            if load.progress && account.told.len() % 8 == 7 {
                // Whatever it says comes in-band as well; servers that cannot say it are known.
                let _ = ctx.within(PATIENCE, watch.request_progress()).await?;
            }
            match ctx.within(PATIENCE, watch.next()).await? {
                Some(Ok(WatchItem::Events { revision, events })) => {
                    over = events.iter().any(|event| event.kv.key == last && event.kv.value == "end");
                    account.told.push(Told::Events(revision, events.into_iter().collect()));
                }
                Some(Ok(WatchItem::Progress { revision })) => account.told.push(Told::Progress(revision)),
                Some(Err(error)) => match *error.kind() {
                    WatchErrorKind::Compacted { oldest } => {
                        let next = error.next_revision();
                        check!(next.is_some_and(|next| next < oldest), "{next:?} is not before {oldest}");
                        break oldest;
                    }
                    _ => return Err(error.into()),
                },
                other => return Err(Failure::new(format!("watch {n}: {other:?}"))),
            }
            if over {
                break Revision::ZERO;
            }
            if account.told.len() >= items && !state.over.load(Ordering::Relaxed) {
                let start: Revision = [
                    watch.next_revision().unwrap_or(first),
                    (state.newest().get() - KEPT / 2).max(first.get()).into(),
                    (state.newest().get() + 20).into(),
                ][turn % 3];
                state.furthest.fetch_max(start.get(), Ordering::Relaxed);
                break start;
            }
        };
        accounts.push(account);
        if over {
            break;
        }
    }
    Ok(accounts)
}

/// Puts, deletes and puts together with others until it is over.
async fn write(ctx: &Context, n: usize, load: Load, state: &State) -> Result<(), Failure> {
    let subject = subject(ctx, n, WRITERS - 2, load)?;
    let own = ctx.key(&key(n));
    for turn in 0.. {
        if state.over.load(Ordering::Relaxed) {
            break;
        }
        let value = format!("{n}-{turn}");
        let written = match turn % 5 {
            3 => subject
                .send(Delete::new(&own))
                .timeout(TIMEOUT)
                .await
                .map(|response| response.header.revision),
            4 => {
                let neighbour = ctx.key(&key((n + 1) % WRITERS));
                let both = [Op::from(Put::new(&own, &value)), Put::new(neighbour, &value).into()];
                let txn = subject.send(Txn::new().and_then(both)).timeout(TIMEOUT);
                txn.await.map(|response| response.header.revision)
            }
            _ => {
                let put = subject.send(Put::new(&own, &value)).timeout(TIMEOUT);
                put.await.map(|response| response.header.revision)
            }
        };
        match written {
            Ok(revision) => {
                state.saw(revision);
                state.writes.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tolerate(&error)?,
        }
        ctx.pause(PAUSE).await;
    }
    Ok(())
}

/// Compacts what is some way behind, again and again.
async fn compact(ctx: &Context, state: &State) -> Result<(), Failure> {
    while !state.over.load(Ordering::Relaxed) {
        let at = (state.newest().get() - KEPT).min(state.recorded.load(Ordering::Relaxed));
        if at > 0 {
            match ctx.send(Compact::new(at)).timeout(TIMEOUT).await {
                Ok(_) => {}
                // Done before its answer was lost, or behind the head of a store that is catching up.
                Err(error) if matches!(error.etcd(), Some(EtcdError::Compacted | EtcdError::FutureRev)) => {}
                Err(error) => tolerate(&error)?,
            }
        }
        ctx.pause(20 * PAUSE).await;
    }
    Ok(())
}

/// Kills one member after the other, and demands that writes go on before and after.
async fn kill(ctx: &Context, load: Load, state: &State) -> Result<(), Failure> {
    for n in 0..load.kills {
        progress(ctx, load, state).await?;
        let member = n % load.members;
        ctx.kill(member).await?;
        if load.members > 1 {
            // The others go on without it.
            ctx.leader().await?;
        }
        ctx.restart(member).await?;
    }
    progress(ctx, load, state).await
}

async fn progress(ctx: &Context, load: Load, state: &State) -> Result<(), Failure> {
    let before = state.writes.load(Ordering::Relaxed);
    ctx.eventually(PATIENCE, "writes go on", || async {
        Ok((state.writes.load(Ordering::Relaxed) >= before + load.writes).then_some(()))
    })
    .await
}

/// With its member gone, a call may fail; but then it says that it may succeed later.
fn tolerate(error: &Error) -> Result<(), Failure> {
    check!(error.is_retryable(), "not due to a kill: {}", describe(error));
    Ok(())
}
