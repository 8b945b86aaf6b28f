//! Streams on the network: messages on their way to the servers and back, one by one.

use bytes::{Bytes, BytesMut};
use etcdium_core::ResetCause;
use etcdium_proto::StreamMethod;
use etcdium_proto::streams::LeaseKeepAlive;

use super::World;
use super::answers::{Piece, Veil, judge};
use super::network::Happening;
use super::records::{Passage, Said};
use crate::framing::{framed, unframe};
use crate::model::{CallId, Status};

impl World {
    pub(crate) fn is_stream(&self, call: CallId) -> bool {
        self.streams.get(call.0 as usize).is_some_and(|stream| stream.streaming)
    }

    /// Whether leases are renewed on a call.
    pub(crate) fn is_renewing(&self, call: usize) -> bool {
        self.streams.get(call).is_some_and(|stream| stream.path.ends_with(LeaseKeepAlive::METHOD.name()))
    }

    /// The client sends further messages.
    pub(crate) fn send(&mut self, call: usize, messages: &Bytes) {
        let renews = self.is_renewing(call);
        let mut rest = BytesMut::from(&messages[..]);
        while let Ok(Some(message)) = unframe(&mut rest, messages.len()) {
            if renews {
                self.renewal_asked(&message);
            }
            self.follow(call, Happening::Message(call, message));
        }
        if !rest.is_empty() {
            self.violate("whole messages are sent", format!("{} bytes more", rest.len()));
        }
    }

    /// The client ends its request.
    pub(crate) fn finish(&mut self, call: usize) {
        self.follow(call, Happening::Finish(call));
    }

    /// Something follows what was sent on a call before.
    fn follow(&mut self, call: usize, what: Happening) {
        if self.calls.get(call).is_none_or(|record| record.over) {
            return;
        }
        let mut rng = self.streams[call].rng.clone();
        let at = (self.now + self.latency(&mut rng)).max(self.streams[call].there_at);
        self.streams[call].rng = rng;
        self.streams[call].there_at = at;
        self.queue.push(at, what);
    }

    /// Whether the member takes what comes on a call: its end may be on the way back already.
    fn is_taken(&self, call: usize) -> bool {
        let record = &self.calls[call];
        record.passage == Passage::Arrived
            && record.answered.is_none()
            && self.lines[record.connection].served
    }

    pub(crate) fn message_arrives(&mut self, call: usize, message: Bytes) {
        if self.is_taken(call) {
            self.cluster.message(self.now, CallId(call as u64), message);
            self.collect();
        }
    }

    pub(crate) fn finish_arrives(&mut self, call: usize) {
        if self.is_taken(call) {
            self.cluster.finish(self.now, CallId(call as u64));
            self.collect();
        }
    }

    /// The member says something on a stream.
    pub(crate) fn stream_said(&mut self, call: usize, message: &[u8]) {
        let record = &self.calls[call];
        if record.over || record.answered.is_some() || !self.lines[record.connection].served {
            return;
        }
        match self.streams[call].veil {
            Veil::None => {
                self.stream_head(call);
                let rng = &mut self.streams[call].rng;
                let mut rest = framed(0, message);
                let pieces = rng.chance(self.script.setup.pieces);
                while pieces && rest.len() > 1 {
                    let rng = &mut self.streams[call].rng;
                    let cut = 1 + rng.index(rest.len() - 1);
                    self.send_back(call, Piece::Data(rest.split_to(cut)));
                }
                self.send_back(call, Piece::Data(rest));
            }
            veil => self.stream_veiled(call, veil, message),
        }
    }

    /// The member ends a stream.
    pub(crate) fn stream_ended(&mut self, call: usize, status: &Status) {
        let Some(record) = self.calls.get_mut(call) else { return };
        let known = record.answered.replace(judge(status)).is_some();
        if known || record.over || !self.lines[record.connection].served {
            return;
        }
        let (code, text) = (status.code, status.message.clone());
        match self.streams[call].veil {
            Veil::None if self.streams[call].headed => self.send_back(call, Piece::End(code, text)),
            Veil::None => self.send_back(call, Piece::Only(code, text)),
            veil => self.stream_veiled(call, veil, &[]),
        }
    }

    fn stream_head(&mut self, call: usize) {
        if !std::mem::replace(&mut self.streams[call].headed, true) {
            self.send_back(call, Piece::Head);
        }
    }

