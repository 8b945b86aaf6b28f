//! The measured loop: `concurrency` tasks on one client, each making its share of the calls one after another.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::Error;
use crate::client::{KvClient, StreamClient};
use crate::histogram::Histogram;
use crate::measure::{Report, Window, peak_rss_mb};
use crate::modes;
use crate::plan::{Data, Plan, Workload};
use crate::spawn::Spawn;
use crate::{crowd, watching};

/// Key-values that the large range asks for.
const LARGE: usize = 1_000;

/// Connects a client and runs the plan's load on it.
pub(crate) async fn run<C: StreamClient, S: Spawn>(
    connect: impl Future<Output = Result<C, Error>>,
    spawn: S,
    plan: &Plan,
) -> Result<Report, Error> {
    let data = Arc::new(Data::new(plan.workload));
    match plan.workload {
        Workload::Idle => modes::idle(plan.heap, connect).await,
        Workload::CancelStorm => modes::cancel_storm(connect.await?, spawn, plan, data).await,
        Workload::WatchBatched | Workload::WatchRevisions | Workload::WatchTiny => {
            watching::one(connect.await?, spawn, plan).await
        }
        Workload::SlowReader => watching::slow_reader(connect.await?, spawn, plan, data).await,
        Workload::Watchers => crowd::watchers(connect.await?, spawn, plan).await,
        Workload::Leases => crowd::leases(connect.await?, spawn, plan).await,
        workload => measured(connect.await?, spawn, plan, workload, data).await,
    }
}

async fn measured<C: KvClient, S: Spawn>(
    client: C,
    spawn: S,
    plan: &Plan,
    workload: Workload,
    data: Arc<Data>,
) -> Result<Report, Error> {
    let load = Load { client, spawn, workload, concurrency: plan.concurrency, data };
    load.make_calls(plan.warmup, &Arc::new(Histogram::new())).await?;
    let latencies = Arc::new(Histogram::new());
    let window = Window::open(plan.heap)?;
    let calls = load.make_calls(plan.ops, &latencies).await?;
    let cost = window.close()?;
    let per_call = |total: f64| Some(total / calls.max(1) as f64);
    Ok(Report {
        cpu_us_per_op: per_call(cost.cpu.as_secs_f64() * 1e6),
        p50_us: Some(latencies.quantile_us(0.50)),
        p99_us: Some(latencies.quantile_us(0.99)),
        ops_per_s: Some(calls as f64 / cost.wall.as_secs_f64()),
        allocs_per_op: cost.allocations.and_then(|count| per_call(count as f64)),
        rss_mb: Some(peak_rss_mb()?),
        preempted_per_s: Some(cost.preemptions as f64 / cost.wall.as_secs_f64()),
        ..Report::default()
    })
}

/// Calls made by several tasks.
pub(crate) struct Load<C, S> {
    pub(crate) client: C,
    pub(crate) spawn: S,
    pub(crate) workload: Workload,
    pub(crate) concurrency: usize,
    pub(crate) data: Arc<Data>,
}

impl<C: KvClient, S: Spawn> Load<C, S> {
    /// Makes at least `calls` calls, the same number in each task, and says how many.
    pub(crate) async fn make_calls(&self, calls: usize, latencies: &Arc<Histogram>) -> Result<usize, Error> {
        let share = calls.div_ceil(self.concurrency);
        let mut tasks = Vec::with_capacity(self.concurrency);
        for task in 0..self.concurrency {
            let (client, data, latencies) = (self.client.clone(), self.data.clone(), latencies.clone());
            let first = task * share;
            tasks.push(self.spawn.spawn(one_task(
                client,
                self.workload,
                first..first + share,
                data,
                latencies,
            )));
        }
        for task in tasks {
            task.await?;
        }
        Ok(share * self.concurrency)
    }
}

async fn one_task<C: KvClient>(
    mut client: C,
    workload: Workload,
    calls: Range<usize>,
    data: Arc<Data>,
    latencies: Arc<Histogram>,
) -> Result<(), Error> {
    let mut started = Instant::now();
    for call in calls {
        let (answer, wanted) = match workload {
            Workload::Get => (client.get(data.key(call)).await?, 1),
            Workload::Range1000 => {
                let (from, end) = (Bytes::from_static(b"bench/"), Bytes::from_static(b"bench0"));
                (client.range(from, end, LARGE as i64).await?, LARGE)
            }
            _ => (client.put(data.key(call), data.value.clone()).await?, 0),
        };
        if answer.kvs != wanted || answer.connection == 0 {
            return Err(format!("wrong answer: {answer:?}").into());
        }
        let ended = Instant::now();
        latencies.record(ended - started);
        started = ended;
    }
    Ok(())
}
