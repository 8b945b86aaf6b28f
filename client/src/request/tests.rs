//! Bound builders over a real core whose driver is the test: what is sent for them, and what comes back.

use core::cell::RefCell;
use core::task::Waker;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{
    CallInput, Config, ConnectionKey, Core, EndpointInput, ErrorKind, LeaseId, Metadata, Open, Revision,
    Target, Transmit,
};
use etcdium_proto::{etcdserverpb as pb, mvccpb};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;

use super::*;
use crate::shared::Shared;
use crate::{
    BoxFuture, Compact, Compare, ConnectError, Delete, DoOp, Get, Grant, Io, Leases, Op, OpResponse, Put,
    Revoke, Runtime, SpawnError, TimeToLive, Timer, Txn,
};

/// Builders and their futures can be kept, moved between threads, and polled without being pinned in place.
const fn free_to_move<T: IntoFuture<IntoFuture: Send + Unpin + 'static> + Clone + Send + Sync + 'static>() {}

const _: () = {
    free_to_move::<Get<Bound>>();
    free_to_move::<Put<Bound>>();
    free_to_move::<Delete<Bound>>();
    free_to_move::<Compact<Bound>>();
    free_to_move::<Txn<Bound>>();
    free_to_move::<DoOp>();
    free_to_move::<Grant<Bound>>();
    free_to_move::<Revoke<Bound>>();
    free_to_move::<TimeToLive<Bound>>();
    free_to_move::<Leases<Bound>>();
};

/// A runtime of which only the clock is used.
#[derive(Debug)]
struct ClockOnly;

impl Runtime for ClockOnly {
    fn spawn(&self, _: BoxFuture<()>) -> Result<(), SpawnError> {
        unreachable!("the test drives the core")
    }

    fn timer(&self, _: Instant) -> Pin<Box<dyn Timer>> {
        unreachable!("the test drives the core")
    }

    fn connect(&self, _: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        unreachable!("the test drives the core")
    }
}

/// A client and its server.
struct Bench {
    shared: Arc<Shared>,
    client: Client,
    connections: RefCell<Vec<(ConnectionKey, String)>>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let endpoints = ["127.0.0.1:1", "127.0.0.1:2"].map(|endpoint| endpoint.parse().unwrap());
        let shared = Arc::new(Shared::new(Core::new(Config::new(endpoints), now, 1), Arc::new(ClockOnly)));
        Self { client: Client::new(shared.clone()), shared, connections: RefCell::default() }
    }

    /// The calls that wait to be sent. Every connection succeeds.
    fn opens(&self) -> Vec<Open> {
        let mut opens = Vec::new();
        let core = &mut self.shared.lock().core;
        while let Some(transmit) = core.poll_transmit() {
            match transmit {
                Transmit::Connect(connect) => {
                    let endpoint = connect.address.as_str().to_owned();
                    self.connections.borrow_mut().push((connect.connection, endpoint));
                    core.handle_endpoint(Instant::now(), connect.connection, EndpointInput::Connected);
                }
                Transmit::Open(open) => opens.push(open),
                _ => {}
            }
        }
        opens
    }

    /// Makes the call and answers it. Gives the request as it was sent, and what became of the call.
    fn call<R: UnaryRequest, T>(
        &self,
        builder: impl IntoFuture<Output = Result<T, Error>, IntoFuture: Unpin>,
        response: &R::Response,
    ) -> (R, Open, Result<T, Error>) {
        let mut future = builder.into_future();
        assert!(poll(&mut future).is_pending());
        let mut opens = self.opens();
        let open = opens.pop().expect("a call");
        assert!(opens.is_empty(), "more than one call");
        assert_eq!(open.method, R::METHOD);

        let mut head = HeaderMap::new();
        head.insert("content-type", HeaderValue::from_static("application/grpc"));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let message = response.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let frame = [&[0], &length[..], &message[..]].concat();
        for input in [
            CallInput::Head { status: StatusCode::OK, headers: &head, end: false },
            CallInput::Data(frame.into()),
            CallInput::End(Some(&trailers)),
        ] {
            self.shared.lock().core.handle_call(Instant::now(), open.call, input);
        }
        let request = R::decode(&open.message[5..]).unwrap();
        (request, open, self.finish(future))
    }

    fn finish<F: Future + Unpin>(&self, mut future: F) -> F::Output {
        match poll(&mut future) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("not answered"),
        }
    }

    /// Makes a call that must fail before anything is sent.
    fn refused<T>(
        &self,
        builder: impl IntoFuture<Output = Result<T, Error>, IntoFuture: Unpin>,
    ) -> InvalidRequest {
        let Err(error) = self.finish(builder.into_future()) else { panic!("not refused") };
        assert!(self.opens().is_empty(), "something was sent");
        match error.kind() {
            ErrorKind::InvalidRequest(invalid) => invalid.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 7, raft_term: 3 })
}

