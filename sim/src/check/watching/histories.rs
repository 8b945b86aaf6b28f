//! What watches deliver.

use etcdium_core::{Revision, WatchError, WatchErrorKind, WatchItem};

use crate::check::watch::{Delivery, WatchChecker, WatchRule};
use crate::check::{Check, Event, Fact, View};

/// Every watch keeps what [`WatchChecker`] knows of its guarantees, and in the end has delivered everything.
///
/// A watch may come out of a restore under the same cluster id without a word, if the history has grown again as far as
/// the watch had come before anybody could notice: no client can tell that. So a watch may be in several histories as
/// far as anybody can know, and breaks a rule if it breaks one in each of them. That it goes on in the history of another
/// cluster is no such case.
#[derive(Debug, Default)]
pub(in crate::check) struct Histories {
    /// By watch: the histories it may be in, oldest first.
    watches: Vec<Vec<Candidate>>,
    broken: Option<WatchRule>,
    /// By watch: once it is confirmed, the revision that it began behind if it has no start.
    began: Vec<Option<i64>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    epoch: usize,
    checker: WatchChecker,
    /// It came from an earlier history, which had nothing more to deliver before this revision: how far the watch had
    /// come there nobody knows.
    free: Option<i64>,
}

impl Check for Histories {
    fn name(&self) -> &'static str {
        self.broken.map_or("a watch delivers everything", WatchRule::name)
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::WatchStarted(index) => {
                let record = &view.watches[*index];
                let checker = WatchChecker::new(record.spec.clone());
                self.watches.push(vec![Candidate { epoch: record.epoch, checker, free: None }]);
                self.began.push(None);
                Ok(())
            }
            Fact::WatchOpened(index) => self.opened(view, *index),
            Fact::WatchItem(index, item) => self.item(view, *index, item),
            Fact::WatchEnded(index, Err(error)) => self.ended(view, *index, error),
            Fact::Settled if !view.setup.proxied => {
                (0..self.watches.len()).try_for_each(|index| self.told_all(view, index))
            }
            _ => Ok(()),
        }
    }
}

impl Histories {
    fn opened(&mut self, view: &View<'_>, index: usize) -> Result<(), String> {
        // Whichever history there is now may be its first.
        self.spread(view, index);
        let record = &view.watches[index];
        let Some(position) = view.core.watch_position(record.key).map(Revision::get) else {
            return self.fail(WatchRule::Resumable, "it is open and has no position".into());
        };
        let start = record.spec.start_revision;
        if start > 0 && position != start {
            return self.fail(WatchRule::Resumable, format!("it begins at {position}, not at {start}"));
        }
        if start == 0 {
            self.deliver(view, index, &Delivery::Created { revision: position - 1 })?;
        }
        self.began[index] = Some(position - 1);
        Ok(())
    }

    fn item(&mut self, view: &View<'_>, index: usize, item: &WatchItem) -> Result<(), String> {
        match item {
            WatchItem::Created { revision } => {
                let now = view.watches[index].spec.start_revision == 0;
                // It may have ended before its application looked.
                if now && self.began[index].is_none() {
                    self.began[index] = Some(revision.get());
                    return self.deliver(view, index, &Delivery::Created { revision: revision.get() });
                }
                let known = self.began[index];
                if now && Some(revision.get()) != known {
                    let how = format!("confirmed at {revision}, and it begins behind {known:?}");
                    return self.fail(WatchRule::Resumable, how);
                }
                Ok(())
            }
            WatchItem::Events { revision, events } => {
                let events: Vec<Event> = events.iter().cloned().map(Event::from).collect();
                if events.is_empty() || events.iter().any(|event| event.revision() != revision.get()) {
                    return self.fail(WatchRule::Atomic, format!("{events:?} as revision {revision}"));
                }
                self.deliver(view, index, &Delivery::Events(events))
            }
            WatchItem::Progress { revision } => {
                self.deliver(view, index, &Delivery::Progress { revision: revision.get() })
            }
            _ => Ok(()),
        }
    }

