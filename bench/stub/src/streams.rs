//! The calls that stay open: watch streams and streams of renewals. Answers to requests are collected and events are
//! prepared one response at a time, both only as fast as the windows let them out.

use std::collections::{BTreeSet, HashMap, VecDeque};

use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use prost::Message;

use crate::Error;
use crate::answers::{append, header};
use crate::feed::Feed;
use crate::frame::{self, DATA, MAX_FRAME, WINDOW_UPDATE};
use crate::sending::Sending;
use crate::store::Store;

/// Received bytes of a stream after which its window is opened again.
const GRANT: u32 = 1 << 20;
/// Bytes of a gRPC message's prefix.
const PREFIX: usize = 5;

/// What is asked on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Watch,
    KeepAlive,
}

/// The open streams of one connection.
#[derive(Default)]
pub(crate) struct Streams {
    open: HashMap<u32, Stream>,
    /// Streams with feeds: they may have something to say without being asked.
    fed: BTreeSet<u32>,
    /// Streams that may have something to send.
    ready: VecDeque<u32>,
}

struct Stream {
    kind: Kind,
    window: i64,
    /// A request that is not complete yet.
    request: Vec<u8>,
    /// Bytes received since the last WINDOW_UPDATE.
    received: u32,
    /// The peer has closed its half.
    ending: bool,
    begun: bool,
    queued: bool,
    /// Framed answers, sent up to `answered`.
    answers: Vec<u8>,
    answered: usize,
    watches: BTreeSet<i64>,
    feeds: VecDeque<Feed>,
    flight: Flight,
}

/// The message of which the windows may have let out a part.
enum Flight {
    None,
    /// In `answers`, up to here.
    Answer {
        end: usize,
    },
    Events {
        feed: Feed,
        sent: usize,
        cancelled: bool,
    },
}

/// Why a stream stopped sending.
enum Stop {
    /// The buffer is full.
    Full,
    /// A window is used up.
    Window,
    /// Nothing is left.
    Empty,
    /// Nothing is left, and the peer has closed its half.
    End,
}

impl Streams {
    /// A new stream of this kind.
    pub(crate) fn open(&mut self, id: u32, kind: Kind, window: i64) {
        let stream = Stream {
            kind,
            window,
            request: Vec::new(),
            received: 0,
            ending: false,
            begun: false,
            queued: false,
            answers: Vec::new(),
            answered: 0,
            watches: BTreeSet::new(),
            feeds: VecDeque::new(),
            flight: Flight::None,
        };
        self.open.insert(id, stream);
    }

    /// Takes a piece of requests; one of an unknown stream, such as one that was reset, is passed over.
    ///
    /// # Errors
    /// A message that cannot be read.
    pub(crate) fn receive(
        &mut self,
        id: u32,
        piece: &[u8],
        ends: bool,
        out: &mut Vec<u8>,
        store: &Store,
        ordinal: u64,
    ) -> Result<(), Error> {
        let Some(stream) = self.open.get_mut(&id) else { return Ok(()) };
        stream.received += piece.len() as u32;
        if stream.received > GRANT {
            frame::write(out, WINDOW_UPDATE, 0, id, &stream.received.to_be_bytes());
            stream.received = 0;
        }
        stream.request.extend_from_slice(piece);
        let requests = std::mem::take(&mut stream.request);
        let mut rest = requests.as_slice();
        while let Some((message, after)) = cut(rest) {
            match stream.kind {
                Kind::Watch => stream.watch(WatchRequest::decode(message)?, store, ordinal),
                Kind::KeepAlive => stream.renew(LeaseKeepAliveRequest::decode(message)?, store, ordinal),
            }
            rest = after;
        }
        stream.request = rest.to_vec();
        if ends {
            stream.ending = true;
            stream.feeds.clear();
        }
        if !stream.feeds.is_empty() {
            self.fed.insert(id);
        }
        self.wake(id);
        Ok(())
    }

    /// A WINDOW_UPDATE of one stream; `false` when it is none of these.
    pub(crate) fn widen(&mut self, id: u32, by: u32) -> bool {
        let Some(stream) = self.open.get_mut(&id) else { return false };
        stream.window += i64::from(by);
        self.wake(id);
        true
    }

    /// The peer's setting for the window of all streams has changed by this much.
    pub(crate) fn shift(&mut self, change: i64) {
        for (id, stream) in &mut self.open {
            stream.window += change;
            if !stream.queued {
                stream.queued = true;
                self.ready.push_back(*id);
            }
        }
    }

    /// Forgets a stream that the peer has reset.
    pub(crate) fn forget(&mut self, id: u32) {
        self.open.remove(&id);
        self.fed.remove(&id);
    }

