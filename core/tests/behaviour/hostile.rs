//! Any order of inputs, honest or not: nothing panics, nothing is stuck, everything ends once, and the same inputs give
//! the same outputs.

mod script;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use etcdium_core::{
    CallInput, CallKey, Cause, CauseKind, Config, ConnectionKey, EndpointInput, Error, Op, OpKey, Outcome,
    Stream, StreamItem,
};
use etcdium_proto::etcdserverpb::{LeaseKeepAliveRequest, PutResponse, RangeResponse};
use etcdium_proto::healthpb::HealthCheckResponse;
use etcdium_proto::streams::LeaseKeepAlive;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use self::script::{CallNews, Chunk, EndpointNews, Said, Step, StreamUse, script};
use crate::support::*;

/// An operation of any type.
#[derive(Debug)]
enum AnyOp {
    Put(Op<PutResponse>),
    Get(Op<RangeResponse>),
    Connect(Op<()>),
}

impl AnyOp {
    fn key(&self) -> OpKey {
        match self {
            Self::Put(op) => op.key(),
            Self::Get(op) => op.key(),
            Self::Connect(op) => op.key(),
        }
    }
}

/// A stream, and what its user knows of it.
#[derive(Debug)]
struct AnyStream {
    stream: Stream<LeaseKeepAlive>,
    finished: bool,
    /// Its end was taken, or it was cancelled.
    over: bool,
    /// It had nothing to take when last asked; how many hints lay behind then.
    empty: Option<usize>,
}

/// A world with what the properties need to know of its past.
#[derive(Debug)]
struct Play {
    world: World,
    ops: Vec<AnyOp>,
    streams: Vec<AnyStream>,
    cancelled: BTreeSet<OpKey>,
    taken: BTreeSet<OpKey>,
    /// Whether operations ask for one endpoint sometimes.
    pins: bool,
    /// Whether deadlines were passed without the core being told.
    late: bool,
    /// Calls whose response has begun.
    answered: BTreeSet<CallKey>,
    /// Calls that ended with a proof that their write was not applied.
    disproved: BTreeSet<CallKey>,
}

impl Play {
    fn new(seed: u64, max_in_flight: usize, pins: bool) -> Self {
        let config = Config::new(addresses(3)).max_in_flight(max_in_flight).max_response_size(1000);
        Self {
            world: World::with_seed(config, seed),
            ops: Vec::new(),
            streams: Vec::new(),
            cancelled: BTreeSet::new(),
            taken: BTreeSet::new(),
            pins,
            late: false,
            answered: BTreeSet::new(),
            disproved: BTreeSet::new(),
        }
    }

