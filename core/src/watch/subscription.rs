//! One watch, over all the streams it has one after another: where it stands in the history, and what its reader has not
//! taken yet.
//!
//! The rules, from etcd's documentation ("KV API guarantees", watch APIs) and `mvcc/watchable_store.go`:
//!
//! * `next` is the first revision of which nothing was put into the queue. It never goes back. Events move it behind their
//!   revision, progress behind the revision that it names; nothing else does. The header that comes with events is ahead of
//!   them while the server catches up, so it means nothing.
//! * A watch without a start revision begins behind the revision of the first created answer. One with a start revision
//!   begins there, whatever the created answer says.
//! * Events before `next` are repetitions and dropped. So nothing comes twice, and nothing that a watch created anew from
//!   `next` would miss.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use etcdium_proto::mvccpb;

use crate::backoff::Backoff;
use crate::key::HubKey;
use crate::rng::Rng;
use crate::watch::{Events, ProgressError, WatchError, WatchErrorKind, WatchItem, WatchNext, WatchRequest};
use crate::{Error, Revision};

/// What an item without events counts for in the buffer: about what it takes in memory.
const SMALL: usize = 64;

/// Between two warnings that the reader of a watch is slow.
const WARNING: Duration = Duration::from_secs(30);

/// Where a watch stands.
///
/// ```text
///            its turn           created answer
/// Queued --------------> Creating -----------> Live ---------------------------------------> Over
///  ^ ^ ^                    |                  |||      end told by the server, regression
///  | | `---stream lost------+------------------'||
///  | `-----Resting <-- cancelled without cause -'|
///  `-------Parked <--- the buffer is full -------'       Cancelling: the user's; Over when confirmed
/// ```
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Waits to be created on its hub's stream.
    Queued,
    /// The request to create it is on its way.
    Creating,
    /// Created, under this id.
    Live {
        /// What server and client call it.
        id: i64,
        /// Requests for progress sent on the stream before it was created: their answers do not speak of it.
        unasked: u64,
        /// Since when.
        since: Instant,
    },
    /// Cancelled on the server until its reader has taken everything.
    Parked,
    /// Created again then.
    Resting(Instant),
    /// The user gave it up; the server has not confirmed.
    Cancelling,
    /// Over. Told when the queue is empty.
    Over(Result<(), WatchError>),
}

/// What came of a response with events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It was taken.
    Taken,
    /// The buffer is full: nothing from `next` on was taken.
    Full,
    /// The server broke the order of events: the stream is of no use.
    Disordered,
    /// An event came of a revision that had been told to be complete.
    Inconsistent(Revision),
}

/// A request for progress that is not answered.
#[derive(Debug)]
enum Ask {
    /// An answer has to name this revision or a later one.
    Open(i64),
    Answered(Result<Revision, ProgressError>),
}

/// A watch.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) request: WatchRequest,
    pub(crate) hub: HubKey,
    pub(crate) phase: Phase,
    pub(crate) backoff: Backoff,
    /// The cluster it watches, zero before it is known.
    pub(crate) cluster: u64,
    /// It was confirmed at least once.
    pub(crate) opened: bool,
    /// The first revision not in the queue, once it is known.
    next: Option<i64>,
    /// The first revision its reader has not taken.
    told: Option<i64>,
    /// The latest revision of an event.
    last_event: i64,
    /// Where it began on its present stream.
    began: i64,
    /// The revision of the store when it was created on its present stream, if it starts behind that; else zero. Until there
    /// is more the server tells no progress of such a watch (`progressIfSync`, mvcc/watchable_store.go).
    base: i64,
    /// Events of a revision that may not be whole, and what they take.
    parts: Vec<mvccpb::Event>,
    parts_bytes: usize,
    queue: VecDeque<WatchItem>,
    bytes: usize,
    /// The reader was told that the stream broke, and not yet that the watch goes on.
    cut: bool,
    /// The application was told to look.
    hinted: bool,
    ask: Option<Ask>,
    /// Repetitions dropped.
    repeated: u64,
    /// When it was warned last that its reader is slow.
    warned: Option<Instant>,
    #[cfg(etcdium_planted)]
    pub(crate) planted: Option<crate::Planted>,
    /// The latest revision in a header.
    #[cfg(etcdium_planted)]
    pub(crate) header: i64,
}

