//! Watches of the core in the world: asked for, read and given up as an application does it.
//!
//! | what | where |
//! |---|---|
//! | what a watch is asked to be | `plan.rs` |
//! | what is kept of it for checkers | `records.rs` |
//! | scripts out of seeds (`--mix watch`) | `generate.rs` |
//! | the application's side, and how it comes to rest | `mod.rs` |
//! | the rules | `check/watching/` |

mod generate;
mod plan;
mod records;

use std::time::Duration;

use bytes::Bytes;
use etcdium_core::{
    KeyRange, Metadata, Revision, WatchError, WatchErrorKind, WatchItem, WatchKey, WatchNext, WatchRequest,
    WatchRun,
};

use super::World;
use super::network::Happening;
use super::request::key;
use super::run::REST;
use crate::check::{Fact, Truths, WatchSpec};
use crate::rng::Rng;

pub(super) use generate::generate;
pub use plan::{Begin, Ending, How, Keys, Reader, WatchPlan};
pub use records::{ProgressRecord, WatchRecord, WatchState};

/// How many watches may follow, one after the other, on one that ended for a cause that asks for another.
const FOLLOWERS: u8 = 4;
/// How often it is looked whether all is told.
const LOOK: Duration = Duration::from_millis(100);
/// Every lease has run out after this time.
const LEASES: Duration = Duration::from_secs(12);
/// What the client said has arrived after this time.
const ARRIVED: Duration = Duration::from_secs(2);

/// The watches of the client.
#[derive(Debug, Default)]
pub(super) struct Watching {
    pub(super) records: Vec<WatchRecord>,
    pub(super) truths: Truths,
    readings: Vec<Reading>,
    /// No watch is kept that can never begin.
    hopeful: bool,
    /// Every reader takes what there is.
    hasty: bool,
}

/// How far the application has read a watch.
#[derive(Debug)]
struct Reading {
    taken: u64,
    /// What it took at once, and hands on item by item.
    run: WatchRun,
    /// It will look again.
    planned: bool,
    /// How many watches may follow on it.
    followers: u8,
}

impl World {
    /// The step `id` asks for a watch.
    pub(super) fn watch(&mut self, id: u32, plan: &WatchPlan) {
        self.watch_from(id, plan, None, FOLLOWERS);
    }

    fn watch_from(&mut self, id: u32, plan: &WatchPlan, from: Option<i64>, followers: u8) {
        self.look_at_truth();
        let index = self.watching.records.len();
        let spec = spec(plan, from, self.cluster.committed_revision());
        let place = plan.how.endpoint.and_then(|endpoint| self.places.get(usize::from(endpoint)));
        let pinned = place.and_then(|place| self.core.endpoint_key(&place.address));
        let mut request = request(plan, &spec);
        if let Some(pinned) = pinned {
            request = request.endpoint(pinned);
        }
        self.trace.add(self.since_start(), &("watch", id, &request));
        self.woken = None;
        let key = self.core.watch(self.now, request);
        if key.serial() != index as u64 {
            self.violate("keys of watches are counted", format!("{key:?} is not {index}"));
        }
        self.watching.records.push(WatchRecord {
            id,
            key,
            plan: *plan,
            spec,
            started: self.now,
            epoch: self.watching.truths.epoch(),
            pinned,
            opened: false,
            state: WatchState::Live,
            asked: None,
            asks: 0,
        });
        self.watching.readings.push(Reading {
            taken: 0,
            run: WatchRun::default(),
            planned: false,
            followers,
        });
        self.check(&Fact::WatchStarted(index));
        if let Some((wait, _)) = plan.end.filter(|_| followers == FOLLOWERS) {
            self.queue.push(self.now + wait, Happening::EndWatch(index));
        }
        self.touched();
        if self.watching.hopeful {
            self.give_up_if_hopeless(index);
        }
    }

    /// Whether there was ever a watch.
    pub(super) fn is_watching(&self) -> bool {
        !self.watching.records.is_empty()
    }

    /// The truth is followed to where the cluster is.
    pub(super) fn look_at_truth(&mut self) {
        self.watching.truths.update(&self.cluster);
    }

