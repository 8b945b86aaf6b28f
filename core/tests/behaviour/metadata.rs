//! Header fields of requests.

use std::collections::BTreeMap;

use etcdium_core::{CallOptions, Config, Metadata};
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, MemberListRequest,
    StatusRequest, TxnRequest,
};
use http::HeaderMap;

use crate::support::*;

/// The header fields of a request's call.
fn headers(request: &impl UnaryRequest, options: &CallOptions, config: Config) -> HeaderMap {
    let mut world = World::connected_with(config);
    let _op = world.start(request, options);
    world.calls[&world.call()].headers()
}

fn asks_for_a_leader(request: &impl UnaryRequest, options: &CallOptions) -> bool {
    let headers = headers(request, options, Config::new(addresses(1)));
    match headers.get("hasleader") {
        None => false,
        Some(value) => value == "true",
    }
}

#[test]
fn calls_that_need_a_leader_say_so() {
    let options = no_options();
    assert!(asks_for_a_leader(&put("k"), &options));
    assert!(asks_for_a_leader(&get("k"), &options));
    assert!(asks_for_a_leader(&DeleteRangeRequest::default(), &options));
    assert!(asks_for_a_leader(&TxnRequest::default(), &options));
    assert!(asks_for_a_leader(&CompactionRequest::default(), &options));
    assert!(asks_for_a_leader(&LeaseGrantRequest::default(), &options));
    assert!(asks_for_a_leader(&MemberListRequest { linearizable: true }, &options));
}

#[test]
fn calls_a_member_answers_by_itself_do_not() {
    let options = no_options();
    assert!(!asks_for_a_leader(&serializable_get("k"), &options));
    assert!(!asks_for_a_leader(&StatusRequest::default(), &options));
    assert!(!asks_for_a_leader(&HashKvRequest::default(), &options));
    assert!(!asks_for_a_leader(&MemberListRequest { linearizable: false }, &options));
}

#[test]
fn the_option_decides_otherwise() {
    assert!(!asks_for_a_leader(&put("k"), &no_options().require_leader(false)));
    assert!(asks_for_a_leader(&serializable_get("k"), &no_options().require_leader(true)));
    assert!(asks_for_a_leader(&AlarmRequest::default(), &no_options().require_leader(true)));
}

#[test]
fn a_retry_says_the_same() {
    let mut world = World::connected(2);
    let metadata = Metadata::new().with("x-tenant", "t").unwrap();
    let _op = world.start(&serializable_get("k"), &no_options().metadata(metadata));
    world.reset(world.call(), etcdium_core::ResetCause::Refused);
    let [first, second] = &world.opened[..] else { panic!("{:?}", world.opened) };
    let (one, two) = (first.headers(), second.headers());
    assert_eq!(one, two);
    assert_eq!(one["x-tenant"], "t");
}

#[test]
fn metadata_of_the_client_and_of_the_call_are_both_sent() {
    let config = Config::new(addresses(1))
        .metadata(Metadata::new().with("x-app", "one").unwrap().with("x", "1").unwrap());
    let own = Metadata::new().with("x", "2").unwrap();
    let headers = headers(&put("k"), &no_options().metadata(own), config);
    assert_eq!(headers["x-app"], "one");
    assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_probe_carries_the_clients_metadata_and_no_more() {
    let config = Config::new(addresses(1)).metadata(Metadata::new().with("x-app", "one").unwrap());
    let mut world = World::connected_with(config);
    let own = Metadata::new().with("x-own", "two").unwrap();
    let _op = world.start(&put("k"), &no_options().metadata(own));
    world.advance(s(1));
    let headers = world.calls[&world.probes()[0]].headers();
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expected = [
        ("client-api-version", "3.7"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "2S"),
        ("te", "trailers"),
        ("x-app", "one"),
    ];
    assert_eq!(headers, BTreeMap::from(expected));
}
