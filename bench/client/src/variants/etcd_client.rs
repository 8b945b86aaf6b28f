//! The incumbent: the `etcd-client` crate with its defaults, on tokio `current_thread`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd_client::{
    Client, GetOptions, KvClient as Kv, LeaseClient, LeaseKeepAliveStream, LeaseKeeper, ResponseHeader,
    WatchClient, WatchStream,
};
use tokio::runtime::Builder;

use crate::Error;
use crate::client::{Answer, Batch, KvClient, Reader, StreamClient, Watcher};
use crate::load;
use crate::measure::Report;
use crate::plan::Plan;
use crate::spawn::{Spawn, Tokio};

/// On tokio `current_thread`.
pub(super) fn run(plan: &Plan) -> Result<Report, Error> {
    let connect = async {
        let client = Client::connect([plan.addr.to_string()], None).await?;
        Ok(Incumbent { kv: client.kv_client(), watch: client.watch_client(), lease: client.lease_client() })
    };
    Builder::new_current_thread().enable_all().build()?.block_on(load::run(connect, Tokio, plan))
}

#[derive(Clone)]
struct Incumbent {
    kv: Kv,
    watch: WatchClient,
    lease: LeaseClient,
}

impl KvClient for Incumbent {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<Answer, Error> {
        let response = self.kv.put(key, value, None).await?;
        Ok(Answer { kvs: 0, connection: connection(response.header()) })
    }

    async fn get(&mut self, key: Bytes) -> Result<Answer, Error> {
        let response = self.kv.get(key, None).await?;
        Ok(Answer { kvs: response.kvs().len(), connection: connection(response.header()) })
    }

    async fn range(&mut self, key: Bytes, end: Bytes, limit: i64) -> Result<Answer, Error> {
        let options = GetOptions::new().with_range(end).with_limit(limit);
        let response = self.kv.get(key, Some(options)).await?;
        Ok(Answer { kvs: response.kvs().len(), connection: connection(response.header()) })
    }
}

impl StreamClient for Incumbent {
    type Watcher = WatchStream;
    type Lease = (LeaseKeeper, LeaseKeepAliveStream);

    /// A stream for each watch, as the client offers it.
    async fn watch(&mut self, key: Bytes, _: Reader) -> Result<WatchStream, Error> {
        let mut stream = self.watch.watch(key, None).await?;
        match stream.message().await? {
            Some(response) if response.created() && !response.canceled() => Ok(stream),
            _ => Err("the watch was not created".into()),
        }
    }

    async fn lease(&mut self, ttl: i64) -> Result<Self::Lease, Error> {
        let id = self.lease.grant(ttl, None).await?.id();
        Ok(self.lease.keep_alive(id).await?)
    }

    /// One loop for all leases costs least: a request on every stream, then an answer from each.
    async fn keep<S: Spawn>(
        &mut self,
        leases: &mut Vec<Self::Lease>,
        ttl: i64,
        time: Duration,
        spawn: &S,
    ) -> Result<usize, Error> {
        let (start, pause) = (Instant::now(), Duration::from_secs(ttl.unsigned_abs()) / 3);
        let mut lost = 0;
        for round in 1.. {
            let until = pause * round;
            spawn.sleep(until.min(time).saturating_sub(start.elapsed())).await;
            if until > time {
                break;
            }
            for (keeper, _) in &mut *leases {
                keeper.keep_alive().await?;
            }
            for (_, answers) in &mut *leases {
                let answer = answers.message().await?.ok_or("a stream of renewals ended")?;
                lost += usize::from(answer.ttl() <= 0);
            }
        }
        Ok(lost)
    }
}

impl Watcher for WatchStream {
    async fn next(&mut self) -> Result<Batch, Error> {
        let response = self.message().await?.ok_or("the stream ended")?;
        if response.canceled() {
            return Err(format!("canceled: {}", response.cancel_reason()).into());
        }
        let kvs = response.events().iter().filter_map(|event| event.kv());
        Batch::of(kvs.map(|kv| (kv.mod_revision(), kv.value().len())))
    }
}

fn connection(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, ResponseHeader::raft_term)
}