    /// The options of an operation; `endpoint` counts among those there are now, and one that may not be there.
    fn options(&self, timeout: Option<u16>, endpoint: Option<u8>) -> etcdium_core::CallOptions {
        let mut options = no_options().timeout(timeout.map(|millis| ms(millis.into())));
        let endpoints: Vec<_> = self.world.core.endpoints().map(|(key, ..)| key).collect();
        if let (Some(n), true) = (endpoint, self.pins && !endpoints.is_empty()) {
            options = options.endpoint(endpoints[usize::from(n) % endpoints.len()]);
        }
        options
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Put { timeout, endpoint } => {
                let options = self.options(*timeout, *endpoint);
                let op = self.world.start(&put(&format!("w{}", self.ops.len())), &options);
                self.ops.push(AnyOp::Put(op));
            }
            Step::Get { timeout, endpoint } => {
                let options = self.options(*timeout, *endpoint);
                let op = self.world.start(&get("k"), &options);
                self.ops.push(AnyOp::Get(op));
            }
            Step::Connect { timeout, endpoint } => {
                let options = self.options(*timeout, *endpoint);
                let op = self.world.connect(&options);
                self.ops.push(AnyOp::Connect(op));
            }
            Step::Open { timeout, endpoint } => {
                let options = self.options(*timeout, *endpoint);
                let stream = self.world.open(&LeaseKeepAliveRequest { id: 1 }, &options);
                self.streams.push(AnyStream { stream, finished: false, over: false, empty: None });
            }
            Step::Stream(n, action) => {
                if !self.streams.is_empty() {
                    self.use_stream(usize::from(*n) % self.streams.len(), *action);
                }
            }
            Step::Cancel(n) => {
                if let Some(key) = self.op(*n) {
                    self.world.core.cancel(self.world.now, key);
                    self.world.drain();
                    self.cancelled.insert(key);
                }
            }
            Step::Take(n) => {
                if !self.ops.is_empty() {
                    self.take(usize::from(*n) % self.ops.len());
                }
            }
            Step::Accept(n) => {
                let dials: Vec<_> = self.world.dials.keys().copied().collect();
                if !dials.is_empty() {
                    self.world.endpoint(dials[usize::from(*n) % dials.len()], EndpointInput::Connected);
                }
            }
            Step::Endpoint(n, news) => self.endpoint(*n, news),
            Step::LiveCall(n, news) => {
                let calls: Vec<_> = self.world.calls.keys().copied().collect();
                if !calls.is_empty() {
                    self.call(calls[usize::from(*n) % calls.len()], news);
                }
            }
            Step::AnyCall(n, news) => {
                if !self.world.opened.is_empty() {
                    let call = self.world.opened[usize::from(*n) % self.world.opened.len()].call;
                    self.call(call, news);
                }
            }
            Step::SetEndpoints(mask) => {
                let chosen: Vec<_> =
                    addresses(5).into_iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1).collect();
                self.world.core.set_endpoints(self.world.now, chosen.into_iter().map(|(_, address)| address));
                self.world.drain();
            }
            Step::Close => {
                self.world.core.close(self.world.now);
                self.world.drain();
            }
            Step::Advance(millis) => {
                // Time only stands still for a driver that does not look.
                self.world.busy = false;
                self.world.advance(ms((*millis).into()));
            }
            Step::Pass(millis) => {
                self.late = true;
                self.world.now += ms((*millis).into());
            }
            Step::Back(millis) => {
                self.world.now = (self.world.now - ms((*millis).into())).max(epoch());
            }
            Step::Busy(busy) => {
                self.world.busy = *busy;
                self.world.drain();
            }
        }
        self.check();
    }

    fn op(&self, n: u8) -> Option<OpKey> {
        (!self.ops.is_empty()).then(|| self.ops[usize::from(n) % self.ops.len()].key())
    }

    fn endpoint(&mut self, n: u8, news: &EndpointNews) {
        let all: Vec<ConnectionKey> = self.world.dialled.iter().map(|(_, dial)| dial.connection).collect();
        if all.is_empty() {
            return;
        }
        let input = match news {
            EndpointNews::Connected => EndpointInput::Connected,
            EndpointNews::Failed => EndpointInput::ConnectFailed(refused()),
            EndpointNews::Received => EndpointInput::Received,
            EndpointNews::GoingAway => EndpointInput::GoingAway,
            EndpointNews::Closed => EndpointInput::Closed(Cause::from(CauseKind::ClosedByServer)),
            EndpointNews::TooManyPings => EndpointInput::Closed(Cause::from(CauseKind::TooManyPings)),
        };
        // The latest are the likely ones to live.
        let index = all.len() - 1 - usize::from(n) % all.len().min(8);
        self.world.endpoint(all[index], input);
    }

    fn call(&mut self, call: CallKey, news: &CallNews) {
        if self.world.calls.contains_key(&call) {
            let proof = match news {
                CallNews::End(said) | CallNews::Only(said) => said.is_proof(),
                CallNews::Reset(cause) => cause.is_unprocessed() && !self.answered.contains(&call),
                _ => false,
            };
            if proof {
                self.disproved.insert(call);
            }
            if matches!(news, CallNews::Head | CallNews::Answer) {
                self.answered.insert(call);
            }
        }
        let world = &mut self.world;
        match news {
            CallNews::Head => world.head(call),
            CallNews::BadHead { end } => {
                let mut headers = HeaderMap::new();
                headers.insert("content-type", http::HeaderValue::from_static("text/html"));
                world.input(call, CallInput::Head { status: StatusCode::OK, headers: &headers, end: *end });
            }
            CallNews::GatewayHead => {
                let status = StatusCode::BAD_GATEWAY;
                world.input(call, CallInput::Head { status, headers: &HeaderMap::new(), end: false });
            }
            CallNews::Data(chunk) => world.data(call, data(*chunk)),
            CallNews::End(said) => {
                let (code, text) = said.code_and_text();
                world.end(call, code, text);
            }
            CallNews::NoTrailers => world.input(call, CallInput::End(None)),
            CallNews::Only(said) => {
                let (code, text) = said.code_and_text();
                world.status(call, code, text);
            }
            CallNews::Reset(cause) => world.reset(call, cause.clone()),
            CallNews::Answer => self.answer(call),
        }
    }

    /// What an honest server says to any of our calls.
    fn answer(&mut self, call: CallKey) {
        let Some(open) = self.world.opened.iter().find(|open| open.call == call) else { return };
        match open.method.name() {
            "Put" => self.world.answer(call, &put_response(1)),
            "Range" => self.world.answer(call, &range_response(1)),
            _ => self.world.answer(call, &HealthCheckResponse { status: 1 }),
        }
    }

    /// What holds whenever the driver has done what it was told.
    fn check(&self) {
        let world = &self.world;
        if world.busy {
            return;
        }
        let stats = world.core.stats();
        assert_eq!(stats.in_flight, world.calls.len(), "the core and its driver agree on what is open");
        let calls = world.op_calls();
        let of_streams =
            calls.iter().filter(|call| world.calls[call].method.name() == "LeaseKeepAlive").count();
        let of_ops = calls.len() - of_streams;
        assert!(of_ops <= world.core.max_in_flight());
        assert!(stats.streams >= of_streams);
        assert_eq!(stats.connections, world.dials.len() + world.connections.len());
        let ended = stats.ops_succeeded + stats.ops_failed + stats.ops_cancelled;
        assert!(stats.ops_started - ended <= stats.ops as u64);
        if stats.waiting > 0 && !self.pins && !self.late {
            let full = of_ops == world.core.max_in_flight();
            assert!(full || stats.ready_endpoints == 0, "something waits for nothing: {stats:?}");
        }
        // Every open call is on a connection that is there, which the driver saw to; and every write that was sent
        // again had been proved not to be applied.
        let mut writes: BTreeMap<&Bytes, CallKey> = BTreeMap::new();
        for open in world.opened.iter().filter(|open| open.method.name() == "Put") {
            if let Some(before) = writes.insert(&open.message, open.call) {
                assert!(self.disproved.contains(&before), "{before:?} was sent again as {:?}", open.call);
            }
        }
    }

    fn use_stream(&mut self, n: usize, action: StreamUse) {
        let AnyStream { stream, finished, over, .. } = &mut self.streams[n];
        let world = &mut self.world;
        match action {
            StreamUse::Send => {
                let sent = world.core.send(world.now, stream, &LeaseKeepAliveRequest { id: 2 });
                assert!(sent.is_ok() || *finished);
            }
            StreamUse::Finish => {
                world.core.finish(world.now, stream.key());
                *finished = true;
            }
            StreamUse::Cancel => {
                world.core.cancel_stream(world.now, stream.key());
                assert!(world.core.next(stream).is_none());
                *over = true;
            }
            StreamUse::Next => {
                self.next(n);
            }
            StreamUse::Drain => while self.next(n) {},
        }
        self.world.drain();
    }

    /// Takes an item: none without a hint since there was none, and none after the end.
    fn next(&mut self, n: usize) -> bool {
        let AnyStream { stream, over, empty, .. } = &mut self.streams[n];
        let world = &mut self.world;
        let hints = world.readable.iter().filter(|key| **key == stream.key()).count();
        let item = world.core.next(stream);
        match &item {
            Some(item) => {
                assert!(!*over, "{item:?} after the end");
                assert!(world.busy || *empty != Some(hints), "{item:?} without a hint");
                *over = matches!(item, StreamItem::End(_));
            }
            None => *empty = Some(hints),
        }
        item.is_some()
    }

    /// Redeems an operation: exactly when it is told as done, and exactly once.
    fn take(&mut self, n: usize) {
        let world = &mut self.world;
        let op = &self.ops[n];
        let key = op.key();
        let (got, failed_read): (bool, Option<Error>) = match op {
            AnyOp::Put(op) => (world.core.take(op).is_some(), None),
            AnyOp::Get(op) => match world.core.take(op) {
                Some(result) => (true, result.err()),
                None => (false, None),
            },
            AnyOp::Connect(op) => (world.core.take(op).is_some(), None),
        };
        if let Some(error) = failed_read {
            assert_eq!(error.outcome(), Outcome::NotApplied, "a read changes nothing: {error}");
        }
        let gone = self.taken.contains(&key) || self.cancelled.contains(&key);
        if got {
            assert!(!gone, "{key:?} has a second result");
            self.taken.insert(key);
        } else if !world.busy {
            assert!(gone || !world.done.contains(&key), "{key:?} was told as done");
        }
    }

    /// The faults stop: every server is there and answers. Everything ends then.
    fn heal(&mut self) {
        self.world.busy = false;
        self.world.drain();
        let start = self.world.now;
        let mut wakes = 0;
        // Until all is done and no timer is left, not even of what is over.
        loop {
            self.serve();
            let Some(next) = self.world.core.poll_timeout() else { break };
            self.world.advance(next.saturating_duration_since(self.world.now));
            wakes += 1;
            assert!(wakes < 2_000, "it does not come to rest: {:?}", self.world.core.stats());
            assert!(self.world.now - start < s(120), "it takes too long: {:?}", self.world.core.stats());
        }
        for n in 0..self.streams.len() {
            while self.next(n) {}
            assert!(self.streams[n].over, "a stream never ended");
        }
        self.world.drain();
        for n in 0..self.ops.len() {
            self.take(n);
            let key = self.ops[n].key();
            assert!(self.taken.contains(&key) || self.cancelled.contains(&key), "{key:?} has no result");
        }
        let world = &mut self.world;
        world.assert_clean();
        let stats = world.core.stats();
        let endpoints = world.core.endpoints().filter(|(_, _, status)| status.is_some()).count();
        assert_eq!(
            (stats.connections, stats.ready_endpoints),
            (endpoints, endpoints),
            "one for each endpoint"
        );
        assert_eq!(stats.ops_started, stats.ops_succeeded + stats.ops_failed + stats.ops_cancelled);
        if world.core.is_closed() {
            assert!(world.core.is_drained());
            assert_eq!(stats.connections, 0);
        }
    }

    /// Does as all servers should.
    fn serve(&mut self) {
        while let Some(call) = {
            self.world.accept_all();
            self.world.calls.keys().next().copied()
        } {
            self.answered.insert(call);
            self.answer(call);
            assert!(!self.world.calls.contains_key(&call), "the end of its response ends a call");
            self.check();
        }
    }
}

