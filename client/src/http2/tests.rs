//! A connection without a socket or a runtime: bytes in, bytes out, time by hand.

use core::time::Duration;

use etcdium_core::{
    CallOptions, Config, EndpointStatus, ErrorKind, Event, Op, Outcome, Stream, StreamItem, Transmit,
};
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest, PutResponse, SnapshotRequest,
    WatchCreateRequest, WatchRequest,
};
use etcdium_proto::streams::{LeaseKeepAlive, Snapshot, Watch};

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

    /// The frames written since the last look: kind, flags, payload.
    fn frames(&self) -> Vec<(u8, u8, Vec<u8>)> {
        let bytes = self.written();
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let [a, b, c, kind, flags, ..] = *rest {
            let (frame, others) = rest.split_at(9 + u32::from_be_bytes([0, a, b, c]) as usize);
            frames.push((kind, flags, frame[9..].to_vec()));
            rest = others;
        }
        frames
    }

    /// The kinds of the frames written since the last look.
    fn kinds(&self) -> Vec<u8> {
        self.frames().into_iter().map(|(kind, ..)| kind).collect()
    }

    /// The payloads of the DATA frames written since the last look, which are all there are, and whether the last of
    /// them ends the request.
    fn sent(&self) -> (Vec<Vec<u8>>, bool) {
        let frames = self.frames();
        let ended = frames.last().is_some_and(|(_, flags, _)| flags & END_STREAM != 0);
        let data = |(kind, flags, payload): (u8, u8, Vec<u8>)| {
            assert!(kind == DATA && flags & !END_STREAM == 0, "{kind} {flags}");
            payload
        };
        (frames.into_iter().map(data).collect(), ended)
    }

    fn read(&mut self, bytes: &[u8]) {
        self.http2.wire().buffers().room()[..bytes.len()].copy_from_slice(bytes);
        self.http2.received(bytes.len());
        self.run();
    }

    fn run(&mut self) {
        if self.http2.run(self.now) {
            // It left nothing but clearing up.
            assert!(!self.http2.run(self.now));
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.http2.tell(self.now, &mut self.core);
        self.http2.forget_news();
        while let Some(transmit) = self.core.poll_transmit() {
            match transmit {
                Transmit::Open(open) => self.http2.open(open),
                Transmit::Send { call, message } => {
                    if let Some(outbox) = self.http2.outbox(call) {
                        outbox.push(message);
                    }
                }
                Transmit::Finish(call) => {
                    if let Some(outbox) = self.http2.outbox(call) {
                        outbox.finish();
                    }
                }
                Transmit::Reset(call) => self.http2.reset(call),
                _ => {}
            }
        }
    }

    fn put(&mut self) -> Op<PutResponse> {
        let request = PutRequest { key: "k".into(), ..Default::default() };
        let op = self.core.start(self.now, &request, &CallOptions::new());
        self.tell();
        op
    }

    /// A renewal stream whose first message was written.
    fn renew(&mut self) -> Stream<LeaseKeepAlive> {
        let stream = self.core.open(self.now, &renewal(1), &CallOptions::new());
        self.tell();
        self.run();
        let frames = self.frames();
        assert_eq!(
            frames.iter().map(|frame| (frame.0, frame.1 & END_STREAM)).collect::<Vec<_>>(),
            [(1, 0), (0, 0)]
        );
        assert_eq!(frames[1].2, framed(&renewal(1)));
        stream
    }

    fn send(&mut self, stream: &Stream<LeaseKeepAlive>, id: i64) {
        self.core.send(self.now, stream, &renewal(id)).unwrap();
        self.tell();
    }

    /// Lets the server say something on the first stream.
    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.read(&[&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat());
    }

    fn head(&mut self) {
        self.frame(HEADERS, END_HEADERS, &[&[0x88][..], &field("content-type", "application/grpc")].concat());
    }

    fn end(&mut self) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, &field("grpc-status", "0"));
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

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// SETTINGS: a stream may send nothing before the server allows it.
const NO_WINDOW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A field of a header block, literal and not indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

fn renewal(id: i64) -> LeaseKeepAliveRequest {
    LeaseKeepAliveRequest { id }
}

