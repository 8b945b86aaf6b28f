//! Facts that keep a rule and facts that break it, for the rules that no planted bug is known to break.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use etcdium_core::{
    CallInput, CallOptions, Config, Core, EndpointInput, EndpointKey, EndpointStatus, Event, OpKey, Open,
    Transmit,
};
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest,
    PutRequest, PutResponse, ResponseHeader, StatusRequest, StatusResponse,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;

use super::*;
use crate::check::{Check, Counts, Fact, Ledger, Truths, View, mark};
use crate::model::{CallId, CallStart, Cluster, ClusterConfig};
use crate::world::{
    Answer, Asked, CallRecord, ConnectionRecord, LinkStage, OpRecord, OpState, Outcome, Passage, Said,
    Script, Setup,
};

/// A real core, a real cluster, and what a driver would have noted of them.
struct Bed {
    now: Instant,
    core: Core,
    cluster: Cluster,
    ledger: Ledger,
    setup: Setup,
    ops: Vec<OpRecord>,
    calls: Vec<CallRecord>,
    connections: Vec<ConnectionRecord>,
    counts: Counts,
    requests: u64,
}

impl Bed {
    fn new(endpoints: usize) -> Self {
        let now = Instant::now();
        let addresses = (0..endpoints).map(|n| format!("m{n}:1").parse().expect("an address"));
        let cluster = Cluster::new(ClusterConfig::default(), now, 1);
        let mut ledger = Ledger::default();
        ledger.update(&cluster);
        Self {
            now,
            core: Core::new(Config::new(addresses), now, 1),
            cluster,
            ledger,
            setup: Script::generate(0).setup,
            ops: Vec::new(),
            calls: Vec::new(),
            connections: Vec::new(),
            counts: Counts::default(),
            requests: 0,
        }
    }

    fn see(&self, check: &mut impl Check, fact: &Fact<'_>) -> Result<(), String> {
        let view = View {
            now: self.now,
            core: &self.core,
            cluster: &self.cluster,
            ledger: &self.ledger,
            setup: &self.setup,
            ops: &self.ops,
            calls: &self.calls,
            connections: &self.connections,
            counts: self.counts,
            pauses: &[],
            watches: &[],
            truths: &Truths::default(),
        };
        check.see(&view, fact)
    }

    fn transmits(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.core.poll_transmit()).collect()
    }

    /// Starts a put, with a record that says that something was asked.
    fn start(&mut self, id: u32, asked: Asked) -> OpKey {
        let op = self.core.start(
            self.now,
            &PutRequest { key: "k".into(), ..Default::default() },
            &CallOptions::new(),
        );
        self.ops.push(OpRecord {
            id,
            key: op.key(),
            asked,
            started: self.now,
            deadline: None,
            pinned: None,
            epoch: 0,
            committed: 1,
            calls: Vec::new(),
            got: 0,
            state: OpState::Live,
        });
        self.counts.ops += 1;
        op.key()
    }

    /// Makes the connections the core wants.
    fn connect(&mut self) -> Vec<Transmit> {
        let transmits = self.transmits();
        for transmit in &transmits {
            let Transmit::Connect(connect) = transmit else { continue };
            self.connections.push(ConnectionRecord {
                key: connect.connection,
                endpoint: connect.endpoint,
                place: 0,
                stage: LinkStage::Open,
                heard: None,
            });
            self.counts.connections += 1;
            self.core.handle_endpoint(self.now, connect.connection, EndpointInput::Connected);
        }
        transmits
    }

    /// The call that the core opens next, recorded for this operation.
    fn opened(&mut self, op: usize) -> Open {
        let open = self.transmits().into_iter().find_map(|transmit| match transmit {
            Transmit::Open(open) => Some(open),
            _ => None,
        });
        let open = open.expect("a call");
        self.ops[op].calls.push(self.calls.len());
        self.calls.push(CallRecord {
            key: open.call,
            op: Some(op),
            stream: false,
            inquiry: false,
            connection: open.connection.serial() as usize,
            passage: Passage::Flying,
            answered: None,
            over: false,
            reset: false,
            given_back: false,
        });
        self.counts.calls += 1;
        open
    }

    /// A put under way: its call.
    fn put(&mut self) -> Open {
        self.start(7, asked_put(7));
        self.connect();
        self.opened(0)
    }

    /// The cluster carries a request out.
    fn apply<R: UnaryRequest>(&mut self, request: &R) {
        self.requests += 1;
        let call = CallId(self.requests);
        let path = R::METHOD.path();
        let start = CallStart { call, member: 0, path, require_leader: false, timeout: None };
        self.cluster.open(self.now, start);
        self.cluster.message(self.now, call, request.encode_to_vec().into());
        self.cluster.finish(self.now, call);
        while self.cluster.poll_output().is_some() {}
        self.ledger.update(&self.cluster);
    }

    /// The call was carried out, and the member said so.
    fn answered(&mut self) {
        self.calls[0].passage = Passage::Arrived;
        self.calls[0].answered = Some(Said::Success);
    }
}

