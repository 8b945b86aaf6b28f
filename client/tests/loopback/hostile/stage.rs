//! A server of watches that tells the truth, but for one moment.
//!
//! The store is at revision 10 when watches begin, and at 20 in the end. Odd revisions put `k`, which the victim watches, even
//! ones put `l`, its sibling's. The moment of the lie comes once, on the stream both share; before and after everything is
//! answered as etcd does, and each watch is told all that it has not been told on its stream.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use etcdium_client::proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_client::proto::etcdserverpb::{
    RangeResponse, ResponseHeader, StatusResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcdium_client::proto::mvccpb::{Event, KeyValue};
use prost::Message;

use super::dialogue::{Dialogue, Said};
use crate::server::{Peer, Server};

/// Where watches begin, and where the history ends.
pub(super) const BEGIN: i64 = 10;
pub(super) const END: i64 = 20;

/// When the server lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Instead of answering the victim's creation, the first of all.
    First,
    /// Instead of answering the victim's creation, when its sibling is there.
    Creation,
    /// When both are there and have been told of one revision each.
    Live,
}

/// What the server does then.
pub(super) type Lie = Arc<dyn Fn(&mut Stage) -> io::Result<()> + Send + Sync>;

/// A creation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: &'static str,
    pub(super) start: i64,
}

/// What was asked of a server.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) asked: Vec<Asked>,
    pub(super) cancelled: Vec<i64>,
}

struct Script {
    moment: Moment,
    lie: Lie,
    /// Whether it was told.
    told: AtomicBool,
    record: Arc<Mutex<Record>>,
}

/// A watch on a stream.
#[derive(Debug)]
struct Live {
    stream: u32,
    id: i64,
    key: &'static str,
    next: i64,
}

/// One connection of such a server.
pub(super) struct Stage {
    pub(super) dialogue: Dialogue,
    live: Vec<Live>,
    /// What it answers to requests for progress before the truth, the last one first.
    answers: Vec<i64>,
    /// The stream of the lie, and the ids of the two on it: of the sibling, zero if it has none yet.
    pub(super) stream: u32,
    pub(super) victim: i64,
    pub(super) sibling: i64,
}

/// Starts a server that lies once.
pub(super) fn serve(moment: Moment, lie: Lie) -> (Server, Arc<Mutex<Record>>) {
    let record = Arc::new(Mutex::new(Record::default()));
    let script = Script { moment, lie, told: AtomicBool::new(false), record: record.clone() };
    (Server::start(move |_, peer| Stage::new(peer)?.run(&script)), record)
}

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 7, member_id: 8, revision, raft_term: 2 })
}

/// What etcd says to a creation.
pub(super) fn created(id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id: id, created: true, ..Default::default() }
}

/// What etcd says when a watch ends.
pub(super) fn canceled(id: i64) -> WatchResponse {
    WatchResponse { header: header(END), watch_id: id, canceled: true, ..Default::default() }
}

/// A response without events: progress.
pub(super) fn progress(id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id: id, ..Default::default() }
}

/// The event of a revision.
pub(super) fn event(revision: i64) -> Event {
    let kv = KeyValue {
        key: key_at(revision).into(),
        value: revision.to_string().into(),
        create_revision: 1,
        mod_revision: revision,
        version: 2,
        lease: 0,
    };
    Event { kv: Some(kv), ..Default::default() }
}

/// The events of some revisions.
pub(super) fn events(id: i64, revisions: &[i64]) -> WatchResponse {
    let events = revisions.iter().map(|revision| event(*revision)).collect();
    WatchResponse { header: header(END), watch_id: id, events, ..Default::default() }
}

/// The same, of which more is to come.
pub(super) fn part(id: i64, revisions: &[i64]) -> WatchResponse {
    WatchResponse { fragment: true, ..events(id, revisions) }
}

/// The key that a revision puts.
pub(super) fn key_at(revision: i64) -> &'static str {
    if revision % 2 == 0 { "l" } else { "k" }
}

impl Stage {
    fn new(peer: Peer) -> io::Result<Self> {
        Ok(Self {
            dialogue: Dialogue::new(peer)?,
            live: Vec::new(),
            answers: vec![0, i64::MAX, -1, 5],
            stream: 0,
            victim: 0,
            sibling: 0,
        })
    }

