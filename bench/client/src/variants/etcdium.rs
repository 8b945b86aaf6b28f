//! etcdium with its defaults, on each of its runtimes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdium_client::{Client, Lease, WatchItem, Watcher};

use crate::Error;
use crate::client::{self, Answer, Batch, KvClient, Reader, StreamClient};
use crate::load;
use crate::measure::Report;
use crate::plan::Plan;
use crate::spawn::{AsyncStd, Smol, Spawn, Tokio};

/// On tokio `current_thread`.
pub(super) fn run_tokio(plan: &Plan) -> Result<Report, Error> {
    let connect = async { Ok(Etcdium(etcdium_tokio::connect(plan.addr.to_string()).await?)) };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(load::run(connect, Tokio, plan))
}

/// On tokio `multi_thread` with two workers.
pub(super) fn run_tokio_multi(plan: &Plan) -> Result<Report, Error> {
    let connect = async { Ok(Etcdium(etcdium_tokio::connect(plan.addr.to_string()).await?)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(load::run(connect, Tokio, plan))
}

/// On a smol executor run by this thread.
pub(super) fn run_smol(plan: &Plan) -> Result<Report, Error> {
    let executor = Arc::new(smol::Executor::new());
    let runtime = etcdium_smol::Smol::on(executor.clone());
    let connect =
        async { Ok(Etcdium(Client::builder(runtime).endpoints(plan.addr.to_string()).connect().await?)) };
    smol::block_on(executor.run(load::run(connect, Smol(executor.clone()), plan)))
}

/// On async-std's executor.
pub(super) fn run_async_std(plan: &Plan) -> Result<Report, Error> {
    let connect = async { Ok(Etcdium(etcdium_async_std::connect(plan.addr.to_string()).await?)) };
    async_std::task::block_on(load::run(connect, AsyncStd, plan))
}

#[derive(Clone)]
struct Etcdium(Client);

impl KvClient for Etcdium {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<Answer, Error> {
        let response = self.0.put(key, value).await?;
        Ok(Answer { kvs: 0, connection: response.header.raft_term })
    }

    async fn get(&mut self, key: Bytes) -> Result<Answer, Error> {
        let response = self.0.get(key).await?;
        Ok(Answer { kvs: response.kvs.len(), connection: response.header.raft_term })
    }

    async fn range(&mut self, key: Bytes, end: Bytes, limit: i64) -> Result<Answer, Error> {
        let response = self.0.get(key).range(end).limit(limit as usize).await?;
        Ok(Answer { kvs: response.kvs.len(), connection: response.header.raft_term })
    }
}

impl StreamClient for Etcdium {
    type Watcher = Watcher;
    type Lease = Lease;

    async fn watch(&mut self, key: Bytes, reader: Reader) -> Result<Watcher, Error> {
        let watch = self.0.watch(key);
        // A slow reader is held back by a small buffer.
        Ok(if reader == Reader::Slow { watch.max_buffer(1 << 20).await? } else { watch.await? })
    }

    async fn lease(&mut self, ttl: i64) -> Result<Lease, Error> {
        Ok(self.0.lease(Duration::from_secs(ttl.unsigned_abs())).await?)
    }

    /// They keep themselves alive.
    async fn keep<S: Spawn>(
        &mut self,
        leases: &mut Vec<Lease>,
        _: i64,
        time: Duration,
        spawn: &S,
    ) -> Result<usize, Error> {
        spawn.sleep(time).await;
        Ok(leases.iter().filter(|lease| !lease.is_alive()).count())
    }
}

impl client::Watcher for Watcher {
    async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            match self.next().await.ok_or("the watch is over")?? {
                WatchItem::Events { events, .. } => {
                    return Batch::of(
                        events.iter().map(|event| (event.revision().get(), event.kv.value.len())),
                    );
                }
                _ => {}
            }
        }
    }
}