    fn ended(&mut self, view: &View<'_>, index: usize, error: &WatchError) -> Result<(), String> {
        // Everything before the revision it names was given.
        if let Some(next) = error.next_revision().map(Revision::get) {
            self.spread(view, index);
            let before = self.watches[index].clone();
            let told = |candidate: &Candidate| {
                let Some(truth) = view.truths.get(candidate.epoch) else { return false };
                let missing = candidate.checker.missing(truth).next().map(Event::revision);
                let known = candidate.checker.next_revision().unwrap_or_default();
                candidate.free.is_some() || (next >= known && missing.is_none_or(|missing| missing >= next))
            };
            self.watches[index].retain(told);
            if self.watches[index].is_empty() {
                return self.fail(WatchRule::Reliable, format!("it ends at {next}, but was in {before:?}"));
            }
        }
        match error.kind() {
            WatchErrorKind::Compacted { oldest } => {
                self.deliver(view, index, &Delivery::Compacted { oldest: oldest.get() })
            }
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, view: &View<'_>, index: usize, delivery: &Delivery) -> Result<(), String> {
        self.spread(view, index);
        let mut fault = None;
        self.watches[index].retain_mut(|candidate| {
            let Some(truth) = view.truths.get(candidate.epoch) else { return false };
            candidate.settle(delivery);
            let faults = candidate.checker.deliver(truth, delivery);
            let first = faults.into_iter().next();
            let good = first.is_none();
            fault = fault.take().or(first);
            good
        });
        let candidates = core::mem::take(&mut self.watches[index]);
        for candidate in candidates {
            if !self.watches[index].contains(&candidate) {
                self.watches[index].push(candidate);
            }
        }
        match fault {
            Some(fault) if self.watches[index].is_empty() => {
                let record = &view.watches[index];
                let how =
                    format!("{:?} of step {}, {:?}: {}", record.key, record.id, record.spec, fault.detail);
                self.fail(fault.rule, how)
            }
            _ => Ok(()),
        }
    }

    /// A watch may be in later histories too: from each that it may have been in so far, and from where it has come there
    /// by now, also if it may have gone over before.
    fn spread(&mut self, view: &View<'_>, index: usize) {
        let opened = self.began[index].is_some();
        let candidates = &mut self.watches[index];
        for epoch in 1..=view.truths.epoch() {
            let same = |candidate: &&Candidate| {
                let cluster = view.truths.cluster(candidate.epoch);
                candidate.epoch < epoch && (!opened || cluster == view.truths.cluster(epoch))
            };
            let before: Vec<Candidate> = candidates.iter().filter(same).cloned().collect();
            for from in before {
                let mut candidate = Candidate { epoch, ..from.clone() };
                if let Some(truth) = view.truths.get(from.epoch).filter(|_| opened) {
                    let missing = from.checker.missing(truth).next().map(Event::revision);
                    let free = missing.unwrap_or_else(|| truth.revision() + 1);
                    candidate.free = Some(from.free.unwrap_or(free).max(free));
                }
                if !candidates.contains(&candidate) {
                    candidates.push(candidate);
                }
            }
        }
    }

    fn told_all(&mut self, view: &View<'_>, index: usize) -> Result<(), String> {
        let record = &view.watches[index];
        if !record.is_live() {
            return Ok(());
        }
        self.spread(view, index);
        let (Some(truth), epoch) = (view.truths.current(), view.truths.epoch()) else { return Ok(()) };
        let mut missing = Err(format!("{:?} of step {} watches what is gone", record.key, record.id));
        for current in self.watches[index].iter().filter(|candidate| candidate.epoch == epoch) {
            let from = current.free.unwrap_or_default();
            let Some(event) = current.checker.missing(truth).find(|event| event.revision() >= from) else {
                return Ok(());
            };
            let (key, id, spec) = (record.key, record.id, &record.spec);
            missing = Err(format!("{key:?} of step {id}, {spec:?}, has not delivered {event:?}"));
        }
        missing
    }

    fn fail(&mut self, rule: WatchRule, how: String) -> Result<(), String> {
        self.broken = Some(rule);
        Err(how)
    }
}

impl Candidate {
    /// What is delivered shows how far the watch had come.
    fn settle(&mut self, delivery: &Delivery) {
        let from = match delivery {
            Delivery::Events(events) => events.first().map_or(0, Event::revision),
            Delivery::Progress { revision } => revision + 1,
            Delivery::Created { .. } | Delivery::Compacted { .. } => return,
        };
        if let Some(free) = self.free.take() {
            self.checker.skip_to(from.min(free));
        }
    }
}
