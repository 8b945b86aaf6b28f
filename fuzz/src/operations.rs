//! Any list of inputs to a core: nothing panics, every operation ends exactly once, and the same list gives the same
//! outputs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_core::{
    CallInput, CallKey, CallOptions, Cause, CauseKind, Config, ConnectionKey, Core, EndpointInput,
    EndpointKey, Event, Op, OpKey, ResetCause, Transmit,
};
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::input::Input;

pub(crate) const SEEDS: &[&[u8]] = &[
    &[0, 0, 3, 0, 5, 0, 1, 5, 0, 3],
    &[0, 3, 1, 3, 4, 0, 0, 7, 20, 3, 0, 5, 0, 1, 5, 0, 2, 5, 0, 3],
    &[0, 0, 0, 1, 3, 0, 2, 0, 8, 7, 200, 9],
    // A read without a deadline, pinned; a lease; a wait for a connection.
    &[0, 0x51, 0, 3, 0, 0, 0, 0x02, 9, 0, 3, 9, 5, 0, 1, 5, 0, 2, 5, 0, 3, 5, 1, 1, 5, 1, 3, 2],
];

/// More operations tell nothing new.
const STEPS: usize = 300;

/// An operation of any kind.
enum Any {
    Put(Op<PutResponse>),
    Range(Op<RangeResponse>),
    Grant(Op<LeaseGrantResponse>),
    Connect(Op<()>),
}

impl Any {
    fn key(&self) -> OpKey {
        match self {
            Self::Put(op) => op.key(),
            Self::Range(op) => op.key(),
            Self::Grant(op) => op.key(),
            Self::Connect(op) => op.key(),
        }
    }

    /// Whether it was there to be taken.
    fn take(&self, core: &mut Core) -> bool {
        match self {
            Self::Put(op) => core.take(op).is_some(),
            Self::Range(op) => core.take(op).is_some(),
            Self::Grant(op) => core.take(op).is_some(),
            Self::Connect(op) => core.take(op).is_some(),
        }
    }
}

struct World {
    core: Core,
    start: Instant,
    now: Instant,
    ops: Vec<Any>,
    /// Those that may wait for ever.
    endless: Vec<usize>,
    /// Every endpoint there ever was.
    endpoints: Vec<EndpointKey>,
    /// How often each was said to be done.
    done: BTreeMap<usize, usize>,
    cancelled: Vec<usize>,
    connections: Vec<ConnectionKey>,
    calls: Vec<CallKey>,
    transcript: Vec<String>,
}

/// Each step is a byte for its kind and some for its choices.
pub fn operations(data: &[u8]) {
    let start = Instant::now();
    let (one, two) = (run(data, start), run(data, start));
    assert_eq!(one, two, "the same inputs give the same outputs");
}

