//! Loads that are not a steady stream of calls: bursts of cancelled puts, and a client at rest.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};

use crate::Error;
use crate::client::KvClient;
use crate::measure::{HeapProbe, Report, peak_rss_mb};
use crate::plan::{Data, Plan};
use crate::spawn::Spawn;

/// Bursts of a storm.
const BURSTS: usize = 3;
/// The stub keeps the answer to a put of this key until the call is reset, and sends it then.
const HELD_KEY: Bytes = Bytes::from_static(b"bench/held");

/// Starts `concurrency` puts and drops all of them at once while each is open at the stub, three times; another task
/// calls without a pause. The stub answers each dropped call after its reset, as a server does whose answers cross
/// the resets on the wire.
///
/// # Errors
/// When any call that was not dropped fails, or when the calls before and after came over different connections.
pub(crate) async fn cancel_storm<C: KvClient, S: Spawn>(
    mut client: C,
    spawn: S,
    plan: &Plan,
    data: Arc<Data>,
) -> Result<Report, Error> {
    let before = client.get(data.key(0)).await?.connection;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let live = spawn.spawn(keep_calling(client.clone(), Arc::clone(&data), stop.clone(), answered.clone()));
    for burst in 0..BURSTS {
        burst_of_puts(&mut client, plan.concurrency, &data)
            .await
            .map_err(|error| format!("in burst {burst}: {error}"))?;
        for call in 0..100 {
            client.get(data.key(call)).await.map_err(|error| format!("after burst {burst}: {error}"))?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    live.await.map_err(|error| format!("the call beside the storm: {error}"))?;
    let after = client.get(data.key(0)).await?.connection;
    if before != after {
        return Err(format!("the storm cost the connection: it was {before}, it is {after}").into());
    }
    if answered.load(Ordering::Relaxed) == 0 {
        return Err("no call beside the storm was answered".into());
    }
    Ok(Report { rss_mb: Some(peak_rss_mb()?), ..Report::default() })
}

/// One burst: when a get that was started after all puts is answered, all puts are open, and are dropped.
async fn burst_of_puts<C: KvClient>(client: &mut C, count: usize, data: &Arc<Data>) -> Result<(), Error> {
    let mut puts: FuturesUnordered<_> = (0..count)
        .map(|_| {
            let (mut client, value) = (client.clone(), data.value.clone());
            async move { client.put(HELD_KEY, value).await }
        })
        .collect();
    let mut get = pin!(client.get(data.key(1)));
    poll_fn(|cx| match pin!(&mut puts).poll_next(cx) {
        Poll::Ready(Some(Ok(_))) => Poll::Ready(Err("a held put was answered".into())),
        Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
        Poll::Ready(None) | Poll::Pending => get.as_mut().poll(cx).map(|answer| answer.map(drop)),
    })
    .await
}

async fn keep_calling<C: KvClient>(
    mut client: C,
    data: Arc<Data>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Result<(), Error> {
    let mut call = 0;
    while !stop.load(Ordering::Relaxed) {
        client.get(data.key(call)).await?;
        answered.fetch_add(1, Ordering::Relaxed);
        call += 1;
    }
    Ok(())
}

/// The heap that a connected client holds after one call, over what the process held before `connect`.
pub(crate) async fn idle<C: KvClient>(
    heap: Option<HeapProbe>,
    connect: impl Future<Output = Result<C, Error>>,
) -> Result<Report, Error> {
    let heap = heap.ok_or("idle needs bench-client-alloc, which counts the heap")?;
    let before = heap.live_bytes();
    let mut client = connect.await?;
    client.get("bench/00000000".into()).await?;
    let held = heap.live_bytes() - before;
    drop(client);
    Ok(Report { rss_mb: Some(peak_rss_mb()?), idle_heap: Some(held as f64), ..Report::default() })
}