fn marked(id: u32) -> PutRequest {
    PutRequest { key: "k".into(), value: mark(id), ..Default::default() }
}

fn asked_put(id: u32) -> Asked {
    Asked::Put(marked(id))
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 9, member_id: 1, revision, raft_term: 1 })
}

fn header_of(member_id: u64) -> Option<ResponseHeader> {
    Some(ResponseHeader { member_id, ..Default::default() })
}

fn put_answer(revision: i64) -> Outcome {
    Ok(Answer::Put(PutResponse { header: header(revision), ..Default::default() }))
}

/// Answers the call of a core with this revision.
fn answer(core: &mut Core, now: Instant, open: &Open, revision: i64) {
    let body = PutResponse { header: header(revision), ..Default::default() }.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(body.len() as u32);
    framed.put_slice(&body);
    let mut head = HeaderMap::new();
    head.insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    core.handle_call(now, open.call, CallInput::Head { status: StatusCode::OK, headers: &head, end: false });
    core.handle_call(now, open.call, CallInput::Data(Bytes::from(framed)));
    core.handle_call(now, open.call, CallInput::End(Some(&trailers)));
}

#[test]
fn transcript() {
    let mut bed = Bed::new(1);
    let op = bed.start(7, asked_put(7));
    let connects = bed.connect();
    let connect = Fact::Sent(connects.first().expect("a connection"));
    let mut check = Transcript::default();
    assert_eq!(bed.see(&mut check, &connect), Ok(()));
    assert!(bed.see(&mut check, &connect).is_err(), "a connection is asked for twice");

    let open = bed.opened(0);
    let (connection, call) = (open.connection, open.call);
    let open = Transmit::Open(open);
    bed.connections[0].stage = LinkStage::Dialling;
    assert!(bed.see(&mut Transcript::default(), &Fact::Sent(&open)).is_err(), "opened before it was made");
    bed.connections[0].stage = LinkStage::Open;
    assert_eq!(bed.see(&mut check, &Fact::Sent(&open)), Ok(()));
    assert!(bed.see(&mut check, &Fact::Sent(&open)).is_err(), "opened twice");
    let more = Transmit::Send { call, message: Bytes::new() };
    assert!(bed.see(&mut check, &Fact::Sent(&more)).is_err(), "a second message of a unary call");
    assert!(bed.see(&mut check, &Fact::Sent(&Transmit::Finish(call))).is_err(), "finished from the start");

    bed.core.cancel(bed.now, op);
    let resets = bed.transmits();
    assert!(matches!(resets[..], [Transmit::Reset(_)]), "{resets:?}");
    assert_eq!(bed.see(&mut check, &Fact::Sent(&resets[0])), Ok(()));
    bed.calls[0].reset = true;
    assert!(bed.see(&mut check, &Fact::Sent(&resets[0])).is_err(), "reset twice");

    let drop = Transmit::Disconnect(connection);
    assert_eq!(bed.see(&mut check, &Fact::Sent(&drop)), Ok(()));
    bed.connections[0].stage = LinkStage::Dropped;
    assert!(bed.see(&mut check, &Fact::Sent(&drop)).is_err(), "dropped twice");
    bed.connections.clear();
    assert!(bed.see(&mut check, &Fact::Sent(&drop)).is_err(), "never asked for");
}

#[test]
fn applied_once() {
    let mut bed = Bed::new(1);
    bed.put();
    bed.apply(&marked(7));
    assert_eq!(bed.see(&mut AppliedOnce, &Fact::Ended(0, &put_answer(2))), Ok(()));
    assert_eq!(bed.see(&mut AppliedOnce, &Fact::Over), Ok(()));
    bed.apply(&marked(7));
    assert!(bed.see(&mut AppliedOnce, &Fact::Ended(0, &put_answer(2))).is_err());
    assert!(bed.see(&mut AppliedOnce, &Fact::Over).is_err());
}

