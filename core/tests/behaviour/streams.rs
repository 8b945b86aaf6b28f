//! Streams: what they send and receive, how they end, and what they cost their connection.

use bytes::Bytes;
use etcdium_core::{
    CallInput, CauseKind, Config, EndpointInput, ErrorKind, EtcdError, FrameError, GrpcCode, InvalidHead,
    InvalidRequest, Metadata, Outcome, ProtocolError, ResetCause, Revision, Stream, StreamItem, TimerReason,
};
use etcdium_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, RangeRequest, RangeStreamResponse, SnapshotRequest,
    SnapshotResponse, WatchRequest, WatchResponse,
};
use etcdium_proto::streams::{LeaseKeepAlive, RangeStream, Snapshot, Watch};
use http::{HeaderMap, StatusCode};

use crate::support::*;

fn response(id: i64) -> WatchResponse {
    WatchResponse { header: header(CLUSTER, id), watch_id: id, ..Default::default() }
}

fn request() -> WatchRequest {
    WatchRequest::default()
}

fn renewal(id: i64) -> LeaseKeepAliveRequest {
    LeaseKeepAliveRequest { id }
}

fn watch(world: &mut World) -> Stream<Watch> {
    world.open(&request(), &no_options())
}

fn part(blob: &[u8]) -> SnapshotResponse {
    SnapshotResponse { blob: Bytes::copy_from_slice(blob), ..Default::default() }
}

/// The messages there are now.
fn messages(world: &mut World, stream: &Stream<Watch>) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(item) = world.core.next(stream) {
        let StreamItem::Message(message) = item else { panic!("{item:?}") };
        all.push(message.watch_id);
    }
    all
}

#[test]
fn a_server_stream_sends_one_message_and_gives_many() {
    let mut world = World::connected(1);
    let stream: Stream<Snapshot> = world.open(&SnapshotRequest::default(), &no_options());
    let call = world.call();
    let open = world.opened.last().unwrap();
    assert_eq!((open.method.name(), open.more, open.timeout()), ("Snapshot", false, None));
    assert!(!open.requires_leader());
    assert_eq!(world.core.next(&stream), None);
    world.head(call);
    for n in 0..3 {
        world.data(call, framed(&part(&[n])));
        assert_eq!(world.readable.pop(), Some(stream.key()));
        assert_eq!(world.core.next(&stream), Some(StreamItem::Message(part(&[n]))));
        assert_eq!(world.core.next(&stream), None);
    }
    world.end(call, 0, "");
    assert_eq!(world.readable, [stream.key()]);
    world.end_of(&stream).unwrap();
    world.assert_clean();
}

#[test]
fn both_sides_of_a_bidirectional_stream_talk_until_each_has_finished() {
    let mut world = World::connected(1);
    let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
    let call = world.call();
    let open = world.opened.last().unwrap().clone();
    assert_eq!((&open.message, open.more), (&framed(&renewal(1)), true));
    world.send(&stream, &renewal(2)).unwrap();
    world.head(call);
    world.data(call, framed(&LeaseKeepAliveResponse { id: 1, ..Default::default() }));
    world.send(&stream, &renewal(3)).unwrap();
    assert_eq!(world.sent[&call], [framed(&renewal(2)), framed(&renewal(3))]);
    world.finish(&stream);
    world.finish(&stream);
    assert!(world.finished.contains(&call));
    let error = world.send(&stream, &renewal(4)).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InvalidRequest(InvalidRequest::Finished));
    // The server's side goes on.
    for id in 2..4 {
        world.data(call, framed(&LeaseKeepAliveResponse { id, ..Default::default() }));
    }
    world.end(call, 0, "");
    for id in 1..4 {
        let Some(StreamItem::Message(answer)) = world.core.next(&stream) else { panic!("{id}") };
        assert_eq!(answer.id, id);
    }
    world.end_of(&stream).unwrap();
    world.assert_clean();
}

