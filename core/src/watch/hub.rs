//! A hub: the watches that share a stream, and that stream.
//!
//! Watches with the same endpoint, metadata and wish for a leader share a hub, hence a stream. The first creation on a
//! stream goes alone. If its answer carries the id that was asked for, others follow without waiting; if it carries another
//! one, a grpc-proxy answers, which chooses ids and may answer out of order: then its ids are taken over, and one creation is
//! under way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, BackoffConfig};
use crate::{ConnectionKey, EndpointKey, Metadata, StreamKey, WatchKey};

/// Creations under way at once: enough to hide the way there and back, few enough not to flood a server.
pub(crate) const WINDOW: usize = 256;

/// How long a server may take to answer a creation, or the cancellation of a watch that it has confirmed. etcd answers at
/// once; a grpc-proxy never answers some creations.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Between two requests for progress, while none is answered: a server drops them as long as any watch of the stream is
/// behind.
pub(crate) const ASK: BackoffConfig =
    BackoffConfig { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

/// After so many in a row, some six seconds, watches of the stream seem to be behind all the time, as those of slow readers are:
/// watches that ask part from them, one by one.
pub(crate) const PATIENT: u32 = 10;

/// What the watches of a hub have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) endpoint: Option<EndpointKey>,
    pub(crate) require_leader: bool,
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// Set apart since its creation was never answered, so that no other waits for it.
    pub(crate) alone: Option<WatchKey>,
}

/// Who chooses the ids of watches on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// The first answer will tell.
    Unknown,
    /// The client.
    Ours,
    /// The peer: a grpc-proxy.
    Theirs,
}

/// What a hub is doing.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "hubs are few, and most have a stream")]
pub(crate) enum HubPhase {
    /// Nothing is to be done, or it waits for a connection.
    Idle,
    /// A stream is opened then.
    BackingOff(Instant),
    /// Its stream is open.
    Open(Line),
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) stream: StreamKey,
    pub(crate) connection: ConnectionKey,
    pub(crate) endpoint: EndpointKey,
    pub(crate) ids: Ids,
    /// Creations under way, in the order they were sent, which is that of their answers.
    pub(crate) creating: VecDeque<Creation>,
    /// Watches by id.
    pub(crate) live: BTreeMap<i64, WatchKey>,
    /// Ids whose cancellation was sent and not confirmed, with the watch that waits for that.
    pub(crate) cancelling: BTreeMap<i64, Option<WatchKey>>,
    /// When the confirmations that watches wait for have to be there, in this order; those that came are among them.
    pub(crate) confirming: VecDeque<(Instant, i64)>,
    /// When it was opened.
    pub(crate) since: Instant,
    /// Whether any watch was confirmed on it.
    pub(crate) confirmed: bool,
    /// How many watches that nobody knows it has named.
    pub(crate) strangers: usize,
    /// Requests for progress sent, and answers received.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// When the next request for progress may be sent.
    pub(crate) ask_at: Option<Instant>,
    pub(crate) ask_backoff: Backoff,
    /// How often that came in vain since an answer was received.
    pub(crate) unanswered: u32,
}

/// A creation under way.
#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) id: i64,
    /// Whose it is, unless that was given up meanwhile.
    pub(crate) watch: Option<WatchKey>,
    /// When the answer has to be there.
    pub(crate) until: Instant,
}

/// A hub.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) lane: Lane,
    pub(crate) phase: HubPhase,
    /// Watches to be created, oldest first.
    pub(crate) queue: BTreeSet<WatchKey>,
    /// All its watches.
    pub(crate) watches: usize,
    /// Those that want to know how far they have come, and perhaps some that did.
    pub(crate) asking: BTreeSet<WatchKey>,
    /// The next id. None is used twice, not even on different streams.
    next_id: i64,
    /// The endpoint that failed last.
    pub(crate) avoid: Option<EndpointKey>,
    pub(crate) backoff: Backoff,
    /// When its timer fires.
    pub(crate) armed: Option<Instant>,
}

impl Hub {
    pub(crate) fn new(lane: Lane, backoff: Backoff) -> Self {
        Self {
            lane,
            phase: HubPhase::Idle,
            queue: BTreeSet::new(),
            watches: 0,
            asking: BTreeSet::new(),
            next_id: 1,
            avoid: None,
            backoff,
            armed: None,
        }
    }

    pub(crate) fn line(&self) -> Option<&Line> {
        match &self.phase {
            HubPhase::Open(line) => Some(line),
            HubPhase::Idle | HubPhase::BackingOff(_) => None,
        }
    }

    pub(crate) fn line_mut(&mut self) -> Option<&mut Line> {
        match &mut self.phase {
            HubPhase::Open(line) => Some(line),
            HubPhase::Idle | HubPhase::BackingOff(_) => None,
        }
    }

    /// An id that no watch ever had.
    pub(crate) fn new_id(&mut self) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// When it has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.phase {
            HubPhase::Idle => None,
            HubPhase::BackingOff(until) => Some(*until),
            HubPhase::Open(line) => {
                let creation = line.creating.front().map(|creation| creation.until);
                let confirmation = line.confirming.front().map(|(until, _)| *until);
                [creation, confirmation, line.ask_at].into_iter().flatten().min()
            }
        }
    }
}

impl Line {
    pub(crate) fn new(
        stream: StreamKey,
        connection: ConnectionKey,
        endpoint: EndpointKey,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            connection,
            endpoint,
            ids: Ids::Unknown,
            creating: VecDeque::new(),
            live: BTreeMap::new(),
            cancelling: BTreeMap::new(),
            confirming: VecDeque::new(),
            since: now,
            confirmed: false,
            strangers: 0,
            asked: 0,
            answered: 0,
            ask_at: None,
            ask_backoff: Backoff::new(ASK),
            unanswered: 0,
        }
    }

    /// Whether another creation may be sent.
    pub(crate) fn may_create(&self) -> bool {
        let window = match self.ids {
            Ids::Ours => WINDOW,
            Ids::Unknown | Ids::Theirs => 1,
        };
        self.creating.len() < window
    }

    /// Reads the id in the answer to a creation with the id `asked`. `None` if it makes no sense.
    pub(crate) fn adopt(&mut self, asked: i64, given: i64) -> Option<i64> {
        match self.ids {
            Ids::Unknown if given == asked => self.ids = Ids::Ours,
            Ids::Unknown if given >= 0 => self.ids = Ids::Theirs,
            Ids::Ours if given == asked => {}
            Ids::Theirs if given >= 0 => {}
            Ids::Unknown | Ids::Ours | Ids::Theirs => return None,
        }
        let taken = self.live.contains_key(&given) || self.cancelling.contains_key(&given);
        (!taken).then_some(given)
    }
}