#[test]
fn written() {
    let mut bed = Bed::new(1);
    bed.put();
    bed.apply(&marked(7));
    assert!(bed.see(&mut Written, &Fact::Ended(0, &put_answer(2))).is_err(), "no server said so");
    bed.answered();
    assert_eq!(bed.see(&mut Written, &Fact::Ended(0, &put_answer(2))), Ok(()));
    assert!(bed.see(&mut Written, &Fact::Ended(0, &put_answer(3))).is_err(), "another revision");
    bed.ops[0].id = 8;
    assert!(bed.see(&mut Written, &Fact::Ended(0, &put_answer(2))).is_err(), "somebody else's write");

    let delete = DeleteRangeRequest { key: "k".into(), ..Default::default() };
    let deleted = |revision| {
        Ok(Answer::Delete(DeleteRangeResponse { header: header(revision), deleted: 1, ..Default::default() }))
    };
    bed.ops[0].asked = Asked::Delete(delete.clone());
    assert!(bed.see(&mut Written, &Fact::Ended(0, &deleted(3))).is_err(), "never deleted");
    bed.apply(&delete);
    assert_eq!(bed.see(&mut Written, &Fact::Ended(0, &deleted(3))), Ok(()));
}

#[test]
fn revisions_grow() {
    let cores: Vec<Bed> = [5, 3]
        .into_iter()
        .map(|revision| {
            let mut bed = Bed::new(1);
            let open = bed.put();
            answer(&mut bed.core, bed.now, &open, revision);
            assert_eq!(bed.core.revision().get(), revision);
            bed
        })
        .collect();
    let mut check = RevisionGrows::default();
    assert_eq!(cores[1].see(&mut check, &Fact::Drained), Ok(()));
    assert_eq!(cores[0].see(&mut check, &Fact::Drained), Ok(()));
    assert!(cores[1].see(&mut check, &Fact::Drained).is_err(), "from 5 back to 3");
    assert_eq!(cores[0].see(&mut check, &Fact::Ended(0, &put_answer(5))), Ok(()));
    assert_eq!(
        cores[0].see(&mut check, &Fact::Ended(0, &put_answer(6))),
        Ok(()),
        "a replacement may be told"
    );
    assert!(cores[0].see(&mut check, &Fact::Drained).is_err(), "an answer above it");
}

#[test]
fn timers() {
    let mut bed = Bed::new(1);
    bed.start(7, asked_put(7));
    bed.transmits();
    let due = bed.core.poll_timeout().expect("a dial has a time-out");
    assert_eq!(bed.see(&mut Timers, &Fact::Woken(due - Duration::from_nanos(1))), Ok(()));
    assert!(bed.see(&mut Timers, &Fact::Woken(due)).is_err());
}

#[test]
fn picking() {
    let mut bed = Bed::new(2);
    let open = bed.put();
    let endpoint = bed.connections[open.connection.serial() as usize].endpoint;
    let other: EndpointKey =
        bed.connections.iter().map(|line| line.endpoint).find(|of| *of != endpoint).expect("another");
    let sent = Transmit::Open(open);
    let told = |endpoint, status| Event::Endpoint { endpoint, status };
    let run = |bed: &Bed, events: &[Event]| {
        let mut check = Picking::default();
        bed.see(&mut check, &Fact::Sent(&sent))?;
        for event in events {
            bed.see(&mut check, &Fact::Told(event))?;
        }
        bed.see(&mut check, &Fact::Drained)
    };
    assert_eq!(run(&bed, &[told(endpoint, EndpointStatus::Ready)]), Ok(()));
    assert!(run(&bed, &[]).is_err(), "never ready");
    assert!(run(&bed, &[told(other, EndpointStatus::Ready)]).is_err(), "another was ready");
    bed.ops[0].pinned = Some(other);
    let both = [told(endpoint, EndpointStatus::Ready), told(other, EndpointStatus::Ready)];
    assert!(run(&bed, &both).is_err(), "pinned to another");
}

#[test]
fn bounds() {
    let mut bed = Bed::new(1);
    bed.put();
    let good = bed.counts;
    assert_eq!(bed.see(&mut Bounds, &Fact::Drained), Ok(()));
    let limit = bed.core.max_in_flight();
    type Change = fn(&mut Counts, usize);
    let wrong: [(&str, Change); 5] = [
        ("an operation is kept", |counts, _| counts.ops -= 1),
        ("a connection is kept", |counts, _| counts.connections -= 1),
        ("a call is kept", |counts, _| counts.calls -= 1),
        ("above the limit", |counts, limit| counts.calls = limit + 1),
        ("more probes than connections", |counts, _| counts.probes = 2),
    ];
    for (what, change) in wrong {
        bed.counts = good;
        change(&mut bed.counts, limit);
        assert!(bed.see(&mut Bounds, &Fact::Drained).is_err(), "{what}");
    }
}