#[test]
fn the_server_may_end_a_request_that_was_not_finished() {
    let mut world = World::connected(1);
    let stream = watch(&mut world);
    world.answer(world.call(), &response(1));
    assert!(world.reset.is_empty(), "the end of the response ends the call");
    // Late words go nowhere, and harm nothing.
    world.send(&stream, &request()).unwrap();
    world.finish(&stream);
    assert!(world.sent.is_empty() && world.finished.is_empty());
    assert!(matches!(world.core.next(&stream), Some(StreamItem::Message(_))));
    world.end_of(&stream).unwrap();
    world.assert_clean();
}

#[test]
fn messages_are_found_however_the_chunks_are_cut() {
    let all: Vec<u8> = (0..20).flat_map(|id| framed(&response(id)).to_vec()).collect();
    for size in [1, 2, 5, 7, 50, all.len()] {
        let mut world = World::connected(1);
        let stream = watch(&mut world);
        let call = world.call();
        world.head(call);
        for chunk in all.chunks(size) {
            world.data(call, chunk.to_vec());
        }
        assert_eq!(world.readable, [stream.key()], "one hint until all is taken");
        assert_eq!(messages(&mut world, &stream), (0..20).collect::<Vec<_>>());
        world.data(call, framed(&response(20)));
        assert_eq!(world.readable.len(), 2);
    }
}

#[test]
fn the_end_comes_after_every_message_whatever_it_is() {
    type End = fn(&mut World, etcdium_core::CallKey);
    let ends: [(End, ErrorKind); 7] = [
        (|w, call| w.end(call, 14, EtcdError::NoLeader.text()), ErrorKind::Etcd(EtcdError::NoLeader)),
        (|w, call| w.end(call, 14, "gone"), ErrorKind::Status(GrpcCode::Unavailable)),
        (|w, call| w.reset(call, ResetCause::Stream(8)), ErrorKind::Unavailable),
        (|w, _| w.cut("a"), ErrorKind::Unavailable),
        (
            |w, call| w.input(call, CallInput::End(None)),
            ErrorKind::Protocol(ProtocolError::Head(InvalidHead::MissingStatus)),
        ),
        (
            |w, call| w.data(call, vec![1, 0, 0, 0, 0]),
            ErrorKind::Protocol(ProtocolError::Frame(FrameError::Compressed)),
        ),
        (
            |w, _| {
                w.core.close(w.now);
                w.drain();
            },
            ErrorKind::Closed,
        ),
    ];
    for (end, kind) in ends {
        let mut world = World::connected(1);
        let stream = watch(&mut world);
        let call = world.call();
        world.head(call);
        world.data(call, [framed(&response(1)), framed(&response(2))].concat());
        end(&mut world, call);
        assert_eq!(world.core.buffered_bytes(stream.key()), 2 * (framed(&response(1)).len() - 5));
        for id in 1..3 {
            assert_eq!(world.core.next(&stream), Some(StreamItem::Message(response(id))), "{kind:?}");
        }
        let error = world.end_of(&stream).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&kind, Outcome::NotApplied), "{error}");
        assert_eq!(error.endpoint(), Some("a:1"), "{error}");
        assert!(error.to_string().contains("Watch"), "{error}");
        world.assert_clean();
    }
}

#[test]
fn errors_that_end_a_call_early_reset_it() {
    type Bad = fn(&mut World, etcdium_core::CallKey);
    let bad: [Bad; 4] = [
        |w, call| w.data(call, vec![0; 5]),
        |w, call| {
            w.head(call);
            w.data(call, vec![7; 5]);
        },
        |w, call| {
            let headers = HeaderMap::new();
            let status = StatusCode::BAD_GATEWAY;
            w.input(call, CallInput::Head { status, headers: &headers, end: false });
        },
        |w, call| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", http::HeaderValue::from_static("text/html"));
            w.input(call, CallInput::Head { status: StatusCode::OK, headers: &headers, end: false });
        },
    ];
    for bad in bad {
        let mut world = World::connected(1);
        let stream = watch(&mut world);
        let call = world.call();
        bad(&mut world, call);
        assert!(world.reset.contains(&call));
        world.end_of(&stream).unwrap_err();
        world.assert_clean();
    }
}