    fn run(mut self, script: &Script) -> io::Result<()> {
        loop {
            match self.dialogue.next()? {
                // Which server it is, is the one question without a word.
                Said::Message { stream, bytes, last: true } if bytes.is_empty() => {
                    let status = StatusResponse { version: "3.7.3".to_owned(), ..Default::default() };
                    self.dialogue.answer(stream, &status)?;
                }
                Said::Message { stream, last: true, .. } => {
                    self.dialogue
                        .answer(stream, &RangeResponse { header: header(END), ..Default::default() })?;
                }
                Said::Message { stream, bytes, .. } => {
                    match WatchRequest::decode(&bytes[..]).unwrap().request_union {
                        Some(RequestUnion::CreateRequest(asked)) => self.asked(script, stream, &asked)?,
                        Some(RequestUnion::CancelRequest(cancel)) => {
                            let id = cancel.watch_id;
                            script.record.lock().unwrap().cancelled.push(id);
                            if let Some(place) = self.live.iter().position(|one| one.id == id) {
                                self.live.remove(place);
                                self.dialogue.tell(stream, &canceled(id))?;
                            }
                        }
                        Some(RequestUnion::ProgressRequest(_)) => {
                            let told = self.answers.pop().unwrap_or(END);
                            self.dialogue.tell(stream, &progress(-1, told))?;
                        }
                        None => {}
                    }
                }
                Said::Reset { stream } => self.over(stream),
            }
        }
    }

    /// A creation is asked for.
    fn asked(&mut self, script: &Script, stream: u32, asked: &WatchCreateRequest) -> io::Result<()> {
        let key = if asked.key == "k" { "k" } else { "l" };
        let (start, id) = (asked.start_revision, asked.watch_id);
        script.record.lock().unwrap().asked.push(Asked { key, start });
        let told = script.told.load(Ordering::SeqCst);
        self.stream = stream;
        if key == "k" {
            self.victim = id;
        } else {
            self.sibling = id;
        }
        if !told && script.moment != Moment::Live && key == "k" {
            script.told.store(true, Ordering::SeqCst);
            (script.lie)(self)?;
            return self.tell_all();
        }
        self.confirm(id, key, start)?;
        if told {
            return self.tell_all();
        }
        if script.moment == Moment::Live && self.live.len() == 2 {
            script.told.store(true, Ordering::SeqCst);
            for revision in [11, 12] {
                self.tell_up_to(revision)?;
            }
            (script.lie)(self)?;
            self.tell_all()?;
        }
        Ok(())
    }

    /// Confirms a watch on the stream, as etcd does. One that begins now begins at revision 10.
    pub(super) fn confirm(&mut self, id: i64, key: &'static str, start: i64) -> io::Result<()> {
        let revision = if start == 0 { BEGIN } else { END };
        self.tell(&created(id, revision))?;
        self.register(id, key, if start == 0 { BEGIN + 1 } else { start });
        Ok(())
    }

    /// From now on there is such a watch on the stream.
    pub(super) fn register(&mut self, id: i64, key: &'static str, next: i64) {
        self.live.push(Live { stream: self.stream, id, key, next });
    }

    /// The watch was told of everything before this revision.
    pub(super) fn skip(&mut self, id: i64, next: i64) {
        self.live.iter_mut().filter(|one| one.id == id).for_each(|one| one.next = next);
    }

    /// From now on there is no such watch.
    pub(super) fn forget(&mut self, id: i64) {
        self.live.retain(|one| one.id != id);
    }

    /// Every watch is told what it was not told before.
    fn tell_all(&mut self) -> io::Result<()> {
        self.tell_up_to(END)
    }

    fn tell_up_to(&mut self, last: i64) -> io::Result<()> {
        for one in &mut self.live {
            for revision in one.next..=last {
                if key_at(revision) == one.key {
                    self.dialogue.tell(one.stream, &events(one.id, &[revision]))?;
                }
            }
            one.next = last + 1;
        }
        Ok(())
    }

    /// Says this on the stream.
    pub(super) fn tell(&mut self, response: &WatchResponse) -> io::Result<()> {
        self.dialogue.tell(self.stream, response)
    }

    /// Sends these bytes on the stream.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.dialogue.raw(self.stream, bytes)
    }

    /// Ends the stream.
    pub(super) fn end(&mut self, status: &str, text: &str) -> io::Result<()> {
        self.dialogue.end(self.stream, status, text)?;
        self.over(self.stream);
        Ok(())
    }

    /// Resets the stream.
    pub(super) fn reset(&mut self, code: u32) -> io::Result<()> {
        self.dialogue.reset(self.stream, code)?;
        self.over(self.stream);
        Ok(())
    }

    /// Whether the client has given the stream up: hears what it says meanwhile, and does nothing of it.
    pub(super) fn is_given_up(&mut self) -> io::Result<bool> {
        while self.dialogue.is_spoken_to()? {
            if self.hears_the_end()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn wait_until_given_up(&mut self) -> io::Result<()> {
        while !self.hears_the_end()? {}
        Ok(())
    }

    fn hears_the_end(&mut self) -> io::Result<bool> {
        let end = matches!(self.dialogue.next()?, Said::Reset { stream } if stream == self.stream);
        if end {
            self.over(self.stream);
        }
        Ok(end)
    }

    /// A stream is over.
    pub(super) fn over(&mut self, stream: u32) {
        self.live.retain(|one| one.stream != stream);
    }
}
