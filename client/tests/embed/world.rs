//! A loop in memory: a core, its transport, sockets that are buffers, and time that stands still unless moved.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use etcdium_client::embed::{Action, Interest, Transport};
use etcdium_client::proto::etcdserverpb::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
};
use etcdium_client::proto::mvccpb::KeyValue;
use etcdium_client::{CauseKind, EndpointStatus};
use etcdium_core::{CallOptions, Config, ConnectionKey, Core, Event, Op};
use prost::Message;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// SETTINGS with unlimited streams and the largest window, WINDOW_UPDATE, and SETTINGS that acknowledge the client's.
const HELLO: [&[u8]; 3] = [
    &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff],
    &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x70, 0, 0, 0],
    &[0, 0, 0, 4, 1, 0, 0, 0, 0],
];

/// A socket: both its owner and the server's side have one.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Rc<RefCell<Buffers>>);

/// What is on the way.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Whether the operating system has connected it.
    pub(crate) connected: bool,
    pub(crate) to_client: VecDeque<u8>,
    /// Nothing comes after that.
    pub(crate) eof: bool,
    /// What every operation fails with.
    pub(crate) error: Option<io::ErrorKind>,
    /// What the client wrote and the server has not looked at.
    pub(crate) to_server: Vec<u8>,
    /// How much fits into `to_server`.
    pub(crate) room: usize,
    /// The most that one operation moves.
    pub(crate) piece: usize,
    /// What a stream on top of a socket, such as TLS, keeps back until it is flushed.
    pub(crate) kept: Option<Vec<u8>>,
    greeted: bool,
    /// What the client's latest ping carries.
    pinged: [u8; 8],
}

impl Socket {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Buffers {
            connected: true,
            to_client: VecDeque::new(),
            eof: false,
            error: None,
            to_server: Vec::new(),
            room: usize::MAX,
            piece: usize::MAX,
            kept: None,
            greeted: false,
            pinged: [0; 8],
        })))
    }

    pub(crate) fn buffers(&self) -> RefMut<'_, Buffers> {
        self.0.borrow_mut()
    }

    /// The frames the client wrote since the last look, as kind, flags and stream.
    pub(crate) fn frames(&self) -> Vec<(u8, u8, u32)> {
        let mut buffers = self.buffers();
        if !buffers.greeted && buffers.to_server.starts_with(PREFACE) {
            buffers.to_server.drain(..PREFACE.len());
            buffers.greeted = true;
        }
        let mut frames = Vec::new();
        while let [a, b, c, kind, flags, s, t, r, m, ..] = *buffers.to_server {
            let len = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if !buffers.greeted || buffers.to_server.len() < len {
                break;
            }
            let frame: Vec<u8> = buffers.to_server.drain(..len).collect();
            if let (PING, Ok(payload)) = (kind, frame[9..].try_into()) {
                buffers.pinged = payload;
            }
            frames.push((kind, flags, u32::from_be_bytes([s, t, r, m])));
        }
        frames
    }

    /// The streams of the requests that arrived whole since the last look.
    pub(crate) fn requests(&self) -> Vec<u32> {
        let whole = |(kind, flags, stream)| (kind == DATA && flags & END_STREAM != 0).then_some(stream);
        self.frames().into_iter().filter_map(whole).collect()
    }

    pub(crate) fn hello(&self) {
        self.buffers().to_client.extend(HELLO.concat());
    }

    fn frame(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut buffers = self.buffers();
        buffers.to_client.extend(&(payload.len() as u32).to_be_bytes()[1..]);
        buffers.to_client.extend([kind, flags]);
        buffers.to_client.extend(stream.to_be_bytes());
        buffers.to_client.extend(payload);
    }

    pub(crate) fn ping(&self) {
        self.frame(PING, 0, 0, b"anything");
    }

    /// Answers the client's latest ping.
    pub(crate) fn pong(&self) {
        let payload = self.buffers().pinged;
        self.frame(PING, ACK, 0, &payload);
    }

    /// Answers a request with success.
    pub(crate) fn respond(&self, stream: u32, message: &impl Message) {
        self.head(stream);
        self.message(stream, message);
        self.end(stream);
    }

    /// Begins a response.
    pub(crate) fn head(&self, stream: u32) {
        let head = [&[0x88][..], &field("content-type", "application/grpc")].concat();
        self.frame(HEADERS, END_HEADERS, stream, &head);
    }

    /// One message of a response.
    pub(crate) fn message(&self, stream: u32, message: &impl Message) {
        let prefix = [&[0][..], &(message.encoded_len() as u32).to_be_bytes()].concat();
        for piece in [prefix, message.encode_to_vec()].concat().chunks(16_384) {
            self.frame(DATA, 0, stream, piece);
        }
    }

    /// Ends a response well.
    pub(crate) fn end(&self, stream: u32) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &field("grpc-status", "0"));
    }
}

/// A field of a header block, literal and not indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

pub(crate) fn put_response() -> PutResponse {
    PutResponse { header: Some(ResponseHeader { revision: 42, ..Default::default() }), prev_kv: None }
}

pub(crate) fn range_response(size: usize) -> RangeResponse {
    let kv = KeyValue { key: "k".into(), value: vec![7; size].into(), ..Default::default() };
    RangeResponse { kvs: vec![kv], count: 1, ..Default::default() }
}

