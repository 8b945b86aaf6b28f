//! What a watch promises, checked against the truth at every delivery.
//!
//! The guarantees are those of etcd's own robustness suite (the page "KV API guarantees", section "watch APIs", made
//! executable by `tests/robustness/validate/watch.go`), sharpened in three ways: they are judged at each delivery and not
//! at the end; one delivery holds whole revisions ([`WatchRule::Atomic`]); previous values must be right.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use super::truth::{Event, EventKind, Truth};

/// What was asked for, in etcd's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSpec {
    /// The key, or the first of a range.
    pub key: Bytes,
    /// Where the range ends: empty for the key alone, one zero byte for everything from the key on.
    pub range_end: Bytes,
    /// The first revision wanted; 0 for what happens from now on.
    pub start_revision: i64,
    /// Leave out writes.
    pub no_put: bool,
    /// Leave out deletions.
    pub no_delete: bool,
    /// Deliver the previous values.
    pub prev_kv: bool,
}

impl WatchSpec {
    /// Whether this key lies in the range.
    pub fn covers(&self, key: &[u8]) -> bool {
        match &self.range_end[..] {
            [] => key == self.key,
            [0] => key >= &self.key[..],
            end => key >= &self.key[..] && key < end,
        }
    }

    /// Whether this event was asked for.
    pub fn matches(&self, event: &Event) -> bool {
        let filtered = match event.kind {
            EventKind::Put => self.no_put,
            EventKind::Delete => self.no_delete,
        };
        !filtered && self.covers(&event.kv.key)
    }
}

/// What one watch delivered at once, in order, over all its streams and connections.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The watch was confirmed; the revision of the confirmation's header. Repeated when a watch is made anew: only the
    /// first counts.
    Created {
        /// A watch without a start revision begins behind it.
        revision: i64,
    },
    /// Events of one or more whole revisions.
    Events(Vec<Event>),
    /// A bookmark: everything up to this revision has been delivered.
    Progress {
        /// The newest revision that is complete.
        revision: i64,
    },
    /// The watch ended since what it would deliver next is compacted.
    Compacted {
        /// The oldest revision there is.
        oldest: i64,
    },
}

/// A guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchRule {
    /// Only what was asked for.
    Filter,
    /// No event older than one already delivered.
    Ordered,
    /// No event twice.
    Unique,
    /// All events of a revision in one delivery.
    Atomic,
    /// No gap, and nothing that did not happen: between the first and the last, exactly the events of the truth.
    Reliable,
    /// A watch from a revision begins with the first matching event at or behind it.
    Resumable,
    /// Nothing follows a bookmark that it covers; bookmarks do not go back, nor beyond the truth.
    Bookmarkable,
    /// An event says that it made its key exactly if the key was absent before.
    IsCreate,
    /// Previous values come when asked for and are right.
    Previous,
    /// A watch ends as compacted only if what it would deliver next is compacted, and then delivers no more.
    Compaction,
}

impl WatchRule {
    /// Its name, as violations print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "a watch delivers what was asked for",
            Self::Ordered => "a watch delivers in order",
            Self::Unique => "a watch delivers once",
            Self::Atomic => "a watch delivers whole revisions",
            Self::Reliable => "a watch has no gap",
            Self::Resumable => "a watch begins where it should",
            Self::Bookmarkable => "a bookmark is final",
            Self::IsCreate => "a watch tells creations",
            Self::Previous => "previous values are right",
            Self::Compaction => "compacted is what is compacted",
        }
    }
}

/// A guarantee that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchViolation {
    /// Which one.
    pub rule: WatchRule,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for WatchViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch, {:?}: {}", self.rule, self.detail)
    }
}

/// The history of one watch, judged as it grows.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchChecker {
    spec: WatchSpec,
    /// The first revision not covered yet; none while it cannot be known.
    next: Option<i64>,
    /// The newest revision of an event delivered.
    newest: i64,
    /// The newest bookmark.
    bookmark: i64,
    /// Whether events have been delivered.
    begun: bool,
    ended: bool,
}

