//! A scripted driver on virtual time: it keeps what a driver must keep, checks on every drain what a driver may rely
//! on, and leaves every answer to the test.

mod leases;
mod server;

pub(crate) use leases::*;
pub(crate) use server::*;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use etcdium_core::{
    Address, CallInput, CallKey, CallOptions, Cause, CauseKind, Config, Connect, ConnectionKey, Core,
    EndpointInput, EndpointKey, Error, Event, Op, OpKey, Open, ResetCause, Stream, StreamItem, StreamKey,
    Transmit,
};
use etcdium_proto::{Response, StreamMethod, UnaryRequest};
use prost::Message;

/// The only reading of a clock in these tests: all times are offsets from here.
#[expect(clippy::disallowed_methods, reason = "an Instant can only be made by reading a clock")]
pub(crate) fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `n` endpoints `a:1`, `b:1`, ...
pub(crate) fn addresses(n: usize) -> Vec<Address> {
    (0..n).map(|n| address(&format!("{}:1", char::from(b'a' + n as u8)))).collect()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn no_options() -> CallOptions {
    CallOptions::new()
}

pub(crate) fn within(timeout: Duration) -> CallOptions {
    CallOptions::new().timeout(Some(timeout))
}

pub(crate) fn without_limit() -> CallOptions {
    CallOptions::new().timeout(None)
}

/// A cause to fail connections with.
pub(crate) fn refused() -> Cause {
    Cause::new(CauseKind::Connect(std::io::ErrorKind::ConnectionRefused), "connection refused")
}

/// A core and the driver's side of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Instant,
    /// Attempts not answered yet, oldest first.
    pub(crate) dials: BTreeMap<ConnectionKey, Connect>,
    /// Connections reported as made and not gone.
    pub(crate) connections: BTreeMap<ConnectionKey, Connect>,
    /// Calls opened and not over for the driver, oldest first.
    pub(crate) calls: BTreeMap<CallKey, Open>,
    /// Every call ever opened.
    pub(crate) opened: Vec<Open>,
    /// Every connection ever asked for, with the time.
    pub(crate) dialled: Vec<(Instant, Connect)>,
    /// Messages sent after the first of their call.
    pub(crate) sent: BTreeMap<CallKey, Vec<bytes::Bytes>>,
    /// Calls whose request the core finished after their first message.
    pub(crate) finished: BTreeSet<CallKey>,
    /// Calls the core told to reset.
    pub(crate) reset: BTreeSet<CallKey>,
    /// Connections the core told to drop.
    pub(crate) dropped: BTreeSet<ConnectionKey>,
    /// Operations told as done.
    pub(crate) done: BTreeSet<OpKey>,
    /// Streams told as readable, oldest hint first.
    pub(crate) readable: Vec<StreamKey>,
    /// Other events, oldest first.
    pub(crate) events: Vec<Event>,
    /// Connections the driver told the end of.
    pub(crate) gone: BTreeSet<ConnectionKey>,
    /// Gives further inputs before it asks the core what to do, as a driver may.
    pub(crate) busy: bool,
    /// Everything that came out of the core, with the time since the epoch.
    pub(crate) transcript: Transcript,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::with_seed(config, 1)
    }

    pub(crate) fn with_seed(config: Config, seed: u64) -> Self {
        Self {
            core: Core::new(config, epoch(), seed),
            now: epoch(),
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            opened: Vec::new(),
            dialled: Vec::new(),
            sent: BTreeMap::new(),
            finished: BTreeSet::new(),
            reset: BTreeSet::new(),
            dropped: BTreeSet::new(),
            done: BTreeSet::new(),
            readable: Vec::new(),
            events: Vec::new(),
            gone: BTreeSet::new(),
            busy: false,
            transcript: Transcript::default(),
        }
    }

    /// A world of `n` endpoints with the default settings, all connected.
    pub(crate) fn connected(n: usize) -> Self {
        Self::connected_with(Config::new(addresses(n)))
    }

    /// The same with other settings.
    pub(crate) fn connected_with(config: Config) -> Self {
        let mut world = Self::new(config);
        let op = world.core.connect(world.now, &no_options());
        world.drain();
        world.accept_all();
        world.take(&op).unwrap();
        world.events.clear();
        world
    }

    // Time.

    /// Carries out everything the core wants now, as a driver does after each input.
    pub(crate) fn drain(&mut self) {
        if self.busy {
            return;
        }
        while let Some(transmit) = self.core.poll_transmit() {
            self.transcript.add(self.now, &transmit);
            match transmit {
                Transmit::Connect(connect) => {
                    let key = connect.connection;
                    assert!(!self.dropped.contains(&key), "{key:?} is asked for again");
                    self.dialled.push((self.now, connect.clone()));
                    assert!(self.dials.insert(key, connect).is_none(), "{key:?} is asked for twice");
                }
                Transmit::Disconnect(key) => {
                    let known = self.dials.remove(&key).is_some() | self.connections.remove(&key).is_some();
                    assert!(known || self.gone.contains(&key), "{key:?} is not there to be dropped");
                    self.dropped.insert(key);
                    self.calls.retain(|_, open| open.connection != key);
                }
                Transmit::Open(open) => {
                    let last = self.opened.last().map(|last| last.call);
                    assert!(last < Some(open.call), "{:?} is not new", open.call);
                    self.opened.push(open.clone());
                    if self.connections.contains_key(&open.connection) {
                        self.calls.insert(open.call, open);
                    } else {
                        // Its end was told before this was asked for.
                        assert!(self.gone.contains(&open.connection), "{:?} on no connection", open.call);
                    }
                }
                Transmit::Send { call, message } => {
                    self.assert_sending(call);
                    let sent = self.sent.entry(call).or_default();
                    let mut rest = message;
                    while !rest.is_empty() {
                        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap());
                        sent.push(rest.split_to(5 + length as usize));
                    }
                }
                Transmit::Finish(call) => {
                    self.assert_sending(call);
                    self.finished.insert(call);
                }
                Transmit::Reset(key) => {
                    let known = self.opened.binary_search_by_key(&key, |open| open.call);
                    assert!(known.is_ok(), "{key:?} was never opened");
                    assert!(self.reset.insert(key), "{key:?} is reset twice");
                    self.calls.remove(&key);
                }
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = self.core.poll_event() {
            self.transcript.add(self.now, &event);
            match event {
                Event::OpDone(key) => assert!(self.done.insert(key), "{key:?} ended twice"),
                Event::StreamReadable(key) => self.readable.push(key),
                event => self.events.push(event),
            }
        }
        self.transcript.add(self.now, &self.core.poll_timeout().map(|at| at - epoch()));
    }

    /// A request goes on only if its call was opened to, and was neither finished nor reset.
    #[track_caller]
    fn assert_sending(&self, call: CallKey) {
        let open = self.opened.iter().rfind(|open| open.call == call).expect("a call that was opened");
        assert!(open.more, "{call:?} takes no more");
        assert!(!self.finished.contains(&call) && !self.reset.contains(&call), "{call:?} is over");
    }

    /// Lets time pass, waking the core whenever it asks for it.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        self.drain();
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= target) {
            self.wake(at);
        }
        self.wake(target);
    }

    /// Lets time pass until the core has done what is waited for; how long that took.
    #[track_caller]
    pub(crate) fn advance_until(&mut self, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < s(60), "it does not happen");
            let at = self.core.poll_timeout().expect("something to wait for");
            self.wake(at);
        }
        self.now - start
    }

    /// Lets time pass until a connection to `name` is asked for.
    #[track_caller]
    pub(crate) fn await_dial(&mut self, name: &str) -> Duration {
        self.advance_until(|world| world.dials.values().any(|dial| host(&dial.address) == name))
    }

    /// Lets time pass until a call of an operation is open.
    #[track_caller]
    pub(crate) fn await_call(&mut self) -> Duration {
        self.advance_until(|world| !world.op_calls().is_empty())
    }

    fn wake(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.core.handle_timeout(self.now);
        self.drain();
        let next = self.core.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "nothing was due and yet it is asked for at once");
    }

    // Connections.

    pub(crate) fn endpoint(&mut self, connection: ConnectionKey, input: EndpointInput) {
        match &input {
            EndpointInput::Connected => {
                if let Some(connect) = self.dials.remove(&connection) {
                    self.connections.insert(connection, connect);
                }
            }
            EndpointInput::ConnectFailed(_) | EndpointInput::Closed(_) => {
                if self.dials.remove(&connection).is_some() | self.connections.remove(&connection).is_some() {
                    self.gone.insert(connection);
                }
                self.calls.retain(|_, open| open.connection != connection);
            }
            _ => {}
        }
        self.core.handle_endpoint(self.now, connection, input);
        self.drain();
    }

    /// Makes every connection that is asked for.
    pub(crate) fn accept_all(&mut self) {
        while let Some(key) = self.dials.keys().next().copied() {
            self.endpoint(key, EndpointInput::Connected);
        }
    }

    /// Makes the connection that is being made to `name`, which is the host part of its address.
    pub(crate) fn accept(&mut self, name: &str) {
        let key = self.dial_to(name);
        self.endpoint(key, EndpointInput::Connected);
    }

    /// Fails the connection that is being made to `name`.
    pub(crate) fn refuse(&mut self, name: &str) {
        let key = self.dial_to(name);
        self.endpoint(key, EndpointInput::ConnectFailed(refused()));
    }

    /// Breaks the open connection to `name`.
    pub(crate) fn cut(&mut self, name: &str) {
        let key = self.connection_to(name);
        self.endpoint(key, EndpointInput::Closed(Cause::from(CauseKind::ClosedByServer)));
    }

    pub(crate) fn dial_to(&self, name: &str) -> ConnectionKey {
        *self.dials.iter().rfind(|(_, dial)| host(&dial.address) == name).expect("a dial").0
    }

    pub(crate) fn connection_to(&self, name: &str) -> ConnectionKey {
        *self.connections.iter().rfind(|(_, to)| host(&to.address) == name).expect("a connection").0
    }

    /// The key of the endpoint `name`.
    pub(crate) fn key_of(&self, name: &str) -> EndpointKey {
        self.core.endpoint_key(&address(&format!("{name}:1"))).expect("an endpoint")
    }

    // Operations.

    pub(crate) fn start<R: UnaryRequest>(&mut self, request: &R, options: &CallOptions) -> Op<R::Response> {
        let op = self.core.start(self.now, request, options);
        self.drain();
        op
    }

    pub(crate) fn connect(&mut self, options: &CallOptions) -> Op<()> {
        let op = self.core.connect(self.now, options);
        self.drain();
        op
    }

    pub(crate) fn cancel<T>(&mut self, op: &Op<T>) {
        self.core.cancel(self.now, op.key());
        self.drain();
    }

    pub(crate) fn is_done<T>(&self, op: &Op<T>) -> bool {
        self.done.contains(&op.key())
    }

    /// The result of an operation that has ended.
    #[track_caller]
    pub(crate) fn take<T: Response + std::fmt::Debug>(&mut self, op: &Op<T>) -> Result<T, Error> {
        assert!(self.is_done(op), "{op:?} has not ended: {:?}", self.core.stats());
        let result = self.core.take(op).expect("a result");
        assert!(self.core.take(op).is_none(), "a result is given once");
        result
    }

    #[track_caller]
    pub(crate) fn error<T: Response + std::fmt::Debug>(&mut self, op: &Op<T>) -> Error {
        self.take(op).expect_err("an error")
    }

    // Streams.

    pub(crate) fn open<S: StreamMethod>(&mut self, request: &S::Request, options: &CallOptions) -> Stream<S> {
        let stream = self.core.open(self.now, request, options);
        self.drain();
        stream
    }

    pub(crate) fn send<S: StreamMethod>(
        &mut self,
        stream: &Stream<S>,
        message: &S::Request,
    ) -> Result<(), Error> {
        let result = self.core.send(self.now, stream, message);
        self.drain();
        result
    }

    pub(crate) fn finish<S>(&mut self, stream: &Stream<S>) {
        self.core.finish(self.now, stream.key());
        self.drain();
    }

    pub(crate) fn cancel_stream<S>(&mut self, stream: &Stream<S>) {
        self.core.cancel_stream(self.now, stream.key());
        self.drain();
    }

    /// The end of a stream that has nothing else to take.
    #[track_caller]
    pub(crate) fn end_of<S: StreamMethod>(&mut self, stream: &Stream<S>) -> Result<(), Error> {
        let Some(StreamItem::End(end)) = self.core.next(stream) else { panic!("{stream:?} has not ended") };
        assert!(self.core.next(stream).is_none(), "an end is given once");
        self.drain();
        end
    }

    // Calls.

    /// The only open call, probes excepted.
    #[track_caller]
    pub(crate) fn call(&self) -> CallKey {
        let calls = self.op_calls();
        assert_eq!(calls.len(), 1, "calls open: {calls:?}");
        calls[0]
    }

    /// Open calls of operations, oldest first.
    pub(crate) fn op_calls(&self) -> Vec<CallKey> {
        self.calls.iter().filter(|(_, open)| !is_probe(open)).map(|(key, _)| *key).collect()
    }

    /// Open health probes.
    pub(crate) fn probes(&self) -> Vec<CallKey> {
        self.calls.iter().filter(|(_, open)| is_probe(open)).map(|(key, _)| *key).collect()
    }

    /// The host part of the endpoint the call went to.
    #[track_caller]
    pub(crate) fn place(&self, call: CallKey) -> String {
        let open = self.opened.iter().rfind(|open| open.call == call).expect("a call");
        let dial = self.dialled.iter().find(|(_, dial)| dial.connection == open.connection);
        host(&dial.expect("a connection").1.address)
    }

    pub(crate) fn input(&mut self, call: CallKey, input: CallInput<'_>) {
        let over =
            matches!(input, CallInput::Head { end: true, .. } | CallInput::End(_) | CallInput::Reset(_));
        if over {
            self.calls.remove(&call);
        }
        self.core.handle_call(self.now, call, input);
        self.drain();
    }

    pub(crate) fn head(&mut self, call: CallKey) {
        self.input(call, CallInput::Head { status: http::StatusCode::OK, headers: &good_head(), end: false });
    }

    pub(crate) fn data(&mut self, call: CallKey, data: impl Into<bytes::Bytes>) {
        self.input(call, CallInput::Data(data.into()));
    }

    /// Ends a call with trailers.
    pub(crate) fn end(&mut self, call: CallKey, code: u32, text: &str) {
        self.input(call, CallInput::End(Some(&trailers(code, text))));
    }

    /// Answers a call well.
    pub(crate) fn answer(&mut self, call: CallKey, response: &impl Message) {
        self.head(call);
        self.data(call, framed(response));
        self.end(call, 0, "");
    }

    /// Answers a call with a status and nothing else.
    pub(crate) fn status(&mut self, call: CallKey, code: u32, text: &str) {
        let headers = trailers_only(code, text);
        self.input(call, CallInput::Head { status: http::StatusCode::OK, headers: &headers, end: true });
    }

    pub(crate) fn reset(&mut self, call: CallKey, cause: ResetCause) {
        self.input(call, CallInput::Reset(cause));
    }

    /// Brings a call as far as `stage`.
    pub(crate) fn bring_to(&mut self, call: CallKey, stage: Stage) {
        let message = framed(&put_response(9));
        match stage {
            Stage::Nothing => {}
            Stage::Head => self.head(call),
            Stage::Part => {
                self.head(call);
                self.data(call, message.slice(..7));
            }
            Stage::Whole => {
                self.head(call);
                self.data(call, message);
            }
        }
    }

    // Checks.

    /// Nothing is left of any operation or call.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let stats = self.core.stats();
        assert_eq!((stats.ops, stats.streams, stats.waiting, stats.in_flight), (0, 0, 0, 0), "{stats:?}");
        assert_eq!(self.calls.keys().collect::<Vec<_>>(), Vec::<&CallKey>::new(), "the driver's calls");
    }
}

/// How far a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Nothing,
    Head,
    Part,
    Whole,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Head, Self::Part, Self::Whole];
}

pub(crate) fn is_probe(open: &Open) -> bool {
    open.method.path() == "/grpc.health.v1.Health/Check"
}

pub(crate) fn host(address: &Address) -> String {
    address.as_str().split(':').next().unwrap_or_default().to_owned()
}

/// What came out of a core: kept as a hash, for equality is all that is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transcript {
    hash: u64,
    pub(crate) entries: u64,
}

impl Default for Transcript {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, entries: 0 }
    }
}

impl Transcript {
    pub(crate) fn add(&mut self, now: Instant, entry: &impl std::fmt::Debug) {
        // FNV-1a: fixed by its definition, unlike the standard library's hashers.
        for byte in format!("{:?} {entry:?}\n", now - epoch()).bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.entries += 1;
    }
}
