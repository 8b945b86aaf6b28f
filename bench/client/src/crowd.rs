//! Loads of ten thousand watchers and of ten thousand leases on one client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Error;
use crate::client::{Reader, StreamClient, Watcher};
use crate::measure::{Report, Window, peak_rss_mb, rss_mb};
use crate::plan::Plan;
use crate::spawn::Spawn;
use crate::watching::within;

/// Time to live of the leases, in seconds. They are renewed three times in it.
const TTL: i64 = 6;
/// How long renewals are counted: two rounds of them.
const RENEWING: Duration = Duration::from_secs(4);

/// Creates `ops` watchers, `concurrency` at a time, and then writes every key once: each watcher must see it. Needs an
/// etcd.
pub(crate) async fn watchers<C: StreamClient, S: Spawn>(
    mut client: C,
    spawn: S,
    plan: &Plan,
) -> Result<Report, Error> {
    // One watch that comes and goes: what all of them share is there.
    client.watch(key(plan.ops), Reader::Prompt).await?;
    client.put(key(0), Bytes::from_static(b"before")).await?;
    let memory = rss_mb()?;
    let window = Window::open(plan.heap)?;
    let created = Instant::now();
    let watchers = in_tasks(&client, &spawn, plan, |mut client, index| async move {
        client.watch(key(index), Reader::Prompt).await
    })
    .await?;
    let create = created.elapsed();
    let cost = window.close()?;
    let growth = rss_mb()? - memory;
    in_tasks(&client, &spawn, plan, |mut client, index| async move {
        client.put(key(index), Bytes::from_static(b"after")).await
    })
    .await?;
    let mut lost = 0;
    let mut trouble = None;
    for mut watcher in watchers {
        match within(&spawn, watcher.next()).await {
            Ok(batch) if batch.events == 1 && batch.bytes == 5 => {}
            Ok(_) => lost += 1,
            Err(error) => {
                lost += 1;
                trouble = Some(error.to_string());
                break;
            }
        }
    }
    Ok(Report {
        cpu_us_per_op: Some(cost.cpu.as_secs_f64() * 1e6 / plan.ops as f64),
        ops_per_s: Some(plan.ops as f64 / create.as_secs_f64()),
        rss_mb: Some(peak_rss_mb()?),
        preempted_per_s: Some(cost.preemptions as f64 / cost.wall.as_secs_f64()),
        rss_growth_mb: Some(growth),
        create_s: Some(create.as_secs_f64()),
        lost: Some(f64::from(lost)),
        trouble,
        ..Report::default()
    })
}

/// Makes `ops` leases, `concurrency` at a time, and keeps them alive: CPU per renewal. Needs the stub, which counts the
/// renewals.
pub(crate) async fn leases<C: StreamClient, S: Spawn>(
    mut client: C,
    spawn: S,
    plan: &Plan,
) -> Result<Report, Error> {
    client.get("bench/00000000".into()).await?;
    let memory = rss_mb()?;
    let granted = Instant::now();
    let mut leases =
        in_tasks(&client, &spawn, plan, |mut client, _| async move { client.lease(TTL).await }).await?;
    let create = granted.elapsed();
    let before = renewals(plan.addr)?;
    let window = Window::open(plan.heap)?;
    let lost = client.keep(&mut leases, TTL, RENEWING, &spawn).await?;
    let cost = window.close()?;
    let renewed = renewals(plan.addr)? - before;
    let growth = rss_mb()? - memory;
    let trouble = (renewed < plan.ops as u64).then(|| format!("{renewed} renewals only"));
    Ok(Report {
        cpu_us_per_op: Some(cost.cpu.as_secs_f64() * 1e6 / renewed.max(1) as f64),
        ops_per_s: Some(renewed as f64 / cost.wall.as_secs_f64()),
        rss_mb: Some(peak_rss_mb()?),
        preempted_per_s: Some(cost.preemptions as f64 / cost.wall.as_secs_f64()),
        rss_growth_mb: Some(growth),
        create_s: Some(create.as_secs_f64()),
        lost: Some(lost as f64),
        trouble,
        ..Report::default()
    })
}

fn key(index: usize) -> Bytes {
    format!("bench/watchers/{index:08}").into()
}

/// Makes `ops` calls in `concurrency` tasks and gives all results.
async fn in_tasks<C, S, T, F>(
    client: &C,
    spawn: &S,
    plan: &Plan,
    call: impl Fn(C, usize) -> F + Copy + Send + 'static,
) -> Result<Vec<T>, Error>
where
    C: StreamClient,
    S: Spawn,
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send,
{
    let share = plan.ops.div_ceil(plan.concurrency);
    let mut tasks = Vec::with_capacity(plan.concurrency);
    for task in 0..plan.concurrency {
        let calls = (task * share).min(plan.ops)..((task + 1) * share).min(plan.ops);
        let client = client.clone();
        tasks.push(spawn.spawn(async move {
            let mut results = Vec::with_capacity(calls.len());
            for index in calls {
                results.push(call(client.clone(), index).await?);
            }
            Ok::<_, Error>(results)
        }));
    }
    let mut results = Vec::with_capacity(plan.ops);
    for task in tasks {
        results.extend(task.await?);
    }
    Ok(results)
}

/// How many renewals the stub has seen.
fn renewals(stub: SocketAddr) -> Result<u64, Error> {
    let mut stream = TcpStream::connect(stub)?;
    stream.write_all(b"RENEWALS")?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    // The number follows the frames with which the stub greets every peer.
    let digits = said.rsplit(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
    Ok(std::str::from_utf8(digits)?.parse()?)
}