impl WatchChecker {
    /// A watch that has delivered nothing yet.
    pub fn new(spec: WatchSpec) -> Self {
        let next = (spec.start_revision > 0).then_some(spec.start_revision);
        Self { spec, next, newest: 0, bookmark: 0, begun: false, ended: false }
    }

    /// What was asked for.
    pub fn spec(&self) -> &WatchSpec {
        &self.spec
    }

    /// The first revision that is still to be delivered; none before a watch without a start revision is confirmed or
    /// delivers something.
    pub fn next_revision(&self) -> Option<i64> {
        self.next
    }

    /// Whatever lies before this revision is settled otherwise.
    pub fn skip_to(&mut self, revision: i64) {
        self.next = self.next.map(|next| next.max(revision));
    }

    /// Whether its end was delivered.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// The matching events of the truth that were not delivered yet: at the end, when nothing is in the way any more,
    /// there must be none.
    pub fn missing<'a>(&'a self, truth: &'a Truth) -> impl Iterator<Item = &'a Event> {
        let first = if self.ended { i64::MAX } else { self.next.unwrap_or(i64::MAX) };
        truth.between(first, i64::MAX).iter().filter(|event| self.spec.matches(event))
    }

    /// Judges one more delivery.
    pub fn deliver(&mut self, truth: &Truth, delivery: &Delivery) -> Vec<WatchViolation> {
        let mut faults = Faults::default();
        if self.ended {
            faults.add(WatchRule::Compaction, || format!("{delivery:?} follows the end"));
        }
        match delivery {
            Delivery::Created { revision } => {
                self.next.get_or_insert(revision + 1);
            }
            Delivery::Events(events) => self.events(truth, events, &mut faults),
            Delivery::Progress { revision } => self.progress(truth, *revision, &mut faults),
            Delivery::Compacted { oldest } => self.compacted(truth, *oldest, &mut faults),
        }
        faults.0
    }

    fn events(&mut self, truth: &Truth, events: &[Event], faults: &mut Faults) {
        let before = self.newest;
        for (index, event) in events.iter().enumerate() {
            let revision = event.revision();
            if !self.spec.matches(event) {
                faults.add(WatchRule::Filter, || format!("{event:?} was not asked for"));
            }
            if revision < self.newest {
                faults.add(WatchRule::Ordered, || format!("{event:?} follows revision {}", self.newest));
            }
            if revision <= self.bookmark {
                faults
                    .add(WatchRule::Bookmarkable, || format!("{event:?} follows bookmark {}", self.bookmark));
            }
            if revision == before {
                faults.add(WatchRule::Atomic, || format!("{event:?}: part of its revision came earlier"));
            }
            let same = |other: &Event| other.revision() == revision && other.kv.key == event.kv.key;
            // What came with an earlier delivery cannot be told from what was never to be delivered again.
            let twice =
                events.iter().take(index).any(same) || revision <= before && truth.events().iter().any(same);
            if twice {
                faults.add(WatchRule::Unique, || format!("{event:?} came twice"));
            }
            self.one(truth, event, faults);
            self.newest = self.newest.max(revision);
        }
        self.complete(truth, events, faults);
        self.begun |= !events.is_empty();
        self.cover(self.newest);
    }

    /// What can be said of an event by itself.
    fn one(&self, truth: &Truth, event: &Event, faults: &mut Faults) {
        let revision = event.revision();
        let real = truth.between(revision, revision).iter().find(|real| real.kv.key == event.kv.key);
        let Some(real) = real else {
            return faults.add(WatchRule::Reliable, || format!("{event:?} never happened"));
        };
        let created = event.kind == EventKind::Put && real.previous.is_none();
        if event.is_create() != created {
            faults.add(WatchRule::IsCreate, || format!("{event:?}; before: {:?}", real.previous));
        } else if (event.kind, &event.kv) != (real.kind, &real.kv) {
            faults.add(WatchRule::Reliable, || format!("{event:?} was {real:?}"));
        }
        let compacted = revision - 1 < truth.compact_revision();
        let right = match (self.spec.prev_kv, &event.previous) {
            (false, previous) => previous.is_none(),
            // The server reads the value of the revision before, which may be gone by now.
            (true, None) => real.previous.is_none() || compacted,
            (true, previous) => *previous == real.previous,
        };
        if !right {
            faults.add(WatchRule::Previous, || format!("{event:?}; before: {:?}", real.previous));
        }
    }