fn pair() -> mvccpb::KeyValue {
    mvccpb::KeyValue { key: "k".into(), value: "v".into(), ..Default::default() }
}

#[test]
fn a_bound_builder_sends_what_the_detached_one_makes() {
    let bench = Bench::new();
    let client = &bench.client;

    let range = pb::RangeResponse { header: header(), kvs: vec![pair()], count: 1, more: false };
    let (request, open, response) =
        bench.call::<pb::RangeRequest, _>(client.get("k").prefix().limit(3), &range);
    assert_eq!(request, Get::new("k").prefix().limit(3).into_request().unwrap());
    assert_eq!(open.timeout().map(|timeout| timeout.as_secs()), Some(9), "a little less than 10 s");
    let response = response.unwrap();
    assert_eq!(response.header.revision, Revision::new(7));
    assert_eq!(response.first().map(|kv| &kv.value[..]), Some(&b"v"[..]));

    let put = pb::PutResponse { header: header(), prev_kv: Some(pair()) };
    let (request, _, response) = bench.call::<pb::PutRequest, _>(client.put("k", "w").prev_kv(), &put);
    assert_eq!(request, Put::new("k", "w").prev_kv().into_request().unwrap());
    assert_eq!(response.unwrap().prev_kv.map(|kv| kv.value), Some("v".into()));

    let deleted = pb::DeleteRangeResponse { header: header(), deleted: 4, prev_kvs: vec![] };
    let (request, _, response) =
        bench.call::<pb::DeleteRangeRequest, _>(client.delete("k").from_key(), &deleted);
    assert_eq!(request, Delete::new("k").from_key().into_request().unwrap());
    assert_eq!(response.unwrap().deleted, 4);

    let (request, _, response) = bench.call::<pb::CompactionRequest, _>(
        client.compact(6).physical(),
        &pb::CompactionResponse { header: header() },
    );
    assert_eq!(request, Compact::new(6).physical().into_request().unwrap());
    assert_eq!(response.unwrap().header.raft_term, 3);

    let when = || [Compare::version("k").equal(0)];
    let txn = pb::TxnResponse { header: header(), succeeded: false, responses: vec![] };
    let (request, _, response) = bench.call::<pb::TxnRequest, _>(
        client.txn().when(when()).and_then([Put::new("k", "v")]).or_else([Get::new("k")]),
        &txn,
    );
    let detached = Txn::new().when(when()).and_then([Put::new("k", "v")]).or_else([Get::new("k")]);
    assert_eq!(request, detached.into_request().unwrap());
    assert!(!response.unwrap().succeeded);
}

#[test]
fn leases_bound() {
    let bench = Bench::new();
    let client = &bench.client;
    let id = LeaseId::new(5).unwrap();

    let granted = pb::LeaseGrantResponse { header: header(), id: 5, ttl: 2, ..Default::default() };
    let (request, _, response) =
        bench.call::<pb::LeaseGrantRequest, _>(client.grant(Duration::from_millis(1500)), &granted);
    assert_eq!(request, pb::LeaseGrantRequest { ttl: 2, id: 0 });
    assert_eq!(response.unwrap().id, id);

    let (request, _, response) = bench
        .call::<pb::LeaseRevokeRequest, _>(client.revoke(id), &pb::LeaseRevokeResponse { header: header() });
    assert_eq!(request, pb::LeaseRevokeRequest { id: 5 });
    assert_eq!(response.unwrap().header.revision, Revision::new(7));

    let gone = pb::LeaseTimeToLiveResponse { header: header(), id: 5, ttl: -1, ..Default::default() };
    let (request, _, response) =
        bench.call::<pb::LeaseTimeToLiveRequest, _>(client.time_to_live(id).keys(), &gone);
    assert_eq!(request, pb::LeaseTimeToLiveRequest { id: 5, keys: true });
    assert_eq!(response.unwrap().lease, None);

    let listed = pb::LeaseLeasesResponse { header: header(), leases: vec![pb::LeaseStatus { id: 5 }] };
    let (request, _, response) = bench.call::<pb::LeaseLeasesRequest, _>(client.leases(), &listed);
    assert_eq!(request, pb::LeaseLeasesRequest {});
    assert_eq!(response.unwrap().leases, [id]);
}