    /// What is between the client and the member ends a stream in its own way.
    fn stream_veiled(&mut self, call: usize, veil: Veil, message: &[u8]) {
        match veil {
            Veil::Http(code) => self.send_back(call, Piece::Http(code)),
            Veil::Garbage => self.send_garbage(call, message),
            Veil::Reset | Veil::None => {
                self.stream_head(call);
                let code = *self.streams[call].rng.pick(&[2, 8, 11]);
                self.send_back(call, Piece::Reset(ResetCause::Stream(code)));
            }
        }
        self.abort(call);
        // Whatever the member says on it from now on is lost.
        self.calls[call].answered.get_or_insert(Said::Doubt);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use etcdium_core::{CallOptions, Error, Stream, StreamItem};
    use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
    use etcdium_proto::etcdserverpb::{
        LeaseGrantRequest, LeaseKeepAliveRequest, WatchCreateRequest, WatchRequest, WatchResponse,
    };
    use etcdium_proto::streams::Watch;

    use super::*;
    use crate::world::RunOptions;
    use crate::world::records::Asked;
    use crate::world::script::{Fault, Options, Request, Script, Setup};

    fn world(seed: u64, pieces: u64) -> World {
        let setup = Setup {
            members: 1,
            learners: 0,
            minor: 7,
            commit_latency: Duration::from_millis(2),
            decoys: Vec::new(),
            max_in_flight: 4,
            timeout: None,
            latency: (Duration::from_millis(1), Duration::from_millis(5)),
            turn: Duration::from_millis(1),
            pieces,
            tells_received: true,
            news_first: true,
            abrupt_close: false,
            limits: crate::world::Limits::default(),
            proxied: false,
            streams: None,
        };
        let script = Script { seed, setup, steps: Vec::new() };
        World::new(&script, &RunOptions::new(Instant::now()))
    }

    fn pass(world: &mut World, millis: u64) {
        world.advance(world.now + Duration::from_millis(millis), |_| true);
        assert!(world.violation.is_none(), "{:?}", world.violation);
    }

    fn create(key: &'static str) -> WatchRequest {
        let create = WatchCreateRequest { key: key.into(), ..Default::default() };
        WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
    }

    fn messages(
        world: &mut World,
        stream: &Stream<Watch>,
    ) -> (Vec<WatchResponse>, Option<Result<(), Error>>) {
        let mut messages = Vec::new();
        loop {
            match world.core.next(stream) {
                None => return (messages, None),
                Some(StreamItem::Message(message)) => messages.push(message),
                Some(StreamItem::End(end)) => return (messages, Some(end)),
            }
        }
    }

    #[test]
    fn a_watch_is_created_twice_told_of_a_put_and_cancelled() {
        for seed in 0..50 {
            let mut world = world(seed, if seed % 2 == 0 { 1000 } else { 0 });
            let watch: Stream<Watch> = world.core.open(world.now, &create("k0"), &CallOptions::new());
            world.core.send(world.now, &watch, &create("k0")).unwrap();
            world.touched();
            pass(&mut world, 1000);
            let (created, end) = messages(&mut world, &watch);
            assert_eq!((created.len(), end), (2, None), "seed {seed}: {created:?}");
            assert!(created.iter().all(|message| message.created));
            world.start(0, Request::Put(0, None), &Options::default());
            pass(&mut world, 1000);
            let (told, end) = messages(&mut world, &watch);
            assert_eq!((told.iter().map(|message| message.events.len()).sum::<usize>(), end), (2, None));
            // etcd goes on with a watch whose request has ended.
            world.core.finish(world.now, watch.key());
            world.touched();
            pass(&mut world, 5000);
            assert_eq!(messages(&mut world, &watch), (vec![], None));
            world.core.cancel_stream(world.now, watch.key());
            world.touched();
            pass(&mut world, 1000);
            assert_eq!((world.counts.streams, world.core.stats().probes), (0, 0));
        }
    }

    #[test]
    fn a_lease_is_renewed_until_its_stream_is_finished() {
        let mut world = world(7, 0);
        let grant = LeaseGrantRequest { id: 5, ttl: 60 };
        world.start_asked(0, None, Asked::Grant(grant), &Options::default());
        pass(&mut world, 1000);
        let request = LeaseKeepAliveRequest { id: 5 };
        let renewals: Stream<LeaseKeepAlive> = world.core.open(world.now, &request, &CallOptions::new());
        world.touched();
        for _ in 0..3 {
            pass(&mut world, 1000);
            let item = world.core.next(&renewals);
            let Some(StreamItem::Message(answer)) = item else { panic!("{item:?}") };
            assert_eq!((answer.id, answer.ttl), (5, 60));
            world.core.send(world.now, &renewals, &request).unwrap();
            world.touched();
        }
        world.core.finish(world.now, renewals.key());
        world.touched();
        pass(&mut world, 1000);
        assert!(matches!(world.core.next(&renewals), Some(StreamItem::Message(_))));
        assert_eq!(world.core.next(&renewals), Some(StreamItem::End(Ok(()))));
        assert_eq!(world.counts.streams, 0);
    }

    #[test]
    fn a_garbled_stream_answers_no_renewal_twice() {
        for seed in 0..50 {
            let mut world = world(seed, 0);
            world.faults.push((Fault::Garbage, 0, world.now + Duration::from_secs(9)));
            let request = LeaseKeepAliveRequest { id: 5 };
            let renewals: Stream<LeaseKeepAlive> = world.core.open(world.now, &request, &CallOptions::new());
            world.core.send(world.now, &renewals, &request).unwrap();
            world.touched();
            pass(&mut world, 1000);
            let mut answers = 0;
            while let Some(item) = world.core.next(&renewals) {
                answers += usize::from(matches!(item, StreamItem::Message(_)));
            }
            // All is garbled or nothing.
            assert!(answers <= 1 || (answers == 2 && world.counts.streams == 1), "seed {seed}: {answers}");
        }
    }

    #[test]
    fn a_broken_connection_ends_a_stream() {
        let mut world = world(7, 0);
        let watch: Stream<Watch> = world.core.open(world.now, &create("k0"), &CallOptions::new());
        world.touched();
        pass(&mut world, 1000);
        world.break_lines(0, crate::world::script::Cut::Mixed);
        pass(&mut world, 1000);
        let (created, end) = messages(&mut world, &watch);
        assert_eq!(created.len(), 1);
        assert!(matches!(end, Some(Err(_))), "{end:?}");
        assert_eq!(world.counts.streams, 0);
        // What the driver still had to send goes nowhere.
        world.finish(0);
    }
}