fn run(data: &[u8], start: Instant) -> Vec<String> {
    let addresses = (1..3).map(|port| format!("127.0.0.1:{port}").parse().expect("an address"));
    let config = Config::new(addresses).max_in_flight(4).max_response_size(100);
    let mut world = World {
        core: Core::new(config, start, 7),
        start,
        now: start,
        ops: Vec::new(),
        endless: Vec::new(),
        endpoints: Vec::new(),
        done: BTreeMap::new(),
        cancelled: Vec::new(),
        connections: Vec::new(),
        calls: Vec::new(),
        transcript: Vec::new(),
    };
    let mut input = Input(data);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.end();
    world.transcript
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        match input.byte() % 10 {
            0 => self.start(input),
            1 => {
                if let Some(index) = input.index(self.ops.len()) {
                    self.core.cancel(now, self.ops[index].key());
                    self.cancelled.push(index);
                }
            }
            2 => {
                let count = u16::from(input.byte() % 4);
                let address = |port| format!("127.0.0.1:{port}").parse().expect("an address");
                self.core.set_endpoints(now, (1..=count).map(address));
            }
            3 | 4 => {
                let Some(index) = input.index(self.connections.len()) else { return self.drain() };
                let lost = || Cause::from(CauseKind::ClosedByServer);
                let news = match input.byte() % 8 {
                    0..4 => EndpointInput::Connected,
                    4 => EndpointInput::ConnectFailed(lost()),
                    5 => EndpointInput::Received,
                    6 => EndpointInput::GoingAway,
                    _ => EndpointInput::Closed(lost()),
                };
                self.core.handle_endpoint(now, self.connections[index], news);
            }
            5 | 6 => {
                let Some(index) = input.index(self.calls.len()) else { return self.drain() };
                self.answer(self.calls[index], input);
            }
            7 => {
                self.now += Duration::from_millis(u64::from(input.byte()) * 10);
                self.core.handle_timeout(self.now);
            }
            // Many inputs before a drain are fine.
            8 => return,
            _ => {
                if input.byte() == 255 {
                    self.core.close(now);
                }
            }
        }
        self.drain();
    }

    /// A byte for the kind, for whether it has a deadline (mostly), and for whether it may go to one endpoint only; then the
    /// time and the endpoint.
    fn start(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let timeout = match (kind >> 4) % 8 {
            5 => None,
            _ => Some(Duration::from_millis(u64::from(input.byte()) * 50 + 1)),
        };
        let mut options = CallOptions::new().timeout(timeout);
        for (key, ..) in self.core.endpoints() {
            if !self.endpoints.contains(&key) {
                self.endpoints.push(key);
            }
        }
        if kind >> 6 == 1 {
            if let Some(index) = input.index(self.endpoints.len()) {
                options = options.endpoint(self.endpoints[index]);
            }
        }
        if timeout.is_none() {
            self.endless.push(self.ops.len());
        }
        let (now, core) = (self.now, &mut self.core);
        let key = Bytes::from_static(b"k");
        self.ops.push(match kind % 4 {
            0 => Any::Put(core.start(now, &PutRequest { key, ..Default::default() }, &options)),
            1 => {
                let serializable = kind & 8 != 0;
                Any::Range(core.start(
                    now,
                    &RangeRequest { key, serializable, ..Default::default() },
                    &options,
                ))
            }
            2 => Any::Grant(core.start(now, &LeaseGrantRequest { ttl: 5, id: 0 }, &options)),
            _ => Any::Connect(core.connect(now, &options)),
        });
    }

    fn answer(&mut self, call: CallKey, input: &mut Input<'_>) {
        let now = self.now;
        let mut headers = HeaderMap::new();
        match input.byte() % 8 {
            0 | 1 => {
                headers.insert("content-type", HeaderValue::from_static("application/grpc"));
                let head = CallInput::Head { status: StatusCode::OK, headers: &headers, end: false };
                self.core.handle_call(now, call, head);
            }
            2 => self.core.handle_call(now, call, CallInput::Data(Bytes::from_static(&[0, 0, 0, 0, 0]))),
            3 => {
                headers.insert("grpc-status", HeaderValue::from(u16::from(input.byte() % 18)));
                self.core.handle_call(now, call, CallInput::End(Some(&headers)));
            }
            4 => self.core.handle_call(now, call, CallInput::Data(Bytes::copy_from_slice(input.piece(120)))),
            5 => self.core.handle_call(now, call, CallInput::End(None)),
            6 => {
                let cause = match input.byte() % 4 {
                    0 => ResetCause::NotSent,
                    1 => ResetCause::Refused,
                    2 => ResetCause::GoAway,
                    _ => ResetCause::Stream(u32::from(input.byte())),
                };
                self.core.handle_call(now, call, CallInput::Reset(cause));
            }
            _ => {
                let end = input.byte() % 2 == 0;
                let head = CallInput::Head { status: StatusCode::BAD_GATEWAY, headers: &headers, end };
                self.core.handle_call(now, call, head);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            self.transcript.push(format!("{transmit:?}"));
            match transmit {
                Transmit::Connect(connect) => self.connections.push(connect.connection),
                Transmit::Open(open) => self.calls.push(open.call),
                _ => {}
            }
        }
        while let Some(event) = self.core.poll_event() {
            self.transcript.push(format!("{:?} {event:?}", self.now - self.start));
            if let Event::OpDone(key) = event {
                let index = self.ops.iter().position(|op| op.key() == key).expect("an operation there is");
                *self.done.entry(index).or_default() += 1;
                // A cancelled one may have been done before.
                let taken = self.ops[index].take(&mut self.core);
                assert!(taken || self.cancelled.contains(&index), "done and not there");
                assert!(!self.ops[index].take(&mut self.core), "taken twice");
            }
        }
    }

    /// Nobody does anything any more: time passes until all that have a deadline have ended. Closing ends the others.
    fn end(&mut self) {
        self.drain();
        let end = self.now + Duration::from_secs(60);
        let mut turns = 0;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            turns += 1;
            assert!(turns < 10_000, "it never rests");
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.judge(|world, index| world.endless.contains(&index));
        self.core.close(self.now);
        self.drain();
        self.judge(|_, _| false);
    }

    fn judge(&self, may_wait: impl Fn(&Self, usize) -> bool) {
        for index in 0..self.ops.len() {
            let done = self.done.get(&index).copied().unwrap_or_default();
            assert!(done <= 1, "operation {index} was done {done} times");
            let excused = self.cancelled.contains(&index) || may_wait(self, index);
            assert!(done == 1 || excused, "operation {index} never ended");
        }
    }
}