#[test]
fn an_operation_chosen_at_run_time_is_its_own_method() {
    let bench = Bench::new();
    let deleted = pb::DeleteRangeResponse { deleted: 1, ..Default::default() };
    let (request, _, response): (pb::DeleteRangeRequest, _, _) =
        bench.call(bench.client.do_op(Delete::new("k")), &deleted);
    assert_eq!(request.key, "k");
    assert!(matches!(response.unwrap(), OpResponse::Delete(response) if response.deleted == 1));

    let op = Op::from(Get::new("k").serializable());
    let (request, open, response): (pb::RangeRequest, _, _) =
        bench.call(bench.client.do_op(op), &pb::RangeResponse::default());
    assert!(request.serializable && !open.requires_leader());
    assert!(matches!(response.unwrap(), OpResponse::Get(response) if response.kvs.is_empty()));

    let (_, _, response): (pb::PutRequest, _, _) =
        bench.call(bench.client.do_op(Put::new("k", "v")), &pb::PutResponse::default());
    assert!(response.unwrap().as_put().is_some());
    let (_, _, response): (pb::TxnRequest, _, _) =
        bench.call(bench.client.do_op(Txn::new()), &pb::TxnResponse::default());
    assert!(response.unwrap().into_txn().is_some());
}

#[test]
fn per_call_options_reach_the_call() {
    let bench = Bench::new();
    let metadata = Metadata::new().with("tenant", "blue").unwrap();
    let get = bench.client.get("k").no_timeout().require_leader(false).metadata(metadata);
    let (_, open, _): (pb::RangeRequest, _, _) = bench.call(get, &pb::RangeResponse::default());
    assert_eq!(open.timeout(), None);
    assert!(!open.requires_leader());
    let headers = open.headers();
    assert_eq!(headers["tenant"], "blue");

    let put = bench.client.put("k", "v").timeout(Duration::from_millis(300));
    let (_, open, _): (pb::PutRequest, _, _) = bench.call(put, &pb::PutResponse::default());
    assert!(open.timeout().is_some_and(|timeout| timeout <= Duration::from_millis(300)));
    assert!(open.requires_leader());

    for endpoint in ["127.0.0.1:2", "127.0.0.1:1", "127.0.0.1:2"] {
        let leases = bench.client.leases().endpoint(endpoint);
        let (_, open, _): (pb::LeaseLeasesRequest, _, _) =
            bench.call(leases, &pb::LeaseLeasesResponse::default());
        assert!(bench.connections.borrow().contains(&(open.connection, endpoint.to_owned())));
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_is_sent() {
    let bench = Bench::new();
    let client = &bench.client;
    let conflict = InvalidRequest::Conflict { option: "from_key", with: "prefix" };
    assert_eq!(bench.refused(client.get("k").prefix().from_key()), conflict);
    assert_eq!(bench.refused(client.delete("k").prefix().from_key()), conflict);
    assert_eq!(bench.refused(client.do_op(Get::new("k").prefix().from_key())), conflict);
    assert_eq!(bench.refused(client.txn().and_then([Get::new("k").prefix().from_key()])), conflict);
    assert!(matches!(bench.refused(client.compact(-1)), InvalidRequest::Value { .. }));
    assert!(matches!(bench.refused(client.grant(Duration::ZERO)), InvalidRequest::Value { .. }));
    assert_eq!(bench.refused(client.put("k", "v").endpoint("127.0.0.1:9")), InvalidRequest::UnknownEndpoint);
    assert!(matches!(bench.refused(client.put("k", "v").endpoint("a:b:c")), InvalidRequest::Address(_)));
}

#[test]
fn nothing_is_sent_before_the_first_poll_or_after_a_drop() {
    let bench = Bench::new();
    let mut future = bench.client.put("k", "v").into_future();
    assert!(bench.opens().is_empty());
    assert!(poll(&mut future).is_pending());
    drop(future);
    assert!(bench.opens().is_empty(), "sent although it was given up");
}