#[test]
fn a_status_without_a_message_ends_a_stream_well_or_badly() {
    let mut world = World::connected(1);
    let stream = watch(&mut world);
    world.status(world.call(), 0, "");
    world.end_of(&stream).unwrap();
    let stream = watch(&mut world);
    world.status(world.call(), 16, EtcdError::InvalidAuthToken.text());
    assert_eq!(world.end_of(&stream).unwrap_err().etcd(), Some(EtcdError::InvalidAuthToken));
    let stream = watch(&mut world);
    let call = world.call();
    world.head(call);
    world.data(call, framed(&response(1)).slice(..7));
    world.end(call, 0, "");
    let kind = ErrorKind::Protocol(ProtocolError::Truncated);
    assert_eq!(world.end_of(&stream).unwrap_err().kind(), &kind);
    world.assert_clean();
}

#[test]
fn the_size_limit_holds_for_each_message() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_response_size(100));
    let stream: Stream<Snapshot> = world.open(&SnapshotRequest::default(), &no_options());
    let call = world.call();
    world.head(call);
    for _ in 0..10 {
        world.data(call, framed(&part(&[7; 90])));
    }
    world.data(call, framed(&part(&[7; 101])));
    assert!(world.reset.contains(&call));
    for _ in 0..10 {
        assert!(matches!(world.core.next(&stream), Some(StreamItem::Message(_))));
    }
    let error = world.end_of(&stream).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ResponseTooLarge { size: 103, limit: 100 });
    world.assert_clean();
}

#[test]
fn a_message_too_large_to_send_is_refused_and_the_stream_goes_on() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_request_size(4));
    let large = renewal(i64::MAX);
    let stream: Stream<LeaseKeepAlive> = world.open(&large, &no_options());
    let kind = ErrorKind::RequestTooLarge { size: 10, limit: 4 };
    assert_eq!(world.end_of(&stream).unwrap_err().kind(), &kind);
    let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
    assert_eq!(world.send(&stream, &large).unwrap_err().kind(), &kind);
    world.send(&stream, &renewal(2)).unwrap();
    assert_eq!(world.sent[&world.call()], [framed(&renewal(2))]);
}

#[test]
fn a_server_streams_request_takes_no_more() {
    let mut world = World::connected(1);
    let stream: Stream<Snapshot> = world.open(&SnapshotRequest::default(), &no_options());
    let error = world.send(&stream, &SnapshotRequest::default()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InvalidRequest(InvalidRequest::Finished));
    world.finish(&stream);
    assert!(world.finished.is_empty());
}

#[test]
fn a_message_that_cannot_be_read_ends_the_stream() {
    let mut world = World::connected(1);
    let stream = watch(&mut world);
    let call = world.call();
    world.head(call);
    world.data(call, vec![0, 0, 0, 0, 2, 0x0a, 0xff]);
    let item = world.core.next(&stream);
    let Some(StreamItem::End(Err(error))) = &item else { panic!("{item:?}") };
    assert!(matches!(error.kind(), ErrorKind::Protocol(ProtocolError::Message(_))), "{error}");
    world.drain();
    assert!(world.reset.contains(&call));
    assert_eq!(world.core.next(&stream), None);
    world.assert_clean();
}

#[test]
fn a_stream_waits_for_a_connection_with_all_it_has_to_send() {
    let mut world = World::new(Config::new(addresses(1)));
    let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
    world.send(&stream, &renewal(2)).unwrap();
    world.finish(&stream);
    assert_eq!((world.core.stats().streams, world.core.stats().waiting), (1, 1));
    world.refuse("a");
    world.await_dial("a");
    world.accept("a");
    let call = world.call();
    assert!(world.opened[0].more && world.finished.contains(&call));
    assert_eq!(world.sent[&call], [framed(&renewal(2))]);
    // One that has nothing more to send says so at once.
    world.cut("a");
    assert_eq!(world.end_of(&stream).unwrap_err().outcome(), Outcome::Unknown);
    let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
    world.finish(&stream);
    world.await_dial("a");
    world.accept("a");
    assert!(!world.opened[1].more && world.finished.len() == 1);
    world.status(world.call(), 0, "");
    world.end_of(&stream).unwrap();
    world.assert_clean();
}