impl Subscription {
    pub(crate) fn new(request: WatchRequest, hub: HubKey, backoff: Backoff) -> Self {
        let start = request.start.map(Revision::get);
        Self {
            request,
            hub,
            phase: Phase::Queued,
            backoff,
            cluster: 0,
            opened: false,
            next: start,
            told: start,
            last_event: 0,
            began: 0,
            base: 0,
            parts: Vec::new(),
            parts_bytes: 0,
            queue: VecDeque::new(),
            bytes: 0,
            cut: false,
            hinted: false,
            ask: None,
            repeated: 0,
            warned: None,
            #[cfg(etcdium_planted)]
            planted: None,
            #[cfg(etcdium_planted)]
            header: 0,
        }
    }

    /// From where the server is asked to go on.
    pub(crate) fn resume(&self) -> Option<Revision> {
        #[cfg(etcdium_planted)]
        if self.planted == Some(crate::Planted::ResumesFromHeader) && self.header > 0 {
            return self.next.map(|next| Revision::new(next.max(self.header + 1)));
        }
        self.next()
    }

    /// The first revision not in the queue.
    pub(crate) fn next(&self) -> Option<Revision> {
        self.next.map(Revision::new)
    }

    /// The first revision its reader has not taken.
    pub(crate) fn told(&self) -> Option<Revision> {
        self.told.map(Revision::new)
    }

    /// Bytes in its buffer: keys, values, and the room events take.
    pub(crate) fn buffered(&self) -> usize {
        self.bytes + self.parts_bytes
    }

    /// Bytes in its queue.
    pub(crate) fn queued(&self) -> usize {
        self.bytes
    }

    /// Events dropped that had been given before.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether the application has to be told to look. It is told once, until it has found nothing.
    #[must_use]
    pub(crate) fn hint(&mut self) -> bool {
        !core::mem::replace(&mut self.hinted, true)
    }

    /// The application found nothing: it has to be told again.
    pub(crate) fn unhint(&mut self) {
        self.hinted = false;
    }

    /// The server confirmed the watch; `revision` is that of its store then, zero if it is not told, and `known` the highest
    /// that the client has seen. `unasked` requests for progress were sent on the stream before. Says whether that is news
    /// for the reader.
    pub(crate) fn created(
        &mut self,
        now: Instant,
        id: i64,
        revision: i64,
        known: Revision,
        unasked: u64,
    ) -> bool {
        self.phase = Phase::Live { id, unasked, since: now };
        // If the server does not say where the watch begins, or says that it never will: no later than behind what was known
        // before it was confirmed.
        let revision = if revision == i64::MAX { 0 } else { revision };
        let before = if revision > 0 { revision } else { known.get() };
        self.base = if self.next.is_some_and(|next| next > revision) { revision.max(0) } else { 0 };
        if self.next.is_none() && before > 0 {
            self.next = Some(before.saturating_add(1));
            self.told = self.told.or(self.next);
        }
        self.began = self.next.unwrap_or_default();
        let first = !core::mem::replace(&mut self.opened, true);
        if first && self.request.created {
            self.push(WatchItem::Created { revision: Revision::new(revision.max(0)) }, SMALL);
        }
        let resumed = core::mem::take(&mut self.cut);
        if resumed {
            self.push(WatchItem::Resumed { from: Revision::new(self.began) }, SMALL);
        }
        self.ask_no_more_than(known);
        self.progress_at_start() || first || resumed
    }