    /// Appends what the windows allow, until the buffer holds this much. Says whether there is more that could be sent
    /// at once.
    pub(crate) fn pump(
        &mut self,
        out: &mut Vec<u8>,
        full: usize,
        sending: &mut Sending,
        store: &Store,
    ) -> bool {
        let revision = store.revision();
        for id in &self.fed {
            if let Some(stream) = self.open.get_mut(id) {
                if !stream.queued && stream.window > 0 && stream.is_behind(revision) {
                    stream.queued = true;
                    self.ready.push_back(*id);
                }
            }
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.open.get_mut(&id) else { continue };
            stream.queued = false;
            match stream.send(id, out, full, sending, store) {
                Stop::Full => {
                    self.wake(id);
                    return true;
                }
                Stop::Window if sending.window() <= 0 => {
                    self.wake(id);
                    return false;
                }
                Stop::Window | Stop::Empty => {}
                Stop::End => {
                    sending.trailers(out, id);
                    self.forget(id);
                }
            }
        }
        false
    }

    fn wake(&mut self, id: u32) {
        if let Some(stream) = self.open.get_mut(&id).filter(|stream| !stream.queued) {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }
}

impl Stream {
    fn watch(&mut self, request: WatchRequest, store: &Store, ordinal: u64) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(&create, store, ordinal),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id, store, ordinal),
            // As etcd answers while any watch of the stream has events to come.
            Some(RequestUnion::ProgressRequest(_)) | None => {}
        }
    }

    fn create(&mut self, create: &WatchCreateRequest, store: &Store, ordinal: u64) {
        let revision = store.revision();
        let mut response = WatchResponse {
            header: Some(header(ordinal, revision)),
            watch_id: create.watch_id,
            created: true,
            ..WatchResponse::default()
        };
        if create.watch_id == 0 {
            response.watch_id = (0..).find(|id| !self.watches.contains(id)).unwrap_or_default();
        }
        if !self.watches.insert(response.watch_id) {
            response.watch_id = -1;
            response.canceled = true;
            response.cancel_reason = "etcdserver: duplicate watch ID provided on the watch stream".to_owned();
            return append(&mut self.answers, &response);
        }
        append(&mut self.answers, &response);
        if let Some(history) = store.history(&create.key) {
            let from = if create.start_revision > 0 { create.start_revision } else { revision + 1 };
            self.feeds.push_back(Feed::new(response.watch_id, history, from, ordinal));
        }
    }

    fn cancel(&mut self, watch_id: i64, store: &Store, ordinal: u64) {
        if !self.watches.remove(&watch_id) {
            return;
        }
        self.feeds.retain(|feed| feed.watch_id != watch_id);
        if let Flight::Events { feed, cancelled, .. } = &mut self.flight {
            *cancelled |= feed.watch_id == watch_id;
        }
        let header = Some(header(ordinal, store.revision()));
        let response = WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() };
        append(&mut self.answers, &response);
    }

    fn renew(&mut self, request: LeaseKeepAliveRequest, store: &Store, ordinal: u64) {
        let header = Some(header(ordinal, store.revision()));
        let response = LeaseKeepAliveResponse { header, id: request.id, ttl: store.renew(request.id) };
        append(&mut self.answers, &response);
    }

    fn is_behind(&self, revision: i64) -> bool {
        self.feeds.iter().any(|feed| feed.is_behind(revision))
    }

    fn send(
        &mut self,
        id: u32,
        out: &mut Vec<u8>,
        full: usize,
        sending: &mut Sending,
        store: &Store,
    ) -> Stop {
        loop {
            if out.len() >= full {
                return Stop::Full;
            }
            if matches!(self.flight, Flight::None) && !self.next(store) {
                return if self.ending { Stop::End } else { Stop::Empty };
            }
            let rest = match &self.flight {
                Flight::None => &[],
                Flight::Answer { end } => &self.answers[self.answered..*end],
                Flight::Events { feed, sent, .. } => &feed.response()[*sent..],
            };
            if !self.begun {
                sending.head(out, id);
                self.begun = true;
            }
            let room = sending.window().min(self.window).clamp(0, MAX_FRAME as i64) as usize;
            let len = room.min(rest.len());
            if len == 0 {
                return Stop::Window;
            }
            frame::write(out, DATA, 0, id, &rest[..len]);
            self.window -= len as i64;
            sending.use_window(len as i64);
            let done = len == rest.len();
            self.sent(len, done);
        }
    }

    /// Finds the next message: answers first, then the events of each watch in turn. `false` when there is none.
    fn next(&mut self, store: &Store) -> bool {
        if let Some((message, _)) = cut(&self.answers[self.answered..]) {
            self.flight = Flight::Answer { end: self.answered + PREFIX + message.len() };
            return true;
        }
        self.answers.clear();
        self.answered = 0;
        let revision = store.revision();
        let Some(turn) = self.feeds.iter().position(|feed| feed.is_behind(revision)) else { return false };
        self.feeds.rotate_left(turn);
        let Some(mut feed) = self.feeds.pop_front() else { return false };
        feed.advance(revision);
        self.flight = Flight::Events { feed, sent: 0, cancelled: false };
        true
    }

    /// This many bytes of the message went out, which may have been the last ones.
    fn sent(&mut self, len: usize, done: bool) {
        match &mut self.flight {
            Flight::None => {}
            Flight::Answer { .. } => {
                self.answered += len;
                if done {
                    self.flight = Flight::None;
                }
            }
            Flight::Events { sent, .. } => {
                *sent += len;
                if done {
                    let flight = std::mem::replace(&mut self.flight, Flight::None);
                    if let Flight::Events { feed, cancelled: false, .. } = flight {
                        if !self.ending {
                            self.feeds.push_back(feed);
                        }
                    }
                }
            }
        }
    }
}

