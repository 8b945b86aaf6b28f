//! What waits for the reader of a watch, and what it may take.

use std::collections::VecDeque;
use std::sync::Arc;

use etcdium_proto::mvccpb;

use super::{Events, WatchItem};
use crate::Revision;

/// What an item without events counts for: about what it takes in memory.
pub(crate) const SMALL: usize = 64;

/// The room an empty queue keeps: a burst gives its memory back.
const ROOM: usize = 256;

/// Events that arrived together, of one revision or of several, all of each: from
/// [`Core::watch_next_run`](crate::Core::watch_next_run). It is taken apart by revision.
#[derive(Debug)]
pub struct WatchRun<E = mvccpb::Event>(Rest<E>);

#[derive(Debug)]
enum Rest<E> {
    Whole(Vec<E>),
    Begun { all: Arc<Vec<E>>, at: usize },
}

impl<E> WatchRun<E> {
    /// The events that are left.
    pub fn as_slice(&self) -> &[E] {
        match &self.0 {
            Rest::Whole(events) => events,
            Rest::Begun { all, at } => all.get(*at..).unwrap_or_default(),
        }
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Takes the events of the next revision. `revision` tells that of an event.
    #[inline]
    pub fn take_revision(&mut self, revision: impl Fn(&E) -> Revision) -> Option<(Revision, Events<E>)> {
        if let Rest::Whole(events) = &mut self.0 {
            let (first, last) = (revision(events.first()?), revision(events.last()?));
            let events = core::mem::take(events);
            if first == last {
                return Some((first, Events::from(events)));
            }
            self.0 = Rest::Begun { all: Arc::new(events), at: 0 };
        }
        let Rest::Begun { all, at } = &mut self.0 else { return None };
        let (from, left) = (*at, all.get(*at..)?);
        let first = revision(left.first()?);
        *at += left.iter().position(|event| revision(event) != first).unwrap_or(left.len());
        if *at < all.len() {
            return Some((first, Events::shared(Arc::clone(all), from, *at)));
        }
        let Rest::Begun { all, at } = core::mem::take(self).0 else { return None };
        Some((first, Events::shared(all, from, at)))
    }
}

impl<E: Clone> WatchRun<E> {
    /// The same with each event converted: in place, if what they become is no larger and nothing was taken of it.
    pub fn convert<T>(self, convert: impl Fn(E) -> T) -> WatchRun<T> {
        WatchRun(Rest::Whole(match self.0 {
            Rest::Whole(events) => events.into_iter().map(convert).collect(),
            Rest::Begun { .. } => self.as_slice().iter().cloned().map(convert).collect(),
        }))
    }
}

impl<E> Default for WatchRun<E> {
    fn default() -> Self {
        Self(Rest::Whole(Vec::new()))
    }
}

impl Iterator for WatchRun {
    type Item = (Revision, Events);

    fn next(&mut self) -> Option<(Revision, Events)> {
        self.take_revision(|event| Revision::new(revision(event)))
    }
}

#[derive(Debug)]
enum Entry {
    /// One without events.
    Item(WatchItem),
    /// At least one event, and what all of them take.
    Run(WatchRun, usize),
}

/// The queue of a watch, bounded by its reader's cap. What comes first may be larger: a revision is never split.
#[derive(Debug)]
pub(crate) struct Buffer {
    queue: VecDeque<Entry>,
    /// What the queue takes.
    queued: usize,
    /// What a run takes that its reader has in hand.
    held: usize,
    /// Events of a revision that may not be whole, and what they take.
    parts: Vec<mvccpb::Event>,
    parts_bytes: usize,
    max: usize,
}

impl Buffer {
    pub(crate) fn new(max: usize) -> Self {
        Self { queue: VecDeque::new(), queued: 0, held: 0, parts: Vec::new(), parts_bytes: 0, max }
    }

    /// Bytes of all that is not read: keys, values, and the room events take.
    pub(crate) fn bytes(&self) -> usize {
        self.queued + self.held + self.parts_bytes
    }

    /// Those of what its reader has not taken.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether its reader has read everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.held == 0
    }