    /// How long to wait before it is created again: longer each time, unless it lived for `lasting` since.
    pub(crate) fn next_rest(&mut self, now: Instant, lasting: Duration, rng: &mut Rng) -> Duration {
        if matches!(self.phase, Phase::Live { since, .. } if now.saturating_duration_since(since) >= lasting)
        {
            self.backoff.reset();
        }
        self.backoff.next_delay(rng)
    }

    /// Whether a warning is due that its reader is slow: not more often than every [`WARNING`].
    #[must_use]
    pub(crate) fn warn(&mut self, now: Instant) -> bool {
        let due = self.warned.is_none_or(|last| now.saturating_duration_since(last) >= WARNING);
        if due {
            self.warned = Some(now);
        }
        due
    }

    /// The stream broke. What was not whole is dropped: it comes again. Says whether that is news for the reader.
    pub(crate) fn lost(&mut self, cause: &Error) -> bool {
        self.phase = Phase::Queued;
        #[cfg(etcdium_planted)]
        if self.planted == Some(crate::Planted::RepeatsAfterResume)
            && self.last_event > 0
            && self.next == Some(self.last_event + 1)
        {
            self.next = Some(self.last_event);
        }
        #[cfg(etcdium_planted)]
        let kept = match self.planted {
            Some(crate::Planted::FragmentsKept) => core::mem::take(&mut self.parts),
            _ => Vec::new(),
        };
        self.drop_parts();
        #[cfg(etcdium_planted)]
        self.parts.extend(kept);
        // Nobody needs to be told before the watch began, nor twice, nor more than fits.
        let told = self.opened && self.request.notices && !self.cut && self.has_room(SMALL);
        if told {
            self.cut = true;
            self.push(WatchItem::Disconnected { cause: cause.clone() }, SMALL);
        }
        told
    }

    fn drop_parts(&mut self) {
        self.parts = Vec::new();
        self.parts_bytes = 0;
    }

    /// The buffer is full, or the server cancelled the watch: it is not on a stream any more.
    pub(crate) fn detach(&mut self, phase: Phase) {
        self.phase = phase;
        self.drop_parts();
        if self.phase == Phase::Parked {
            #[cfg(etcdium_planted)]
            if self.planted == Some(crate::Planted::ParkedSkips) {
                self.next = self.next.map(|next| next.saturating_add(1));
            }
            self.answer(Err(ProgressError::Behind));
        }
    }

    /// Ends the watch: behind what is in its queue, or at once if the user wants no more of it.
    pub(crate) fn end(&mut self, result: Result<(), WatchErrorKind>) {
        self.drop_parts();
        if result.is_ok() {
            self.queue = VecDeque::new();
            self.bytes = 0;
        }
        // All that is in the queue is given before the error.
        let next = self.next();
        self.phase = Phase::Over(result.map_err(|kind| WatchError { kind, next, source: None }));
        self.answer(Err(ProgressError::Ended));
    }

    /// The user gives the watch up, and the server has to confirm.
    pub(crate) fn cancelling(&mut self) {
        self.drop_parts();
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.phase = Phase::Cancelling;
        self.answer(Err(ProgressError::Ended));
    }