/// Cuts the first framed message off; `None` while it is not complete.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize)
}

#[cfg(test)]
mod tests {
    use etcdium_proto::etcdserverpb::WatchCancelRequest;

    use super::*;
    use crate::frame::{Frame, HEADERS};
    use crate::store::Store;

    const ID: u32 = 3;

    fn request(union: RequestUnion) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, &WatchRequest { request_union: Some(union) });
        bytes
    }

    fn create(key: &str, watch_id: i64, start_revision: i64) -> Vec<u8> {
        let key = key.to_owned().into();
        request(RequestUnion::CreateRequest(WatchCreateRequest {
            key,
            watch_id,
            start_revision,
            ..WatchCreateRequest::default()
        }))
    }

    fn cancel(watch_id: i64) -> Vec<u8> {
        request(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))
    }

    struct Peer {
        streams: Streams,
        sending: Sending,
        store: Store,
        body: Vec<u8>,
    }

    impl Peer {
        fn new(window: i64) -> Self {
            let (streams, sending) = (Streams::default(), Sending::new());
            let mut peer = Self { streams, sending, store: Store::new(), body: Vec::new() };
            peer.streams.open(ID, Kind::Watch, window);
            peer
        }

        fn say(&mut self, piece: &[u8]) {
            let mut out = Vec::new();
            self.streams.receive(ID, piece, false, &mut out, &self.store, 1).expect("readable");
        }

        /// Everything that the windows allow, as responses; what is not complete waits.
        fn hear(&mut self) -> Vec<WatchResponse> {
            let mut out = Vec::new();
            while self.streams.pump(&mut out, 1 << 20, &mut self.sending, &self.store) {}
            let mut rest = out.as_slice();
            while let Some((frame, after)) = Frame::cut(rest) {
                if frame.kind == DATA {
                    self.body.extend_from_slice(frame.payload);
                } else {
                    assert_eq!(frame.kind, HEADERS);
                }
                rest = after;
            }
            let mut responses = Vec::new();
            while let Some((message, after)) = cut(&self.body) {
                responses.push(WatchResponse::decode(message).expect("a watch response"));
                self.body = after.to_vec();
            }
            responses
        }
    }

    #[test]
    fn watches_are_created_under_the_ids_that_are_asked_for_and_cancelled() {
        let mut peer = Peer::new(1 << 16);
        let all = [create("a", 7, 0), create("b", 0, 0), create("c", 7, 0), cancel(7), cancel(9)].concat();
        let (first, second) = all.split_at(11);
        peer.say(first);
        assert!(peer.hear().is_empty());
        peer.say(second);
        let heard = peer.hear();
        let heard: Vec<_> = heard.iter().map(|said| (said.watch_id, said.created, said.canceled)).collect();
        assert_eq!(heard, [(7, true, false), (0, true, false), (-1, true, true), (7, false, true)]);
    }

    #[test]
    fn windows_hold_events_back_and_a_watch_resumes_where_it_was_cancelled() {
        let mut peer = Peer::new(1_000);
        let before = peer.store.revision();
        peer.say(&create("bench/feed/tiny/100/a", 7, 0));
        let mut heard = peer.hear();
        assert!(heard.len() > 2 && heard.len() < 20, "{} responses", heard.len());
        peer.say(&cancel(7));
        assert!(peer.streams.widen(ID, 60_000));
        // What was on its way comes whole, and nothing after the cancellation.
        heard.extend(peer.hear());
        assert!(heard.pop().is_some_and(|said| said.canceled));
        let revision = |said: &WatchResponse| said.header.map_or(0, |header| header.revision);
        let resume = heard.last().map_or(0, revision) + 1;
        peer.say(&create("bench/feed/tiny/100/a", 8, resume));
        heard.extend(peer.hear());
        heard.retain(|said| !said.created);
        let revisions: Vec<i64> = heard.iter().map(revision).collect();
        assert_eq!(revisions, (before + 1..=before + 100).collect::<Vec<_>>());
    }

    #[test]
    fn puts_wake_the_watch_of_all_puts() {
        let mut peer = Peer::new(1 << 16);
        peer.say(&create("bench/feed/puts/0/a", 1, 0));
        assert_eq!(peer.hear().len(), 1);
        peer.store.raise();
        peer.store.raise();
        assert_eq!(peer.hear().len(), 2);
        assert!(peer.hear().is_empty());
    }
}