    /// Whether this much more may come in.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.is_drained() || self.fits(bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        (self.queued + self.held).saturating_add(bytes) <= self.max
    }

    /// How many of these events, sorted by revision, may come in, all of a revision or none, and what they take.
    pub(crate) fn fitting(&self, events: &[mvccpb::Event]) -> (usize, usize) {
        let all = events.iter().map(cost).sum();
        if self.fits(all) {
            return (events.len(), all);
        }
        let (mut count, mut bytes) = (0, 0);
        for group in events.chunk_by(|one, other| revision(one) == revision(other)) {
            let more = bytes + group.iter().map(cost).sum::<usize>();
            let first = count == 0 && self.is_drained();
            if !first && !self.fits(more) {
                break;
            }
            (count, bytes) = (count + group.len(), more);
        }
        (count, bytes)
    }

    /// Takes in events of whole revisions, sorted, which take so much.
    pub(crate) fn push_events(&mut self, events: Vec<mvccpb::Event>, bytes: usize) {
        self.queued += bytes;
        self.queue.push_back(Entry::Run(WatchRun(Rest::Whole(events)), bytes));
    }

    /// Takes in an item without events.
    pub(crate) fn push(&mut self, item: WatchItem) {
        self.queued += SMALL;
        self.queue.push_back(Entry::Item(item));
    }

    /// Takes in progress. Of several in a row only the last is kept.
    pub(crate) fn push_progress(&mut self, revision: Revision) {
        if let Some(Entry::Item(WatchItem::Progress { revision: latest })) = self.queue.back_mut() {
            *latest = revision;
        } else {
            self.push(WatchItem::Progress { revision });
        }
    }

    /// The revision of which there are events that may not be all.
    pub(crate) fn begun(&self) -> Option<i64> {
        self.parts.first().map(revision)
    }

    /// Keeps events of a revision that may not be whole. They count as if it were: another fragment may only add to them.
    /// Says whether they fit.
    pub(crate) fn keep(&mut self, events: Vec<mvccpb::Event>) -> bool {
        self.parts_bytes += events.iter().map(cost).sum::<usize>();
        if self.parts.is_empty() {
            self.parts = events;
        } else {
            self.parts.extend(events);
        }
        self.has_room(self.parts_bytes)
    }

    /// What is kept, and these events behind it.
    pub(crate) fn join_parts(&mut self, events: Vec<mvccpb::Event>) -> Vec<mvccpb::Event> {
        if self.parts.is_empty() {
            return events;
        }
        let mut parts = core::mem::take(&mut self.parts);
        self.parts_bytes = 0;
        parts.extend(events);
        parts
    }

    /// Drops what may not be whole.
    pub(crate) fn drop_parts(&mut self) {
        self.parts = Vec::new();
        self.parts_bytes = 0;
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    /// Gives the next item.
    pub(crate) fn take(&mut self) -> Option<WatchItem> {
        let item = match self.queue.pop_front()? {
            Entry::Item(item) => {
                self.queued -= SMALL;
                item
            }
            Entry::Run(mut run, bytes) => {
                let (revision, events) = run.next()?;
                if run.is_empty() {
                    self.queued -= bytes;
                } else {
                    // Its list stays whole, and so does what it takes.
                    self.queue.push_front(Entry::Run(run, bytes));
                }
                WatchItem::Events { revision, events }
            }
        };
        self.give_room_back();
        Some(item)
    }

    /// Gives the events that are next, if such are. Those of several revisions count until [`release`](Self::release).
    pub(crate) fn take_run(&mut self) -> Option<WatchRun> {
        match self.queue.pop_front()? {
            Entry::Run(run, bytes) => {
                self.queued -= bytes;
                let events = run.as_slice();
                let single = events.first().map(revision) == events.last().map(revision);
                self.held = if single { 0 } else { bytes };
                self.give_room_back();
                Some(run)
            }
            item => {
                self.queue.push_front(item);
                None
            }
        }
    }

    /// What its reader had in hand is read.
    pub(crate) fn release(&mut self) {
        self.held = 0;
    }

    fn give_room_back(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > ROOM {
            self.queue = VecDeque::new();
        }
    }
}

/// The revision of an event, zero if it has none.
pub(crate) fn revision(event: &mvccpb::Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// What an event takes in memory.
pub(crate) fn cost(event: &mvccpb::Event) -> usize {
    let pair = |kv: &mvccpb::KeyValue| kv.key.len() + kv.value.len();
    size_of::<mvccpb::Event>() + event.kv.as_ref().map_or(0, pair) + event.prev_kv.as_ref().map_or(0, pair)
}