#[test]
fn memory() {
    let mut bed = Bed::new(1);
    let open = bed.put();
    assert_eq!(bed.see(&mut Memory::default(), &Fact::Drained), Ok(()));
    answer(&mut bed.core, bed.now, &open, 2);
    let kept = bed.core.stats().buffered_bytes;
    assert!(kept > 0, "the answer waits to be taken");
    bed.counts.bytes = kept;
    assert_eq!(bed.see(&mut Memory::default(), &Fact::Drained), Ok(()));
    bed.counts.bytes = kept - 1;
    assert!(bed.see(&mut Memory::default(), &Fact::Drained).is_err(), "bytes are kept");

    let mut bed = Bed::new(1);
    (0..100).for_each(|id| {
        bed.start(id, asked_put(id));
    });
    bed.connect();
    assert!(bed.core.stats().timers >= 100, "each operation has a deadline");
    assert_eq!(bed.see(&mut Memory::default(), &Fact::Drained), Ok(()));
    bed.counts.ops = 0;
    assert!(bed.see(&mut Memory::default(), &Fact::Drained).is_err(), "timers are kept");
}

#[test]
fn status() {
    let mut bed = Bed::new(1);
    (bed.setup.members, bed.setup.learners, bed.setup.minor, bed.setup.proxied) = (1, 0, 7, false);
    bed.start(1, Asked::Status(StatusRequest {}));
    bed.connect();
    bed.opened(0);
    bed.ops[0].epoch = bed.ledger.epoch();
    let header = ResponseHeader { member_id: bed.cluster.member_id(0), ..Default::default() };
    let good = StatusResponse { header: Some(header), version: "3.7.3".into(), ..Default::default() };
    let told = |bed: &Bed, answer: &StatusResponse| {
        bed.see(&mut Served::default(), &Fact::Ended(0, &Ok(Answer::Status(answer.clone()))))
    };
    assert_eq!(told(&bed, &good), Ok(()));
    type Change = fn(&mut StatusResponse);
    let wrong: [(&str, Change); 4] = [
        ("another member", |answer| answer.header = header_of(7)),
        ("no member", |answer| answer.header = None),
        ("a learner", |answer| answer.is_learner = true),
        ("another version", |answer| answer.version = "3.4.23".into()),
    ];
    for (what, change) in wrong {
        let mut answer = good.clone();
        change(&mut answer);
        assert!(told(&bed, &answer).is_err(), "{what}");
    }
    // A proxy asks whom it likes, and a restore changes everything.
    let other = StatusResponse { header: None, ..good };
    bed.setup.proxied = true;
    assert_eq!(told(&bed, &other), Ok(()));
    bed.setup.proxied = false;
    bed.ops[0].epoch += 1;
    assert_eq!(told(&bed, &other), Ok(()));
}

#[test]
fn leases() {
    let granted = |id, ttl| Ok(Answer::Grant(LeaseGrantResponse { id, ttl, ..Default::default() }));
    let mut bed = Bed::new(1);
    bed.start(1, Asked::Grant(LeaseGrantRequest { ttl: 5, id: 77 }));
    let grant = |bed: &Bed, check: &mut Leases| bed.see(check, &Fact::Ended(0, &granted(77, 5)));

    let mut lied = Leases::default();
    assert_eq!(grant(&bed, &mut lied), Ok(()));
    assert!(bed.see(&mut lied, &Fact::Drained).is_err(), "it was never granted");

    bed.apply(&LeaseGrantRequest { ttl: 5, id: 77 });
    let mut check = Leases::default();
    assert_eq!(grant(&bed, &mut check), Ok(()));
    assert_eq!(bed.see(&mut check, &Fact::Drained), Ok(()));
    assert!(bed.see(&mut check, &Fact::Ended(0, &granted(78, 5))).is_err(), "another id");
    assert!(bed.see(&mut check, &Fact::Ended(0, &granted(77, 4))).is_err(), "a shorter life");

    bed.apply(&LeaseRevokeRequest { id: 77 });
    assert!(bed.see(&mut check, &Fact::Drained).is_err(), "gone before its time");
    bed.now += Duration::from_secs(5);
    assert_eq!(bed.see(&mut check, &Fact::Drained), Ok(()), "its time is over");

    bed.now -= Duration::from_secs(5);
    assert_eq!(grant(&bed, &mut check), Ok(()));
    bed.start(2, Asked::Revoke(LeaseRevokeRequest { id: 77 }));
    assert_eq!(bed.see(&mut check, &Fact::Started(1)), Ok(()));
    assert_eq!(bed.see(&mut check, &Fact::Drained), Ok(()), "somebody asked for its end");
}
