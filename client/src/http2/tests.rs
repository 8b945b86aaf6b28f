//! A connection without a socket or a runtime: bytes in, bytes out, time by hand.

use core::time::Duration;

use etcdium_core::{CallOptions, Config, EndpointStatus, ErrorKind, Event, Op, Outcome, Transmit};
use etcdium_proto::etcdserverpb::{PutRequest, PutResponse};

use super::*;

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A core and its one connection.
struct Pair {
    core: Core,
    http2: Http2,
    now: Instant,
}

impl Pair {
    /// Connected, with the client's preface and SETTINGS written.
    fn new() -> Self {
        let now = Instant::now();
        let never = Duration::from_secs(3600);
        let config = Config::new(["127.0.0.1:1".parse().unwrap()])
            .ping(INTERVAL, TIMEOUT)
            .silence(never, never)
            .timeout(None);
        let mut core = Core::new(config, now, 1);
        let op = core.connect(now, &CallOptions::new());
        let Some(Transmit::Connect(connect)) = core.poll_transmit() else { panic!("no connect") };
        let http2 = Http2::new(&connect, core.max_in_flight(), now).unwrap();
        let mut pair = Self { core, http2, now };
        assert!(pair.written().starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        pair.read(SETTINGS);
        assert!(matches!(pair.core.take(&op), Some(Ok(()))));
        pair.written();
        pair
    }

    /// What was written since the last look.
    fn written(&self) -> Vec<u8> {
        let bytes = self.http2.wire().buffers().unwritten().to_vec();
        self.http2.wrote(bytes.len());
        bytes
    }

    /// The kinds of the frames written since the last look.
    fn kinds(&self) -> Vec<u8> {
        let bytes = self.written();
        let mut rest = &bytes[..];
        let mut kinds = Vec::new();
        while let [a, b, c, kind, ..] = *rest {
            kinds.push(kind);
            rest = &rest[9 + u32::from_be_bytes([0, a, b, c]) as usize..];
        }
        kinds
    }

    fn read(&mut self, bytes: &[u8]) {
        self.http2.wire().buffers().room()[..bytes.len()].copy_from_slice(bytes);
        self.http2.received(bytes.len());
        self.run();
    }

    fn run(&mut self) {
        assert!(!self.http2.run(self.now));
        self.tell();
    }

    fn tell(&mut self) {
        self.http2.tell(self.now, &mut self.core);
        self.http2.forget_news();
        while let Some(transmit) = self.core.poll_transmit() {
            if let Transmit::Open(open) = transmit {
                self.http2.open(open);
            }
        }
    }

    fn put(&mut self) -> Op<PutResponse> {
        let request = PutRequest { key: "k".into(), ..Default::default() };
        let op = self.core.start(self.now, &request, &CallOptions::new());
        self.tell();
        op
    }

    /// Lets time pass, and comes whenever it is asked to.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.http2.poll_timeout().filter(|at| *at < end) {
            self.now = at;
            self.run();
        }
        self.now = end;
        self.run();
    }

    /// Why the endpoint is down.
    fn down(&mut self) -> Option<CauseKind> {
        let mut down = None;
        while let Some(event) = self.core.poll_event() {
            if let Event::Endpoint { status: EndpointStatus::Down(cause), .. } = event {
                down = Some(cause.kind().clone());
            }
        }
        down
    }
}

const PING: u8 = 6;

#[test]
fn a_request_leaves_as_one_head_and_one_piece_in_one_write() {
    let mut pair = Pair::new();
    let _op = pair.put();
    pair.run();
    assert_eq!(pair.kinds(), [1, 0], "HEADERS, DATA");
}

#[test]
fn pings_go_out_while_a_call_is_open_and_not_before() {
    let mut idle = Pair::new();
    for _ in 0..5 {
        idle.wait(INTERVAL);
    }
    assert_eq!(idle.kinds(), [] as [u8; 0]);
    let mut pair = Pair::new();
    let _op = pair.put();
    pair.run();
    pair.kinds();
    for _ in 0..2 {
        assert!(pair.http2.poll_timeout().is_some_and(|at| at <= pair.now + INTERVAL));
        pair.wait(INTERVAL);
        let mut ping = pair.written();
        assert_eq!((ping.len(), ping[3]), (17, PING));
        // The answer is the same with the flag ACK.
        ping[4] = 1;
        pair.read(&ping);
        assert!(!pair.http2.is_over());
    }
}

/// It reads the answer first, which came meanwhile.
#[test]
fn a_client_that_stood_still_does_not_miss_the_answer_to_a_ping() {
    let mut pair = Pair::new();
    let _op = pair.put();
    pair.run();
    pair.kinds();
    pair.wait(INTERVAL);
    let mut ping = pair.written();
    ping[4] = 1;
    // Even if a timer comes before the socket.
    pair.now += 3 * TIMEOUT;
    pair.run();
    pair.now += Duration::from_millis(20);
    pair.read(&ping);
    pair.wait(TIMEOUT);
    assert!(!pair.http2.is_over());
}

#[test]
fn an_unanswered_ping_ends_the_connection_and_is_named() {
    let mut pair = Pair::new();
    let op = pair.put();
    pair.run();
    pair.wait(INTERVAL);
    assert_eq!(pair.http2.poll_timeout(), Some(pair.now + TIMEOUT));
    pair.wait(TIMEOUT - Duration::from_millis(1));
    assert!(!pair.http2.is_over());
    pair.wait(Duration::from_millis(1));
    assert!(pair.http2.is_over());
    assert_eq!(pair.down(), Some(CauseKind::PingTimeout));
    let error = pair.core.take(&op).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
}

#[test]
fn what_http2_never_took_was_not_sent() {
    let mut pair = Pair::new();
    let request = PutRequest { key: "k".into(), ..Default::default() };
    let op = pair.core.start(pair.now, &request, &CallOptions::new());
    // The server leaves before the core hears of it.
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    pair.http2.wire().buffers().room()[..goaway.len()].copy_from_slice(&goaway);
    pair.http2.received(goaway.len());
    pair.http2.run(pair.now);
    let Some(Transmit::Open(open)) = pair.core.poll_transmit() else { panic!("no call") };
    pair.http2.open(open);
    pair.run();
    assert!(!pair.kinds().contains(&1), "no HEADERS");
    assert_eq!(pair.down(), Some(CauseKind::GoAway(0)));
    let result = pair.core.take(&op);
    assert!(result.is_none(), "it waits for the next connection: {result:?}");
}

#[test]
fn what_it_took_may_have_been_sent() {
    let mut pair = Pair::new();
    let op = pair.put();
    pair.run();
    let error = io::ErrorKind::BrokenPipe.into();
    pair.http2.failed(Cause::io(&error), &error);
    pair.run();
    let error = pair.core.take(&op).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
}

#[test]
fn nothing_is_left_of_a_closed_connection() {
    let mut pair = Pair::new();
    let _op = pair.put();
    pair.run();
    pair.kinds();
    let weak = [pair.http2.ready_tasks.watch(), pair.http2.ready_exchanges.watch()];
    let Pair { http2, .. } = pair;
    let wire = http2.close();
    let kinds: Vec<u8> = wire.buffers().unwritten().iter().skip(3).step_by(13).copied().collect();
    // RST_STREAM has 13 bytes, and GOAWAY follows.
    assert_eq!(kinds.first(), Some(&3));
    assert!(wire.buffers().unwritten().len() > 13);
    assert_eq!(weak.map(|weak| weak.strong_count()), [0, 0], "a future keeps itself alive");
}