    /// The application ends a watch as its plan says.
    pub(super) fn end_watch(&mut self, index: usize) {
        if let Some((_, ending)) = self.watching.records[index].plan.end.filter(|_| !self.watching.hasty) {
            self.give_watch_up(index, ending);
        }
    }

    fn give_watch_up(&mut self, index: usize, ending: Ending) {
        let record = &mut self.watching.records[index];
        if !record.is_live() {
            return;
        }
        let key = record.key;
        self.trace.add(self.now - self.start, &(ending, key));
        self.woken = None;
        self.watching.readings[index].run = WatchRun::default();
        match ending {
            Ending::Cancel => {
                record.state = WatchState::Cancelled;
                self.core.cancel_watch(self.now, key);
                self.look_at_watch(index);
            }
            Ending::Drop => {
                record.state = WatchState::Dropped;
                record.asked = None;
                self.core.drop_watch(self.now, key);
                if let Some(next) = self.core.watch_next(self.now, key) {
                    self.violate("a dropped watch is gone", format!("{key:?} gives {next:?}"));
                }
            }
        }
        self.touched();
    }

    /// The application asks one of its watches how far it has come.
    pub(super) fn ask_watch(&mut self, number: usize) {
        let live: Vec<usize> = (0..self.watching.records.len())
            .filter(|index| self.watching.records[*index].is_live())
            .collect();
        let Some(&index) = live.get(number % live.len().max(1)) else { return };
        let asked = ProgressRecord { at: self.now, known: self.core.revision().get() };
        let record = &mut self.watching.records[index];
        record.asked = Some(asked);
        record.asks += 1;
        let key = record.key;
        self.trace.add(self.since_start(), &("ask", key, asked.known));
        self.woken = None;
        self.core.request_progress(self.now, key);
        self.look_at_watch(index);
        self.touched();
    }

    /// The core says that the history it knew is gone: `known` of the present one is all that it knew when it noticed.
    pub(super) fn history_replaced(&mut self, known: Revision) {
        for asked in self.watching.records.iter_mut().filter_map(|record| record.asked.as_mut()) {
            asked.known = asked.known.min(known.get());
        }
    }

    /// The core says that a watch has something to tell.
    pub(super) fn watch_told(&mut self, key: WatchKey) {
        let index = key.serial() as usize;
        if self.watching.records.get(index).is_none_or(|record| !record.is_kept()) {
            return;
        }
        self.look_at_watch(index);
        if !self.watching.readings[index].planned {
            let wait = match self.watching.records[index].plan.reader {
                Reader::Slow(wait) if !self.watching.hasty => wait,
                _ => Duration::ZERO,
            };
            self.plan_reading(index, wait);
        }
    }

    fn plan_reading(&mut self, index: usize, wait: Duration) {
        self.watching.readings[index].planned = true;
        self.queue.push(self.now + wait, Happening::Read(index));
    }

    /// Whether a watch is confirmed, and what it says of its progress.
    fn look_at_watch(&mut self, index: usize) {
        let record = &mut self.watching.records[index];
        let key = record.key;
        if !record.opened && self.core.is_watch_open(key) == Some(true) {
            record.opened = true;
            self.trace.add(self.now - self.start, &("open", key));
            self.look_at_truth();
            self.check(&Fact::WatchOpened(index));
        }
        let Some(asked) = self.watching.records[index].asked else { return };
        if let Some(answer) = self.core.watch_progress(key) {
            self.watching.records[index].asked = None;
            self.trace.add(self.since_start(), &("progress", key, &answer));
            self.look_at_truth();
            self.check(&Fact::ProgressAnswered(index, asked, &answer));
        }
    }

    /// The application takes what a watch has, at its pace.
    pub(super) fn read_watch(&mut self, index: usize) {
        self.watching.readings[index].planned = false;
        while self.violation.is_none() && self.watching.records[index].is_kept() {
            self.look_at_watch(index);
            if !self.take_item(index) {
                break;
            }
            let hasty = self.watching.hasty;
            let taken = self.watching.readings[index].taken;
            match self.watching.records[index].plan.reader {
                Reader::Slow(wait) if !hasty => {
                    self.plan_reading(index, wait);
                    break;
                }
                Reader::Stops(after, lasting) if !hasty && taken == u64::from(after) => {
                    self.plan_reading(index, lasting);
                    break;
                }
                _ => {}
            }
        }
        self.touched();
    }