fn renewed(id: i64) -> LeaseKeepAliveResponse {
    LeaseKeepAliveResponse { id, ..Default::default() }
}

#[test]
fn a_request_leaves_as_one_head_and_one_piece_in_one_write() {
    let mut pair = Pair::new();
    let _op = pair.put();
    pair.run();
    assert_eq!(pair.kinds(), [1, 0], "HEADERS, DATA");
}

/// hyper does not wait for flow control to let a request's only message out; then h2 does.
#[test]
fn a_message_waits_for_the_servers_window() {
    let mut pair = Pair::new();
    pair.read(NO_WINDOW);
    pair.written();
    let op = pair.put();
    pair.run();
    assert_eq!(pair.kinds(), [HEADERS]);
    pair.frame(WINDOW_UPDATE, 0, &[0, 0, 0, 3]);
    pair.frame(WINDOW_UPDATE, 0, &[0, 0, 0, 100]);
    let (pieces, ended) = pair.sent();
    let message = framed(&PutRequest { key: "k".into(), ..Default::default() });
    assert_eq!((pieces[0].len(), pieces.concat(), ended), (3, message, true));
    pair.head();
    pair.frame(DATA, 0, &framed(&PutResponse::default()));
    pair.end();
    assert!(matches!(pair.core.take(&op), Some(Ok(_))));
}

#[test]
fn a_request_given_up_is_reset_whatever_its_message_waits_for() {
    let mut pair = Pair::new();
    let op = pair.put();
    pair.core.cancel(pair.now, op.key());
    pair.tell();
    pair.run();
    pair.run();
    assert_eq!(pair.kinds(), [] as [u8; 0], "nobody took it yet");
    pair.read(NO_WINDOW);
    pair.written();
    let op = pair.put();
    pair.run();
    pair.core.cancel(pair.now, op.key());
    pair.tell();
    pair.run();
    assert_eq!(pair.kinds(), [HEADERS, RST_STREAM]);
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

#[test]
fn the_request_of_a_server_stream_ends_with_its_message() {
    let mut pair = Pair::new();
    let stream: Stream<Snapshot> = pair.core.open(pair.now, &SnapshotRequest::default(), &CallOptions::new());
    pair.tell();
    pair.run();
    let frames = pair.frames();
    assert_eq!(
        frames.iter().map(|frame| (frame.0, frame.1 & END_STREAM)).collect::<Vec<_>>(),
        [(1, 0), (0, 1)]
    );
    assert_eq!(pair.core.next(&stream), None);
}

#[test]
fn messages_of_a_stream_leave_one_by_one_and_its_end_with_the_last() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.send(&stream, 2);
    pair.run();
    assert_eq!(pair.sent(), (vec![framed(&renewal(2))], false));
    for id in 3..6 {
        pair.send(&stream, id);
    }
    pair.core.finish(pair.now, stream.key());
    pair.tell();
    pair.run();
    assert_eq!(pair.sent(), ((3..6).map(|id| framed(&renewal(id))).collect(), true));
    // The answers come nevertheless.
    pair.head();
    pair.frame(DATA, 0, &framed(&renewed(1)));
    assert_eq!(pair.core.next(&stream), Some(StreamItem::Message(renewed(1))));
    pair.end();
    assert_eq!(pair.core.next(&stream), Some(StreamItem::End(Ok(()))));
    assert_eq!(pair.kinds(), [] as [u8; 0]);
}

#[test]
fn the_end_may_come_after_the_last_message() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.core.finish(pair.now, stream.key());
    pair.tell();
    pair.run();
    assert_eq!(pair.sent(), (vec![vec![]], true));
}

#[test]
fn the_end_of_a_response_ends_its_request() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.head();
    pair.frame(DATA, 0, &[framed(&renewed(1)), framed(&renewed(2))].concat());
    pair.end();
    for id in 1..3 {
        assert_eq!(pair.core.next(&stream), Some(StreamItem::Message(renewed(id))));
    }
    assert_eq!(pair.core.next(&stream), Some(StreamItem::End(Ok(()))));
    assert_eq!(pair.sent(), (vec![vec![]], true));
    assert_eq!(pair.http2.tasks.iter().filter(|task| task.future.is_some()).count(), 0, "nothing runs on");
}

