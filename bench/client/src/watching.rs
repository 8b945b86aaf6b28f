//! Loads of one or two watches with many events.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::Error;
use crate::client::{Batch, Reader, StreamClient, Watcher};
use crate::histogram::Histogram;
use crate::load::Load;
use crate::measure::{Report, Window, peak_rss_mb};
use crate::plan::{Data, Plan, Workload};
use crate::spawn::Spawn;

/// No load of this file takes a fifth of this; whoever needs more hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the reader of tiny events does once, after so many events.
const PAUSE: Duration = Duration::from_secs(1);
const BEFORE_PAUSE: usize = 1_000;
/// What the slow reader does after every batch of events, as long as there are puts.
const SLOWNESS: Duration = Duration::from_millis(5);

/// Events that arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: usize,
    bytes: usize,
    last: i64,
}

impl Seen {
    fn add(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.events > 0 && batch.first <= self.last {
            return Err(format!("revision {} comes after {}", batch.first, self.last).into());
        }
        self.events += batch.events;
        self.bytes += batch.bytes;
        self.last = batch.last;
        Ok(())
    }
}

/// One watch of a history that is ready: CPU per event.
pub(crate) async fn one<C: StreamClient, S: Spawn>(
    mut client: C,
    spawn: S,
    plan: &Plan,
) -> Result<Report, Error> {
    let (kind, value_len, reader) = match plan.workload {
        Workload::WatchBatched => ("batched", 256, Reader::Prompt),
        Workload::WatchRevisions => ("revisions", 256, Reader::Prompt),
        _ => ("tiny", 16, Reader::Pausing),
    };
    let mut warm = Seen::default();
    let mut watcher = client.watch(feed(kind, plan.warmup)?, Reader::Prompt).await?;
    within(&spawn, read(&mut watcher, plan.warmup, &mut warm)).await?;
    drop(watcher);
    let before = client.get("bench/00000000".into()).await?.connection;

    let mut seen = Seen::default();
    let window = Window::open(plan.heap)?;
    let outcome = async {
        let mut watcher = client.watch(feed(kind, plan.ops)?, reader).await?;
        if reader == Reader::Pausing {
            read(&mut watcher, BEFORE_PAUSE.min(plan.ops), &mut seen).await?;
            spawn.sleep(PAUSE).await;
        }
        read(&mut watcher, plan.ops, &mut seen).await
    };
    let outcome = within(&spawn, outcome).await;
    let cost = window.close()?;
    let after = client.get("bench/00000000".into()).await.map(|answer| answer.connection);
    let trouble = match (outcome, after) {
        (Err(error), _) => Some(format!("the watch: {error}")),
        (_, Err(error)) => Some(format!("a get afterwards: {error}")),
        (Ok(()), Ok(after)) if after != before => Some("the connection was lost".to_owned()),
        (Ok(()), Ok(_)) if seen.bytes != value_len * seen.events => Some("values are cut".to_owned()),
        (Ok(()), Ok(_)) => None,
    };
    let per_event = |total: f64| Some(total / seen.events.max(1) as f64);
    Ok(Report {
        cpu_us_per_op: per_event(cost.cpu.as_secs_f64() * 1e6),
        ops_per_s: Some(seen.events as f64 / cost.wall.as_secs_f64()),
        allocs_per_op: cost.allocations.and_then(|count| per_event(count as f64)),
        rss_mb: Some(peak_rss_mb()?),
        preempted_per_s: Some(cost.preemptions as f64 / cost.wall.as_secs_f64()),
        lost: Some(plan.ops.abs_diff(seen.events) as f64),
        trouble,
        ..Report::default()
    })
}

/// Puts that are events as well: first one prompt reader watches them, then a slow one beside it. The slow one reads
/// what it missed when the puts are over.
pub(crate) async fn slow_reader<C: StreamClient, S: Spawn>(
    client: C,
    spawn: S,
    plan: &Plan,
    data: Arc<Data>,
) -> Result<Report, Error> {
    let load = Load { client, spawn, workload: Workload::SlowReader, concurrency: plan.concurrency, data };
    load.make_calls(plan.warmup, &Arc::new(Histogram::new())).await?;
    let without = Arc::new(Histogram::new());
    let mut lost = phase(&load, plan.ops, &[Reader::Prompt], &without).await?;
    let with = Arc::new(Histogram::new());
    let window = Window::open(None)?;
    let outcome = phase(&load, plan.ops, &[Reader::Prompt, Reader::Slow], &with).await;
    let cost = window.close()?;
    let mut trouble = None;
    match outcome {
        Ok(more) => lost += more,
        Err(error) => trouble = Some(error.to_string()),
    }
    Ok(Report {
        cpu_us_per_op: trouble.is_none().then(|| cost.cpu.as_secs_f64() * 1e6 / plan.ops as f64),
        p50_us: Some(with.quantile_us(0.50)),
        p99_us: Some(with.quantile_us(0.99)),
        p99_without_us: Some(without.quantile_us(0.99)),
        ops_per_s: Some(plan.ops as f64 / cost.wall.as_secs_f64()),
        rss_mb: Some(peak_rss_mb()?),
        preempted_per_s: Some(cost.preemptions as f64 / cost.wall.as_secs_f64()),
        lost: trouble.is_none().then_some(lost as f64),
        trouble,
        ..Report::default()
    })
}

/// Makes all calls while these readers watch. Says how many events did not arrive.
async fn phase<C: StreamClient, S: Spawn>(
    load: &Load<C, S>,
    calls: usize,
    readers: &[Reader],
    latencies: &Arc<Histogram>,
) -> Result<usize, Error> {
    let calls = calls.next_multiple_of(load.concurrency);
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for reader in readers {
        let mut watcher = load.client.clone().watch(feed("puts", 0)?, *reader).await?;
        let (over, spawn, slow) = (Arc::clone(&over), load.spawn.clone(), *reader == Reader::Slow);
        tasks.push(load.spawn.spawn(async move {
            let mut seen = Seen::default();
            while seen.events < calls {
                seen.add(watcher.next().await?)?;
                if slow && !over.load(Ordering::Relaxed) {
                    spawn.sleep(SLOWNESS).await;
                }
            }
            Ok::<_, Error>(seen.events)
        }));
    }
    let made = within(&load.spawn, load.make_calls(calls, latencies)).await;
    over.store(true, Ordering::Relaxed);
    made.map_err(|error| format!("the puts: {error}"))?;
    let mut lost = 0;
    for (task, reader) in tasks.into_iter().zip(readers) {
        let seen = within(&load.spawn, task).await.map_err(|error| format!("{reader:?} reader: {error}"))?;
        lost += calls.abs_diff(seen);
    }
    Ok(lost)
}

/// The key of a new history; see `stub/src/store.rs`.
fn feed(kind: &str, events: usize) -> Result<Bytes, Error> {
    // A stub serves many runs, and no two of them may share a history.
    let nonce = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    Ok(format!("bench/feed/{kind}/{events}/{nonce}").into())
}

/// Reads on until so many events were seen.
async fn read<W: Watcher>(watcher: &mut W, events: usize, seen: &mut Seen) -> Result<(), Error> {
    while seen.events < events {
        seen.add(watcher.next().await?)?;
    }
    Ok(())
}

/// Waits for a future, but not for ever.
pub(crate) async fn within<S: Spawn, T>(
    spawn: &S,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let (mut future, mut alarm) = (pin!(future), pin!(spawn.sleep(PATIENCE)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| Err(format!("hangs after {PATIENCE:?}").into())),
        ready => ready,
    })
    .await
}