#[test]
fn waiting_has_no_limit_unless_one_is_set() {
    let mut world = World::new(Config::new(addresses(1)));
    let patient = watch(&mut world);
    let stream: Stream<Watch> = world.open(&request(), &within(s(2)));
    world.refuse("a");
    world.advance_until(|world| !world.readable.is_empty());
    assert_eq!(world.now, epoch() + s(2));
    let error = world.end_of(&stream).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Timeout { after: s(2) }, Outcome::NotApplied));
    assert_eq!(error.causes().len(), 1, "{error}");
    world.advance(s(100));
    world.accept_all();
    world.await_call();
    assert_eq!(world.core.next(&patient), None);
    // Once open, no limit holds.
    let stream: Stream<Watch> = world.open(&request(), &within(s(2)));
    world.op_calls().into_iter().for_each(|call| world.head(call));
    world.advance(s(1_000));
    assert_eq!(world.core.next(&stream), None);
    let none: Stream<Watch> = world.open(&request(), &within(s(0)));
    assert_eq!(world.end_of(&none).unwrap_err().kind(), &ErrorKind::Timeout { after: s(0) });
}

#[test]
fn a_pinned_stream_goes_to_its_endpoint_or_nowhere() {
    let mut world = World::connected(2);
    let only_b = no_options().endpoint(world.key_of("b"));
    for _ in 0..3 {
        let stream: Stream<Watch> = world.open(&request(), &only_b);
        assert_eq!(world.place(*world.op_calls().last().unwrap()), "b");
        world.cancel_stream(&stream);
    }
    world.cut("b");
    let stream: Stream<Watch> = world.open(&request(), &only_b);
    assert!(world.op_calls().is_empty());
    world.core.set_endpoints(world.now, addresses(1));
    world.drain();
    let kind = ErrorKind::InvalidRequest(InvalidRequest::UnknownEndpoint);
    assert_eq!(world.end_of(&stream).unwrap_err().kind(), &kind);
    let stream: Stream<Watch> = world.open(&request(), &only_b);
    assert_eq!(world.end_of(&stream).unwrap_err().kind(), &kind);
    world.core.set_endpoints(world.now, []);
    world.drain();
    let stream = watch(&mut world);
    let kind = ErrorKind::InvalidRequest(InvalidRequest::NoEndpoints);
    assert_eq!(world.end_of(&stream).unwrap_err().kind(), &kind);
    world.assert_clean();
}

#[test]
fn header_fields_are_those_of_any_call_but_the_time_out() {
    let metadata = Metadata::new().with("x-tenant", "blue").unwrap();
    let mut world = World::connected(1);
    let _watch: Stream<Watch> = world.open(&request(), &no_options().metadata(metadata));
    let headers = world.opened[0].headers();
    assert_eq!(headers["hasleader"], "true");
    assert_eq!(headers["x-tenant"], "blue");
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(!headers.contains_key("grpc-timeout"));
    let _local: Stream<Watch> = world.open(&request(), &no_options().require_leader(false));
    assert!(!world.opened[1].requires_leader());
    let serializable = RangeRequest { serializable: true, ..Default::default() };
    let _range: Stream<RangeStream> = world.open(&serializable, &no_options());
    assert!(!world.opened[2].requires_leader());
}

