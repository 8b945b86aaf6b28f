//! An etcd inside of a process and clients that do not behave: they do not read, or say what no client says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod raw;

use std::net::Shutdown;

use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    PutRequest, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcdium_sim::SimServer;
use etcdium_sim::rng::Rng;
use prost::Message;

use raw::{HELLO, Raw, frame, head, message};

const PUTS: usize = 1500;

fn watch(server: &SimServer, key: &str) -> Raw {
    let create = WatchCreateRequest { key: key.to_owned().into(), ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let mut raw = Raw::open(server.addresses()[0]);
    raw.say(HELLO);
    raw.say(&head(1, "/etcdserverpb.Watch/Watch"));
    raw.say(&message(1, &create.encode_to_vec(), false));
    let created = WatchResponse::decode(&raw.next()[..]).unwrap();
    assert!(created.created && !created.canceled, "{created:?}");
    raw
}

fn put(server: &SimServer, times: usize) {
    smol::block_on(async {
        let client = etcdium_smol::connect(server.endpoints()).await.unwrap();
        for _ in 0..times {
            client.put("k", vec![b'v'; 1000]).await.unwrap();
        }
    });
}

/// The window of HTTP/2 is full after 64 KiB; what follows waits in the cluster, where it is history and takes no room.
#[test]
fn a_watcher_that_does_not_read_is_held_back_and_hears_everything_later() {
    let server = SimServer::start().unwrap();
    let mut raw = watch(&server, "k");
    put(&server, PUTS);
    assert!(server.waiting_responses() <= 64, "{} responses wait", server.waiting_responses());
    raw.widen();
    let mut revision = 1;
    while revision < 1 + PUTS as i64 {
        for event in WatchResponse::decode(&raw.next()[..]).unwrap().events {
            revision += 1;
            assert_eq!(event.kv.unwrap().mod_revision, revision);
        }
    }
}

/// A grpc-proxy drops a client that is too slow.
#[test]
fn behind_a_proxy_it_is_dropped() {
    let server = SimServer::builder().grpc_proxy().start().unwrap();
    let _slow = watch(&server, "k");
    put(&server, PUTS);
    assert!(server.waiting_responses() <= 1025, "{} responses wait", server.waiting_responses());
}

/// Noise, good frames cut short, frames of every kind with any payload: nothing panics, and others are served.
#[test]
fn hostile_bytes_harm_nobody_else() {
    let server = SimServer::start().unwrap();
    let mut other = watch(&server, "k");
    let put = PutRequest { key: "hostile".into(), ..Default::default() }.encode_to_vec();
    let good = [HELLO, &head(1, "/etcdserverpb.KV/Put"), &message(1, &put, true)].concat();
    let mut rng = Rng::new(5);
    for round in 0..300 {
        let mut bytes = if round % 10 == 0 { Vec::new() } else { HELLO.to_vec() };
        match rng.below(4) {
            0 => bytes = good[..rng.index(good.len())].to_vec(),
            1 => {
                bytes = good.clone();
                let at = rng.index(bytes.len());
                bytes[at] = rng.next_u64() as u8;
            }
            2 => bytes.extend(noise(&mut rng)),
            _ => {
                for _ in 0..rng.below(6) {
                    let (kind, flags) = (rng.below(11) as u8, rng.next_u64() as u8);
                    let stream = rng.below(5) as u32;
                    bytes.extend(frame(kind, flags, stream, &noise(&mut rng)));
                }
            }
        }
        let mut hostile = Raw::open(server.addresses()[0]);
        hostile.say(&bytes);
        hostile.close(Shutdown::Write);
        hostile.drain();
    }
    // Neither an old connection nor a new one has noticed.
    self::put(&server, 1);
    assert_eq!(WatchResponse::decode(&other.next()[..]).unwrap().events.len(), 1);
    let mut fresh = Raw::open(server.addresses()[0]);
    let range = RangeRequest { key: "k".into(), ..Default::default() }.encode_to_vec();
    fresh.say(&[HELLO, &head(1, "/etcdserverpb.KV/Range"), &message(1, &range, true)].concat());
    assert_eq!(RangeResponse::decode(&fresh.next()[..]).unwrap().count, 1);
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.index(120);
    (0..length).map(|_| rng.next_u64() as u8).collect()
}
