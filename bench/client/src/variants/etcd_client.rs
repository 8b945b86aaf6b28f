//! The incumbent: the `etcd-client` crate with its defaults, on tokio `current_thread`.

use bytes::Bytes;
use etcd_client::{Client, GetOptions, KvClient as Kv, ResponseHeader};
use tokio::runtime::Builder;

use crate::Error;
use crate::client::{Answer, KvClient};
use crate::load;
use crate::measure::Report;
use crate::plan::Plan;
use crate::spawn::Tokio;

/// On tokio `current_thread`.
pub(super) fn run(plan: &Plan) -> Result<Report, Error> {
    let connect = async {
        let client = Client::connect([plan.addr.to_string()], None).await?;
        Ok(Incumbent(client.kv_client()))
    };
    Builder::new_current_thread().enable_all().build()?.block_on(load::run(connect, Tokio, plan))
}

#[derive(Clone)]
struct Incumbent(Kv);

impl KvClient for Incumbent {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<Answer, Error> {
        let response = self.0.put(key, value, None).await?;
        Ok(Answer { kvs: 0, connection: connection(response.header()) })
    }

    async fn get(&mut self, key: Bytes) -> Result<Answer, Error> {
        let response = self.0.get(key, None).await?;
        Ok(Answer { kvs: response.kvs().len(), connection: connection(response.header()) })
    }

    async fn range(&mut self, key: Bytes, end: Bytes, limit: i64) -> Result<Answer, Error> {
        let options = GetOptions::new().with_range(end).with_limit(limit);
        let response = self.0.get(key, Some(options)).await?;
        Ok(Answer { kvs: response.kvs().len(), connection: connection(response.header()) })
    }
}

fn connection(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, ResponseHeader::raft_term)
}