    /// Takes the next item of a watch, if there is one and not the end.
    fn take_item(&mut self, index: usize) -> bool {
        self.woken = None;
        let key = self.watching.records[index].key;
        let Some(next) = self.next_of_run(index).or_else(|| self.core.watch_next(self.now, key)) else {
            return false;
        };
        self.trace.add(self.since_start(), &(key, &next));
        self.look_at_truth();
        match next {
            WatchNext::Item(item) => {
                self.watching.readings[index].taken += 1;
                self.check(&Fact::WatchItem(index, &item));
                true
            }
            WatchNext::End(result) => {
                self.look_at_watch(index);
                self.check(&Fact::WatchEnded(index, &result));
                self.watching.records[index].state = WatchState::Ended;
                self.succeed(index, &result);
                false
            }
        }
    }

    /// The next item of a watch by way of runs, as every other application takes them. Not every one of those tells when a
    /// run is read.
    fn next_of_run(&mut self, index: usize) -> Option<WatchNext> {
        let key = self.watching.records[index].key;
        let run = &mut self.watching.readings[index].run;
        if index % 2 == 0 {
            return None;
        }
        if run.is_empty() {
            *run = self.core.watch_next_run(self.now, key)?;
        }
        let (revision, events) = run.next()?;
        if run.is_empty() && index % 4 == 1 {
            self.core.watch_run_read(self.now, key);
        }
        Some(WatchNext::Item(WatchItem::Events { revision, events }))
    }

    /// An application that lost its watch begins another one.
    fn succeed(&mut self, index: usize, result: &Result<(), WatchError>) {
        let Some(followers) = self.watching.readings[index].followers.checked_sub(1) else { return };
        let record = &self.watching.records[index];
        let (id, plan) = (record.id, record.plan);
        let now = Rng::of(&[self.script.seed, 33, index as u64]).chance(500);
        let from = match result.as_ref().map_err(WatchError::kind) {
            Err(WatchErrorKind::Compacted { oldest }) => *oldest,
            Err(WatchErrorKind::ClusterReset { revision, .. }) => revision.next(),
            _ => return,
        };
        let from = if now { Revision::ZERO } else { from };
        self.watch_from(id, &plan, Some(from.get()), followers);
    }

    // The end.

    /// Gives up the watches that nothing in the world makes begin, and from now on each that follows on another.
    pub(super) fn drop_hopeless_watches(&mut self) {
        self.watching.hopeful = true;
        for index in 0..self.watching.records.len() {
            self.give_up_if_hopeless(index);
        }
    }

    /// A watch that may only use what is no good member of the cluster never begins.
    fn give_up_if_hopeless(&mut self, index: usize) {
        let setup = &self.script.setup;
        let Some(pinned) = self.watching.records[index].pinned else { return };
        let good = self.places[..setup.members - setup.learners]
            .iter()
            .any(|place| self.core.endpoint_key(&place.address) == Some(pinned));
        if !good {
            self.give_watch_up(index, Ending::Drop);
        }
    }

    /// When the faults are over every watch tells everything, and then all are given up, which leaves nothing behind.
    pub(super) fn rest_watches(&mut self) {
        if !self.is_watching() {
            return;
        }
        self.watching.hasty = true;
        for index in 0..self.watching.records.len() {
            if self.watching.records[index].is_kept() {
                self.plan_reading(index, Duration::ZERO);
            }
        }
        // Leases run out meanwhile, and not when all is told.
        self.advance(self.now + LEASES, |_| true);
        self.wait_for_watches(Self::has_told_events);
        self.wait_for_watches(|world| {
            let answered = world.watching.records.iter().all(|record| record.asked.is_none());
            world.is_idle() && world.has_told_events() && answered
        });
        self.check(&Fact::Settled);
        for index in 0..self.watching.records.len() {
            let ending = if index % 2 == 0 { Ending::Cancel } else { Ending::Drop };
            self.give_watch_up(index, ending);
        }
        self.wait_for_watches(|world| !world.watching.records.iter().any(WatchRecord::is_kept));
        self.check(&Fact::Emptied);
    }