    /// Whether anything is missing among these events or before them.
    fn complete(&self, truth: &Truth, events: &[Event], faults: &mut Faults) {
        let Some(last) = events.iter().map(Event::revision).max() else { return };
        let oldest = events.iter().map(Event::revision).min().unwrap_or(last);
        let first = self.next.unwrap_or(oldest);
        for real in truth.between(first, last).iter().filter(|event| self.spec.matches(event)) {
            let same = |event: &Event| event.revision() == real.revision() && event.kv.key == real.kv.key;
            if events.iter().any(same) {
                continue;
            }
            let sibling = events.iter().any(|event| event.revision() == real.revision());
            let asked = self.spec.start_revision > 0;
            let later = self.begun || self.bookmark > 0 || !asked || real.revision() > oldest;
            let rule = match (sibling, later) {
                (true, _) => WatchRule::Atomic,
                (false, true) => WatchRule::Reliable,
                (false, false) => WatchRule::Resumable,
            };
            faults.add(rule, || format!("{real:?} is missing"));
        }
        // Later ones that are too old have broken another rule.
        let early = |next: &i64| oldest < *next && oldest > self.bookmark && !self.begun;
        if let Some(next) = self.next.filter(early) {
            faults.add(WatchRule::Resumable, || format!("revision {oldest} before the start at {next}"));
        }
        // Within a revision the order is that of the operations.
        let wanted = truth.between(first, last).iter().filter(|event| self.spec.matches(event));
        let wanted = wanted.map(|event| (event.revision(), &event.kv.key));
        let got = events.iter().map(|event| (event.revision(), &event.kv.key));
        if faults.0.is_empty() && !wanted.eq(got) {
            faults.add(WatchRule::Ordered, || format!("order within a revision: {events:?}"));
        }
    }

    fn progress(&mut self, truth: &Truth, revision: i64, faults: &mut Faults) {
        if revision < self.bookmark.max(self.newest) {
            let known = self.bookmark.max(self.newest);
            faults.add(WatchRule::Bookmarkable, || format!("bookmark {revision} behind revision {known}"));
        }
        if revision > truth.revision() {
            let newest = truth.revision();
            faults.add(WatchRule::Bookmarkable, || format!("bookmark {revision} beyond revision {newest}"));
        }
        if let Some(next) = self.next {
            for real in truth.between(next, revision).iter().filter(|event| self.spec.matches(event)) {
                let rule = WatchRule::Reliable;
                faults.add(rule, || format!("{real:?} is missing before bookmark {revision}"));
            }
        }
        self.bookmark = self.bookmark.max(revision);
        self.cover(revision);
    }

    fn compacted(&mut self, truth: &Truth, oldest: i64, faults: &mut Faults) {
        if oldest > truth.compact_revision() {
            let known = truth.compact_revision();
            faults.add(WatchRule::Compaction, || format!("compacted at {oldest}, but it was at {known}"));
        }
        if let Some(next) = self.next.filter(|next| *next >= oldest) {
            faults.add(WatchRule::Compaction, || format!("compacted at {oldest}, but {next} was next"));
        }
        self.ended = true;
    }

    /// Everything up to this revision is settled.
    fn cover(&mut self, revision: i64) {
        if revision > 0 {
            self.next = Some(self.next.unwrap_or(0).max(revision + 1));
        }
    }
}

/// Violations of one delivery; the text is made only where there is one.
#[derive(Debug, Default)]
struct Faults(Vec<WatchViolation>);

impl Faults {
    fn add(&mut self, rule: WatchRule, detail: impl FnOnce() -> String) {
        self.0.push(WatchViolation { rule, detail: detail() });
    }
}