#[test]
fn a_stream_that_is_given_up_is_reset_however_far_it_is() {
    for headed in [false, true] {
        let mut pair = Pair::new();
        let stream = pair.renew();
        if headed {
            pair.head();
            pair.frame(DATA, 0, &framed(&renewed(1)));
            pair.kinds();
        }
        pair.send(&stream, 2);
        pair.core.cancel_stream(pair.now, stream.key());
        pair.tell();
        pair.run();
        let frames = pair.frames();
        assert_eq!(frames, [(RST_STREAM, 0, vec![0, 0, 0, 8])], "CANCEL, and nothing that waited");
        assert_eq!(
            pair.http2.tasks.iter().filter(|task| task.future.is_some()).count(),
            0,
            "nothing runs on"
        );
        // Late words are passed over, and the connection lives.
        pair.frame(DATA, 0, &framed(&renewed(2)));
        let _op = pair.put();
        pair.run();
        assert!(pair.kinds().ends_with(&[1, 0]) && !pair.http2.is_over());
    }
}

#[test]
fn a_stream_the_server_resets_is_told_so() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.frame(RST_STREAM, 0, &[0, 0, 0, 2]);
    let Some(StreamItem::End(Err(error))) = pair.core.next(&stream) else { panic!("no end") };
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    assert!(error.to_string().contains("HTTP/2 error 2"), "{error}");
    pair.send(&stream, 2);
    pair.run();
    assert_eq!(pair.kinds(), [] as [u8; 0]);
    assert_eq!(pair.http2.tasks.iter().filter(|task| task.future.is_some()).count(), 0, "nothing runs on");
}

#[test]
fn a_lost_connection_ends_its_streams() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.head();
    pair.frame(DATA, 0, &framed(&renewed(1)));
    pair.http2.received(0);
    pair.run();
    assert_eq!(pair.core.next(&stream), Some(StreamItem::Message(renewed(1))));
    let Some(StreamItem::End(Err(error))) = pair.core.next(&stream) else { panic!("no end") };
    assert!(error.to_string().contains("the server closed the connection"), "{error}");
    assert!(pair.http2.is_over());
}

#[test]
fn pings_guard_an_idle_stream() {
    let mut pair = Pair::new();
    let stream = pair.renew();
    pair.head();
    pair.kinds();
    for _ in 0..5 {
        pair.wait(INTERVAL);
        let mut ping = pair.written();
        assert_eq!((ping.len(), ping[3]), (17, PING));
        ping[4] = 1;
        pair.read(&ping);
    }
    assert_eq!(pair.core.next(&stream), None);
    pair.wait(INTERVAL);
    pair.wait(TIMEOUT);
    assert_eq!(pair.down(), Some(CauseKind::PingTimeout));
    assert!(matches!(pair.core.next(&stream), Some(StreamItem::End(Err(_)))));
}

#[test]
fn a_stream_waits_for_room_at_the_server() {
    let mut pair = Pair::new();
    let stream: Stream<Watch> = pair.core.open(pair.now, &watch(60_000), &CallOptions::new());
    pair.tell();
    for _ in 0..3 {
        pair.core.send(pair.now, &stream, &watch(60_000)).unwrap();
    }
    pair.core.finish(pair.now, stream.key());
    pair.tell();
    pair.run();
    let total = 4 * framed(&watch(60_000)).len();
    let (mut sent, mut ended) = (0, false);
    let mut rounds = 0;
    while !ended {
        for (kind, flags, payload) in pair.frames() {
            if kind == DATA {
                sent += payload.len();
                ended = flags & END_STREAM != 0;
            }
        }
        rounds += 1;
        assert!(rounds < 20, "{sent} of {total}");
        assert!(sent <= rounds * 65_535, "{sent} after {rounds} windows");
        // WINDOW_UPDATE of the stream, and of the connection.
        let update = 65_535_u32.to_be_bytes();
        if !ended {
            pair.frame(8, 0, &update);
            pair.read(&[&[0, 0, 4, 8, 0, 0, 0, 0, 0][..], &update].concat());
        }
    }
    assert_eq!(sent, total);
}

fn watch(size: usize) -> WatchRequest {
    let create = WatchCreateRequest { key: vec![7; size].into(), ..Default::default() };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}