    /// How far all watches together have come.
    fn come(&self) -> i64 {
        let positions =
            self.watching.records.iter().filter_map(|record| self.core.watch_position(record.key));
        positions.map(Revision::get).sum()
    }

    fn wait_for_watches(&mut self, done: impl Fn(&Self) -> bool) {
        let (mut end, mut come) = (self.now + REST, self.come());
        while self.violation.is_none() && self.now < end && !done(self) {
            self.look_at_truth();
            self.advance(self.now + LOOK, |_| true);
            // A wire that brings a few bytes at a time takes long, and as long as anything comes nothing hangs.
            if self.come() > come {
                (end, come) = (self.now + REST, self.come());
            }
        }
        self.advance(self.now + ARRIVED, |_| true);
        self.look_at_truth();
    }

    /// Whether the watches seem to have told everything: the checkers know better.
    fn has_told_events(&self) -> bool {
        let Some(truth) = self.watching.truths.current() else { return true };
        self.watching.records.iter().filter(|record| record.is_kept()).all(|record| {
            let Some(position) = self.core.watch_position(record.key).map(Revision::get) else {
                return false;
            };
            if !self.watching.readings[record.key.serial() as usize].run.is_empty() {
                return false;
            }
            let late = truth.between(position, i64::MAX).iter().any(|event| record.spec.matches(event));
            let lost = position > truth.revision() + 1 && position != record.spec.start_revision;
            record.is_live() && record.opened && !late && !lost
        })
    }

    /// The client was closed: every watch ends at once.
    pub(super) fn close_watches(&mut self) {
        for index in 0..self.watching.records.len() {
            while self.violation.is_none() && self.watching.records[index].is_kept() {
                if !self.take_item(index) && self.watching.records[index].is_kept() {
                    let key = self.watching.records[index].key;
                    self.violate("everything ends", format!("{key:?} has not ended, and the core is closed"));
                }
            }
        }
    }
}

/// A plan in etcd's terms.
fn spec(plan: &WatchPlan, from: Option<i64>, committed: i64) -> WatchSpec {
    let (key, range_end) = match plan.keys {
        Keys::One(of) => (key(of), Bytes::new()),
        Keys::Range(first, end) => (key(first), end_key(end)),
        Keys::From(first) => (key(first), Bytes::from_static(&[0])),
        Keys::All => (Bytes::from_static(b"k"), Bytes::from_static(b"l")),
    };
    let start_revision = from.unwrap_or_else(|| match plan.begin {
        Begin::Now => 0,
        Begin::Past(back) => (committed - i64::from(back)).max(1),
        Begin::Future(ahead) => committed + i64::from(ahead),
    });
    let How { no_put, no_delete, prev_kv, .. } = plan.how;
    WatchSpec { key, range_end, start_revision, no_put, no_delete, prev_kv }
}

/// The end of a range: that of all keys has none of its own.
fn end_key(number: u8) -> Bytes {
    format!("k{number}").into()
}

fn request(plan: &WatchPlan, spec: &WatchSpec) -> WatchRequest {
    let how = &plan.how;
    let range = match plan.keys {
        Keys::One(of) => KeyRange::single(key(of)),
        Keys::Range(first, end) => KeyRange::range(key(first), end_key(end)),
        Keys::From(first) => KeyRange::from_key(key(first)),
        Keys::All => KeyRange::prefix("k"),
    };
    let mut request = WatchRequest::new(range)
        .from_revision(Revision::new(spec.start_revision))
        .puts(!how.no_put)
        .deletes(!how.no_delete)
        .fragment(how.fragment)
        .require_leader(how.require_leader);
    if how.created {
        request = request.created();
    }
    if how.notices {
        request = request.connection_notices(true);
    }
    if how.prev_kv {
        request = request.prev_kv();
    }
    if how.progress_notify {
        request = request.progress_notify();
    }
    if let Some(bytes) = how.max_buffer {
        request = request.max_buffer(usize::from(bytes));
    }
    if how.lane > 0 {
        if let Ok(metadata) = Metadata::new().with("x-lane", &how.lane.to_string()) {
            request = request.metadata(metadata);
        }
    }
    request
}