#[test]
fn cancelling_leaves_nothing() {
    for stage in Stage::ALL {
        let mut world = World::connected(1);
        let stream = watch(&mut world);
        let call = world.call();
        world.bring_to(call, stage);
        world.cancel_stream(&stream);
        assert!(world.reset.contains(&call));
        world.cancel_stream(&stream);
        world.send(&stream, &request()).unwrap();
        world.finish(&stream);
        // What was on its way.
        world.head(call);
        world.data(call, framed(&response(1)));
        assert_eq!((world.core.next(&stream), world.core.buffered_bytes(stream.key())), (None, 0));
        world.assert_clean();
    }
    let mut world = World::new(Config::new(addresses(1)));
    let stream: Stream<Watch> = world.open(&request(), &within(s(1)));
    world.cancel_stream(&stream);
    world.assert_clean();
    world.accept("a");
    assert!(world.opened.is_empty());
    world.advance(s(2));
    assert_eq!((&world.readable[..], world.core.poll_timeout()), (&[][..], None));
}

#[test]
fn what_is_not_taken_is_counted() {
    let mut world = World::connected(1);
    let stream: Stream<Snapshot> = world.open(&SnapshotRequest::default(), &no_options());
    let call = world.call();
    world.head(call);
    let message = framed(&part(&[1; 1000]));
    let size = message.len() - 5;
    for n in 1..=100 {
        world.data(call, message.clone());
        assert_eq!(world.core.buffered_bytes(stream.key()), n * size);
    }
    world.data(call, message.slice(..505));
    assert_eq!(world.core.buffered_bytes(stream.key()), 100 * size + 500);
    for n in (0..100).rev() {
        assert!(matches!(world.core.next(&stream), Some(StreamItem::Message(_))));
        assert_eq!(world.core.buffered_bytes(stream.key()), n * size + 500);
    }
    world.data(call, message.slice(505..));
    assert_eq!(world.core.buffered_bytes(stream.key()), size);
}

#[test]
fn streams_take_no_room_from_calls_and_wait_for_none() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_in_flight(1));
    let _streams: Vec<_> = (0..5).map(|_| watch(&mut world)).collect();
    let put = world.start(&put("k"), &no_options());
    let _late = watch(&mut world);
    assert_eq!(world.op_calls().len(), 7);
    let call = world.calls.iter().find(|(_, open)| open.method.name() == "Put").map(|(key, _)| *key);
    world.answer(call.unwrap(), &put_response(1));
    world.take(&put).unwrap();
}

#[test]
fn an_idle_stream_is_never_probed() {
    let mut world = World::connected(1);
    let stream = watch(&mut world);
    let call = world.call();
    assert_eq!(world.core.timeout_reason(), Some(TimerReason::Silence));
    world.advance(ms(900));
    world.head(call);
    world.data(call, framed(&response(0)));
    world.advance(s(2));
    assert_eq!(world.core.poll_timeout(), None, "nothing wakes the core for it");
    world.advance(s(1_000));
    // Calls come and go beside it.
    let op = world.start(&put("k"), &no_options());
    world.answer(*world.op_calls().last().unwrap(), &put_response(1));
    world.take(&op).unwrap();
    world.advance(s(1_000));
    world.data(call, framed(&response(1)));
    world.advance(s(1_000));
    // etcd goes on with a watch whose request has ended.
    world.finish(&stream);
    world.advance(s(1_000));
    assert_eq!((world.core.stats().probes, world.core.stats().connects), (0, 1));
    assert_eq!(messages(&mut world, &stream), [0, 1]);
}

#[test]
fn a_stream_that_waits_for_an_answer_finds_a_dead_server() {
    type Ask = fn(&mut World, &Stream<Watch>);
    let asks: [Option<Ask>; 2] = [None, Some(|w, stream| w.send(stream, &request()).unwrap())];
    for ask in asks {
        let mut world = World::connected(1);
        let stream = watch(&mut world);
        if let Some(ask) = ask {
            let call = world.call();
            world.head(call);
            world.advance(s(60));
            ask(&mut world, &stream);
        }
        world.advance(s(1));
        assert_eq!(world.probes().len(), 1);
        // The probe's answer says that the server lives; the stream is owed one still.
        world.status(world.probes()[0], 12, "unknown service");
        world.advance(s(1));
        assert_eq!(world.probes().len(), 1);
        world.advance(s(2));
        assert_eq!(world.dropped.len(), 1);
        let error = world.end_of(&stream).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unavailable);
        assert!(error.to_string().contains("the server fell silent"), "{error}");
        world.assert_clean();
    }
}

