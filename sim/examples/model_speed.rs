//! How many operations a second the model carries out: `cargo run --release -p etcdium-sim --example model_speed`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{PutRequest, RangeRequest};
use etcdium_sim::model::{CallId, CallStart, Cluster, ClusterConfig};
use prost::Message;

const OPERATIONS: u64 = 1_000_000;

fn main() {
    for (members, lag) in [(1, Duration::ZERO), (3, Duration::ZERO), (3, Duration::from_millis(1))] {
        let epoch = Instant::now();
        let mut cluster = Cluster::new(ClusterConfig { members, ..ClusterConfig::default() }, epoch, 1);
        cluster.set_lag(epoch, members - 1, lag);
        let keys: Vec<Bytes> = (0..10_000).map(|key| format!("key/{key:05}").into()).collect();
        let puts: Vec<Bytes> = keys
            .iter()
            .map(|key| PutRequest { key: key.clone(), value: "value".into(), ..PutRequest::default() })
            .map(|put| put.encode_to_vec().into())
            .collect();
        let gets: Vec<Bytes> = keys
            .iter()
            .map(|key| RangeRequest { key: key.clone(), ..RangeRequest::default() }.encode_to_vec().into())
            .collect();
        for (name, path, requests) in
            [("puts", PutRequest::METHOD.path(), &puts), ("gets", RangeRequest::METHOD.path(), &gets)]
        {
            let start = Instant::now();
            let mut outputs = 0;
            for number in 0..OPERATIONS {
                let now = epoch + Duration::from_micros(number);
                let call = CallId(number);
                let head = CallStart { call, member: 0, path, require_leader: true, timeout: None };
                cluster.handle_timeout(now);
                cluster.open(now, head);
                let request = &requests[(number.wrapping_mul(7919) % requests.len() as u64) as usize];
                cluster.message(now, call, request.clone());
                cluster.finish(now, call);
                while cluster.poll_output().is_some() {
                    outputs += 1;
                }
            }
            let rate = OPERATIONS as f64 / start.elapsed().as_secs_f64();
            println!("{members} members, lag {lag:?}: {rate:.0} {name}/s, {outputs} outputs");
        }
    }
}