    /// Takes events of a response; `more` fragments follow.
    ///
    /// Events come by rising revision, so a revision is whole when a later one begins or nothing follows.
    pub(crate) fn receive(&mut self, events: Vec<mvccpb::Event>, more: bool) -> Received {
        let (Some(first), Some(last)) = (events.first().map(revision), events.last().map(revision)) else {
            return Received::Taken;
        };
        let begun = self.parts.first().map_or(1, revision);
        // No revision follows the last number there is: one of an event cannot be told from a repetition.
        let sorted = begun <= first && last < i64::MAX && events.is_sorted_by_key(revision);
        #[cfg(etcdium_planted)]
        let sorted = sorted || self.planted == Some(crate::Planted::FragmentsKept);
        if !sorted {
            return Received::Disordered;
        }
        let (events, first) = if self.parts.is_empty() {
            (events, first)
        } else if more && last == begun {
            return self.keep(events);
        } else {
            let mut parts = core::mem::take(&mut self.parts);
            self.parts_bytes = 0;
            parts.extend(events);
            (parts, begun)
        };
        if first == last {
            if more {
                return self.keep(events);
            }
            return match self.offer(last, events.into()) {
                Ok(()) => Received::Taken,
                Err(refused) => refused,
            };
        }
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            let at = revision(&event);
            if more && at == last {
                return self.keep(core::iter::once(event).chain(events).collect());
            }
            let whole = match events.next_if(|next| revision(next) == at) {
                None => Events::one(event),
                Some(second) => {
                    let mut siblings = vec![event, second];
                    siblings.extend(core::iter::from_fn(|| events.next_if(|next| revision(next) == at)));
                    Events::from(siblings)
                }
            };
            if let Err(refused) = self.offer(at, whole) {
                return refused;
            }
        }
        Received::Taken
    }

    /// Keeps events of a revision that may not be whole. They count as if it were: another fragment may only add to them.
    fn keep(&mut self, events: Vec<mvccpb::Event>) -> Received {
        self.parts_bytes += events.iter().map(cost).sum::<usize>();
        if self.parts.is_empty() {
            self.parts = events;
        } else {
            self.parts.extend(events);
        }
        if self.has_room(self.parts_bytes) { Received::Taken } else { Received::Full }
    }

    /// Takes all events of one revision, unless they came before or do not fit.
    fn offer(&mut self, revision: i64, events: Events) -> Result<(), Received> {
        if self.next.is_some_and(|next| revision < next) {
            // Some servers send events older than asked for (etcd issue 20221): those mean nothing. But what was told to
            // be complete on this very stream must be.
            let contradicts = revision >= self.began && revision > self.last_event;
            #[cfg(etcdium_planted)]
            let contradicts = contradicts
                && !matches!(
                    self.planted,
                    Some(crate::Planted::ProgressTooEarly | crate::Planted::UntrustedProgress)
                );
            if contradicts {
                return Err(Received::Inconsistent(Revision::new(revision)));
            }
            self.repeated += events.len() as u64;
            return Ok(());
        }
        let bytes = events.iter().map(cost).sum();
        if !self.has_room(bytes) {
            return Err(Received::Full);
        }
        self.next = Some(revision.saturating_add(1));
        self.last_event = revision;
        self.push(WatchItem::Events { revision: Revision::new(revision), events }, bytes);
        Ok(())
    }

    /// The server says that everything up to `revision` was sent. Says whether that was told on.
    pub(crate) fn progress(&mut self, revision: i64) -> bool {
        // Between the fragments of a response nothing can be said of it.
        if revision <= 0 || revision == i64::MAX || !self.parts.is_empty() {
            return false;
        }
        let next = revision.saturating_add(1);
        // A member that is behind, or a watch that starts later: less than is known.
        if self.next.is_some_and(|known| next < known) {
            return false;
        }
        self.next = Some(next);
        self.tell_progress(revision)
    }

    fn tell_progress(&mut self, revision: i64) -> bool {
        let revision = Revision::new(revision);
        if !self.request.progress_notify && !self.is_asking() {
            return false;
        }
        if let Some(WatchItem::Progress { revision: latest }) = self.queue.back_mut() {
            *latest = revision;
        } else {
            self.push(WatchItem::Progress { revision }, SMALL);
        }
        if matches!(self.ask, Some(Ask::Open(least)) if revision.get() >= least) {
            self.answer(Ok(revision));
        }
        true
    }

    /// Answers a request for progress that the server leaves without an answer, since what the watch starts with has not
    /// happened yet. Says whether it did.
    fn progress_at_start(&mut self) -> bool {
        let Some(Ask::Open(least)) = self.ask else { return false };
        if self.base == 0 || self.next != Some(self.began) || self.base < least {
            return false;
        }
        if self.base + 1 == self.began {
            return self.tell_progress(self.base);
        }
        // It has not begun: there is nothing to be told between its items.
        self.answer(Ok(Revision::new(self.base)));
        true
    }

    /// Whether it wants to know its progress, and nothing came since it was created where the server had less than is known.
    pub(crate) fn asks_above_start(&self, known: Revision) -> bool {
        self.is_asking() && self.base != 0 && self.base < known.get() && self.next == Some(self.began)
    }

    /// Whether it was put on its stream from behind all that the server had, and nothing is known to have happened since.
    pub(crate) fn starts_behind(&self, known: Revision) -> bool {
        matches!(self.phase, Phase::Live { .. }) && self.base > 0 && self.began > known.get()
    }

    /// The highest revision that is known now: when a request for progress was made for a higher one, that was of a history
    /// that is gone, or of another cluster, and no progress ever reaches it.
    pub(crate) fn ask_no_more_than(&mut self, known: Revision) {
        if let Some(Ask::Open(least)) = &mut self.ask {
            *least = known.get().min(*least);
        }
    }

    /// A request for progress that names `known` or a later revision.
    pub(crate) fn ask(&mut self, known: Revision) {
        self.ask = Some(Ask::Open(known.get()));
        match self.phase {
            Phase::Parked => self.answer(Err(ProgressError::Behind)),
            Phase::Over(_) | Phase::Cancelling => self.answer(Err(ProgressError::Ended)),
            Phase::Live { .. } => {
                self.progress_at_start();
            }
            Phase::Queued | Phase::Creating | Phase::Resting(_) => {}
        }
    }

    /// Whether a request for progress waits for its answer.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.ask, Some(Ask::Open(_)))
    }

    /// Answers a request for progress, if there is one.
    pub(crate) fn answer(&mut self, answer: Result<Revision, ProgressError>) {
        if self.is_asking() {
            self.ask = Some(Ask::Answered(answer));
        }
    }

    /// Takes the answer to a request for progress.
    pub(crate) fn take_answer(&mut self) -> Option<Result<Revision, ProgressError>> {
        match self.ask.take() {
            Some(Ask::Answered(answer)) => Some(answer),
            open => {
                self.ask = open;
                None
            }
        }
    }

    /// Takes the next item, or the end.
    pub(crate) fn take(&mut self) -> Option<WatchNext> {
        let Some(item) = self.queue.pop_front() else {
            self.bytes = 0;
            return match &self.phase {
                Phase::Over(result) => Some(WatchNext::End(result.clone())),
                _ => None,
            };
        };
        match &item {
            WatchItem::Events { revision, events } => {
                self.bytes -= events.iter().map(cost).sum::<usize>();
                self.told = Some(revision.next().get());
            }
            WatchItem::Progress { revision } => {
                self.bytes -= SMALL;
                self.told = Some(revision.next().get());
            }
            WatchItem::Created { .. } | WatchItem::Disconnected { .. } | WatchItem::Resumed { .. } => {
                self.bytes -= SMALL;
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > ROOM {
            self.queue = VecDeque::new();
        }
        Some(WatchNext::Item(item))
    }

    /// Whether nothing is left to take.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether this much more may be buffered. Whatever comes first may: a revision is never split.
    fn has_room(&self, bytes: usize) -> bool {
        self.queue.is_empty() || self.bytes.saturating_add(bytes) <= self.request.max_buffer
    }

    fn push(&mut self, item: WatchItem, bytes: usize) {
        self.bytes += bytes;
        self.queue.push_back(item);
    }
}

/// The room an empty queue keeps: a burst gives its memory back.
const ROOM: usize = 256;

/// The revision of an event, zero if it has none.
fn revision(event: &mvccpb::Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// What an event takes in memory.
fn cost(event: &mvccpb::Event) -> usize {
    let pair = |kv: &mvccpb::KeyValue| kv.key.len() + kv.value.len();
    size_of::<WatchItem<mvccpb::Event>>()
        + event.kv.as_ref().map_or(0, pair)
        + event.prev_kv.as_ref().map_or(0, pair)
}
