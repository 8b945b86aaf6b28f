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

use std::time::{Duration, Instant};

use etcdium_proto::mvccpb;

use crate::backoff::Backoff;
use crate::key::HubKey;
use crate::rng::Rng;
use crate::watch::buffer::{Buffer, SMALL, revision};
use crate::watch::{ProgressError, WatchError, WatchErrorKind, WatchItem, WatchNext, WatchRequest, WatchRun};
use crate::{Error, Revision};

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
    buffer: Buffer,
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
        let buffer = Buffer::new(request.max_buffer);
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
            buffer,
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
        self.buffer.bytes()
    }

    /// Bytes in its queue.
    pub(crate) fn queued(&self) -> usize {
        self.buffer.queued()
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
            self.buffer.push(WatchItem::Created { revision: Revision::new(revision.max(0)) });
        }
        let resumed = core::mem::take(&mut self.cut);
        if resumed {
            self.buffer.push(WatchItem::Resumed { from: Revision::new(self.began) });
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
            Some(crate::Planted::FragmentsKept) => self.buffer.join_parts(Vec::new()),
            _ => Vec::new(),
        };
        self.buffer.drop_parts();
        #[cfg(etcdium_planted)]
        self.buffer.keep(kept);
        // Nobody needs to be told before the watch began, nor twice, nor more than fits.
        let told = self.opened && self.request.notices && !self.cut && self.buffer.has_room(SMALL);
        if told {
            self.cut = true;
            self.buffer.push(WatchItem::Disconnected { cause: cause.clone() });
        }
        told
    }

    /// The buffer is full, or the server cancelled the watch: it is not on a stream any more.
    pub(crate) fn detach(&mut self, phase: Phase) {
        self.phase = phase;
        self.buffer.drop_parts();
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
        self.buffer.drop_parts();
        if result.is_ok() {
            self.buffer.clear();
        }
        // All that is in the queue is given before the error.
        let next = self.next();
        self.phase = Phase::Over(result.map_err(|kind| WatchError::new(kind, next)));
        self.answer(Err(ProgressError::Ended));
    }

    /// The user gives the watch up, and the server has to confirm.
    pub(crate) fn cancelling(&mut self) {
        self.buffer.clear();
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
        let begun = self.buffer.begun();
        // No revision follows the last number there is: one of an event cannot be told from a repetition.
        let sorted = begun.unwrap_or(1) <= first && last < i64::MAX && events.is_sorted_by_key(revision);
        #[cfg(etcdium_planted)]
        let sorted = sorted || self.planted == Some(crate::Planted::FragmentsKept);
        if !sorted {
            return Received::Disordered;
        }
        if more && Some(last) == begun {
            return self.keep(events);
        }
        let mut events = self.buffer.join_parts(events);
        let whole = if more { events.partition_point(|event| revision(event) < last) } else { events.len() };
        let open = events.split_off(whole);
        match self.offer(events) {
            Ok(()) if open.is_empty() => Received::Taken,
            Ok(()) => self.keep(open),
            Err(refused) => refused,
        }
    }

    fn keep(&mut self, events: Vec<mvccpb::Event>) -> Received {
        if self.buffer.keep(events) { Received::Taken } else { Received::Full }
    }

    /// Takes the events of whole revisions, unless they came before or do not fit.
    fn offer(&mut self, mut events: Vec<mvccpb::Event>) -> Result<(), Received> {
        self.drop_repeated(&mut events)?;
        let (fitting, bytes) = self.buffer.fitting(&events);
        let full = fitting < events.len();
        if full {
            events.truncate(fitting);
            events.shrink_to_fit();
        }
        if let Some(last) = events.last().map(revision) {
            self.next = Some(last.saturating_add(1));
            self.last_event = last;
            self.buffer.push_events(events, bytes);
        }
        if full { Err(Received::Full) } else { Ok(()) }
    }

    fn drop_repeated(&mut self, events: &mut Vec<mvccpb::Event>) -> Result<(), Received> {
        let Some(next) = self.next else { return Ok(()) };
        let old = events.partition_point(|event| revision(event) < next);
        // Some servers send events older than asked for (etcd issue 20221): those mean nothing. But what was told to be
        // complete on this very stream must be.
        let told = self.began.max(self.last_event.saturating_add(1));
        let contradiction = events.iter().take(old).map(revision).find(|revision| *revision >= told);
        #[cfg(etcdium_planted)]
        let contradiction = contradiction.filter(|_| {
            !matches!(
                self.planted,
                Some(crate::Planted::ProgressTooEarly | crate::Planted::UntrustedProgress)
            )
        });
        if let Some(revision) = contradiction {
            return Err(Received::Inconsistent(Revision::new(revision)));
        }
        self.repeated += old as u64;
        events.drain(..old);
        Ok(())
    }

    /// The server says that everything up to `revision` was sent. Says whether that was told on.
    pub(crate) fn progress(&mut self, revision: i64) -> bool {
        // Between the fragments of a response nothing can be said of it.
        if revision <= 0 || revision == i64::MAX || self.buffer.begun().is_some() {
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
        self.buffer.push_progress(revision);
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

    /// Whether it began behind all that its server had, which was less than is known, and nothing came since.
    pub(crate) fn waits_below(&self, known: Revision) -> bool {
        self.base != 0 && self.base < known.get() && self.next == Some(self.began)
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
        self.buffer.release();
        let Some(item) = self.buffer.take() else {
            return match &self.phase {
                Phase::Over(result) => Some(WatchNext::End(result.clone())),
                _ => None,
            };
        };
        if let WatchItem::Events { revision, .. } | WatchItem::Progress { revision } = &item {
            self.told = Some(revision.next().get());
        }
        Some(WatchNext::Item(item))
    }

    /// Takes the events that are next, if such are.
    pub(crate) fn take_run(&mut self) -> Option<WatchRun> {
        self.buffer.release();
        let run = self.buffer.take_run()?;
        self.told = run.as_slice().last().map(|last| revision(last).saturating_add(1)).or(self.told);
        Some(run)
    }

    /// The run that was taken last is read.
    pub(crate) fn run_read(&mut self) {
        self.buffer.release();
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffer.is_drained()
    }
}