#[test]
fn a_lost_stream_is_not_opened_again() {
    for cause in [ResetCause::NotSent, ResetCause::Refused, ResetCause::GoAway] {
        let mut world = World::connected(2);
        let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
        world.reset(world.call(), cause);
        let error = world.end_of(&stream).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Unavailable, Outcome::NotApplied));
        assert!(world.op_calls().is_empty() && error.is_retryable());
        world.assert_clean();
    }
}

#[test]
fn what_the_driver_was_not_told_of_goes_with_its_connection() {
    let mut world = World::connected(1);
    let connection = world.connection_to("a");
    let stream: Stream<LeaseKeepAlive> = world.core.open(world.now, &renewal(1), &no_options());
    world.core.send(world.now, &stream, &renewal(2)).unwrap();
    world.core.finish(world.now, stream.key());
    world.endpoint(connection, EndpointInput::Closed(CauseKind::ClosedByServer.into()));
    assert!(world.opened.is_empty() && world.sent.is_empty());
    assert_eq!(world.end_of(&stream).unwrap_err().outcome(), Outcome::NotApplied);
    world.assert_clean();
}

#[test]
fn a_server_that_goes_away_keeps_its_streams() {
    let mut world = World::connected(2);
    let stream = watch(&mut world);
    let call = world.call();
    let place = world.place(call);
    let connection = world.connection_to(&place);
    world.head(call);
    world.endpoint(connection, EndpointInput::GoingAway);
    world.advance(s(100));
    world.data(call, framed(&response(1)));
    world.send(&stream, &request()).unwrap();
    world.advance(s(100));
    assert!(!world.dropped.contains(&connection) && world.sent[&call].len() == 1);
    let next = watch(&mut world);
    assert_ne!(world.calls[world.op_calls().last().unwrap()].connection, connection);
    assert_eq!(messages(&mut world, &stream), [1]);
    world.end(call, 0, "");
    world.end_of(&stream).unwrap();
    assert!(world.dropped.contains(&connection), "it is dropped with its last stream");
    world.cancel_stream(&next);
    world.assert_clean();
}

#[test]
fn a_removed_endpoint_keeps_its_streams() {
    let mut world = World::connected(1);
    let stream = watch(&mut world);
    let (call, connection) = (world.call(), world.connection_to("a"));
    world.head(call);
    world.core.set_endpoints(world.now, [address("z:1")]);
    world.drain();
    world.data(call, framed(&response(1)));
    assert!(world.dropped.is_empty());
    world.cancel_stream(&stream);
    assert!(world.dropped.contains(&connection));
    world.assert_clean();
}

#[test]
fn revisions_are_read_from_headers_where_they_are() {
    let mut world = World::connected(1);
    let _watch = watch(&mut world);
    let call = world.call();
    world.head(call);
    world.data(call, framed(&response(7)));
    assert_eq!(world.core.revision(), Revision::new(7));
    // A part of a range has its header one level below; what lies where a header would have it is something else.
    let _range: Stream<RangeStream> = world.open(&RangeRequest::default(), &no_options());
    let call = *world.op_calls().last().unwrap();
    world.head(call);
    let range = etcdium_proto::etcdserverpb::RangeResponse { more: true, ..range_response(9) };
    world.data(call, framed(&RangeStreamResponse { range_response: Some(range) }));
    assert_eq!(world.core.revision(), Revision::new(7));
}

#[test]
fn after_close_nothing_opens() {
    let mut world = World::connected(1);
    world.core.close(world.now);
    world.drain();
    let stream: Stream<LeaseKeepAlive> = world.open(&renewal(1), &no_options());
    let error = world.end_of(&stream).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::NotApplied));
    world.assert_clean();
}