impl Buffers {
    fn check(&self) -> io::Result<()> {
        match self.error {
            Some(kind) => Err(kind.into()),
            None if !self.connected => Err(io::ErrorKind::NotConnected.into()),
            None => Ok(()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut buffers = self.buffers();
        buffers.check()?;
        if buffers.to_client.is_empty() && !buffers.eof {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = room.len().min(buffers.piece);
        buffers.to_client.read(&mut room[..most])
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffers = self.buffers();
        buffers.check()?;
        if let Some(kept) = &mut buffers.kept {
            kept.extend(bytes);
            return Ok(bytes.len());
        }
        let len = bytes.len().min(buffers.piece).min(buffers.room);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffers.room -= len;
        buffers.to_server.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut buffers = self.buffers();
        let room = buffers.room;
        match &mut buffers.kept {
            Some(kept) if kept.len() > room => Err(io::ErrorKind::WouldBlock.into()),
            Some(kept) => {
                let bytes = std::mem::take(kept);
                buffers.room -= bytes.len();
                buffers.to_server.extend(bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The loop.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) transport: Transport<Socket>,
    pub(crate) now: Instant,
    /// Connections that a socket is wanted for.
    pub(crate) wanted: Vec<ConnectionKey>,
    pub(crate) abandoned: Vec<ConnectionKey>,
    pub(crate) closed: Vec<ConnectionKey>,
    /// Why the endpoint was down, each time.
    pub(crate) down: Vec<CauseKind>,
}

impl World {
    /// With one endpoint, and a call to make.
    pub(crate) fn new() -> (Self, Op<PutResponse>) {
        Self::with(|config| config)
    }

    pub(crate) fn with(settings: impl FnOnce(Config) -> Config) -> (Self, Op<PutResponse>) {
        let now = Instant::now();
        let config = settings(Config::new(["etcd:1".parse().unwrap()]));
        let mut world = Self {
            core: Core::new(config, now, 1),
            transport: Transport::new(now),
            now,
            wanted: Vec::new(),
            abandoned: Vec::new(),
            closed: Vec::new(),
            down: Vec::new(),
        };
        let put = world.put();
        (world, put)
    }

    /// With a server that said hello, and a put that it got on the first stream.
    pub(crate) fn connected() -> (Self, Socket, Op<PutResponse>) {
        let (mut world, put) = Self::new();
        let socket = world.attach();
        socket.hello();
        world.ready();
        assert_eq!(socket.requests(), [1]);
        (world, socket, put)
    }

    pub(crate) fn put(&mut self) -> Op<PutResponse> {
        let request = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let op = self.core.start(self.now, &request, &CallOptions::new());
        self.settle();
        op
    }

    pub(crate) fn get(&mut self) -> Op<RangeResponse> {
        let request = RangeRequest { key: "k".into(), ..Default::default() };
        let op = self.core.start(self.now, &request, &CallOptions::new());
        self.settle();
        op
    }

    /// Does everything there is to do at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            self.transport.run(self.now, &mut self.core);
            while let Some(action) = self.transport.poll_action() {
                match action {
                    Action::Connect { connection, address } => {
                        assert_eq!(address.as_str(), "etcd:1");
                        self.wanted.push(connection);
                    }
                    Action::Abandon { connection } => self.abandoned.push(connection),
                    Action::Close { connection, .. } => self.closed.push(connection),
                    other => panic!("{other:?}"),
                }
            }
            while let Some(event) = self.core.poll_event() {
                if let Event::Endpoint { status: EndpointStatus::Down(cause), .. } = event {
                    self.down.push(cause.kind().clone());
                }
            }
            if self.transport.poll_timeout(&self.core).is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("the transport never sleeps");
    }

    /// Hands a socket over for the connection that wants one.
    pub(crate) fn attach(&mut self) -> Socket {
        let socket = Socket::new();
        self.attach_this(socket.clone());
        socket
    }

    pub(crate) fn attach_this(&mut self, socket: Socket) {
        let connection = self.wanted.pop().unwrap();
        self.transport.attach(self.now, connection, socket);
        self.settle();
    }

    /// Tells that all sockets may be ready.
    pub(crate) fn ready(&mut self) {
        let slots: Vec<usize> = self.transport.sockets().map(|(connection, ..)| connection.slot()).collect();
        slots.into_iter().for_each(|slot| self.transport.ready(slot));
        self.settle();
    }

    /// What the only socket waits for.
    pub(crate) fn interest(&mut self) -> (bool, bool) {
        let interests: Vec<Interest> = self.transport.sockets().map(|(_, _, interest)| interest).collect();
        let [Interest { readable, writable, .. }] = interests[..] else { panic!("{interests:?}") };
        (readable, writable)
    }

    /// Sleeps as long as the transport says.
    pub(crate) fn sleep(&mut self) {
        self.now = self.transport.poll_timeout(&self.core).unwrap();
        self.settle();
    }

    /// Sleeps until a socket is wanted again, and hands one over.
    pub(crate) fn next_attempt(&mut self) -> Socket {
        while self.wanted.is_empty() {
            self.sleep();
        }
        self.attach()
    }

    /// Sleeps until a time, waking whenever the transport says so.
    pub(crate) fn sleep_until(&mut self, time: Instant) {
        while self.transport.poll_timeout(&self.core).is_some_and(|at| at <= time) {
            self.sleep();
        }
        self.now = time;
        self.settle();
    }
}