fn data(chunk: Chunk) -> Bytes {
    let message = framed(&put_response(3));
    match chunk {
        Chunk::Message => message,
        Chunk::Half => message.slice(..message.len() / 2),
        Chunk::Two => [message.clone(), message].concat().into(),
        Chunk::Garbage => Bytes::from_static(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff]),
        Chunk::Nothing => Bytes::new(),
        Chunk::Huge => Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]),
    }
}

fn play(script: &[Step], seed: u64, max_in_flight: usize, pins: bool) -> Transcript {
    let mut play = Play::new(seed, max_in_flight, pins);
    for step in script {
        play.apply(step);
    }
    play.heal();
    play.world.transcript
}

proptest! {
    #[test]
    fn any_order_of_inputs_comes_to_a_good_end(
        script in script(),
        seed in any::<u64>(),
        max_in_flight in 1..6_usize,
        pins in any::<bool>(),
    ) {
        play(&script, seed, max_in_flight, pins);
    }

    #[test]
    fn equal_seeds_and_inputs_give_equal_outputs(
        script in script(),
        seed in any::<u64>(),
    ) {
        let (one, two) = (play(&script, seed, 4, true), play(&script, seed, 4, true));
        prop_assert_eq!(one, two);
    }
}

#[test]
fn a_transcript_tells_seeds_apart() {
    let script =
        [Step::Get { timeout: None, endpoint: None }, Step::Advance(0), Step::Accept(0)]
            .into_iter()
            .chain((0..20).flat_map(|_| {
                [Step::LiveCall(0, CallNews::Only(Said::TooManyRequests)), Step::Advance(1000)]
            }))
            .collect::<Vec<_>>();
    let (one, two) = (play(&script, 1, 4, true), play(&script, 2, 4, true));
    assert!(one.entries > 50, "{one:?}");
    assert_ne!(one, two, "jitter depends on the seed");
    assert_eq!(one, play(&script, 1, 4, true));
}
