//! Watches and leases against the model, by a scripted client at the level of calls: what the checkers of watches and
//! leases ([`crate::check`]) are tried on. The core has no part in it.
//!
//! | what | where |
//! |---|---|
//! | scripts out of seeds | `plan.rs` |
//! | a watch stream of the client, a lease of the client | `stream.rs`, `holder.rs` |
//! | what the client can be made to do wrong | `mistake.rs` |
//! | the members, or a grpc-proxy before them | `world/front.rs` |
//! | calls on their way there and back | `wire.rs` |
//! | steps and faults carried out | `steps.rs` |
//! | the client's side of calls, and its judgement | `client.rs` |
//! | the run | `mod.rs` |
//!
//! A restore under the same cluster id cannot be told from a member that is behind, by no client: its watches are begun
//! anew then, without a verdict. Behind a proxy nothing is restored and nothing is asked of the end, since
//! the proxy drops watches without a word.

mod client;
mod holder;
mod mistake;
mod plan;
mod steps;
mod stream;
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::check::{LeaseChecker, Truths, WatchChecker};
use crate::model::{Backup, Cluster};
use crate::rng::Rng;

use super::front::Front;
use super::network;
use super::queue::Queue;
use super::run::{Report, RunOptions, Violation};
use super::script::{Fault, Script, Scripted};
use super::trace::Trace;
pub use mistake::Mistake;

use holder::Holder;
use stream::Stream;
use wire::Call;

/// So long after the last fault was mended every stream is open again: an engine's ping takes 15 s to fail.
const REST: Duration = Duration::from_secs(25);
/// So long after a write everybody has heard of it.
const HEARD: Duration = Duration::from_secs(10);

/// Something that happens at its time.
#[derive(Debug)]
pub(super) enum Happening {
    /// A step of the script.
    Step(usize),
    /// The fault of this step is mended.
    Mend(usize),
    /// The next message of this call arrives at the server.
    Arrive(usize),
    /// The next message of this call arrives at the client.
    Back(usize),
    /// The client notices that the connection of this call is dead.
    Notice(usize),
    /// The client opens this stream.
    Connect(usize),
    /// The client looks at this lease.
    Look(usize),
}

/// A stream of the client with what judges its watches.
#[derive(Debug)]
struct Session {
    stream: Stream,
    call: Option<usize>,
    judges: Vec<Judge>,
}

#[derive(Debug)]
struct Judge {
    checker: WatchChecker,
    /// Which truth it is judged by: that of the first answer.
    epoch: Option<usize>,
}

/// A run.
pub(super) struct Life<'a> {
    script: &'a Script,
    streams: &'a Scripted,
    mistake: Option<Mistake>,
    start: Instant,
    now: Instant,
    front: Front,
    queue: Queue<Happening>,
    /// The client's chance.
    rng: Rng,
    faults: Vec<(Fault, usize, Instant)>,
    calls: Vec<Call>,
    sessions: Vec<Session>,
    holders: Vec<Holder>,
    /// What happened between two restores each.
    truths: Truths,
    leases: LeaseChecker,
    /// Every lease ever asked for.
    granted: BTreeMap<i64, Granted>,
    backup: Option<Backup>,
    /// The client does not run until then.
    asleep: Option<Instant>,
    events: u64,
    ops: u64,
    trace: Trace,
    violation: Option<Violation>,
}

/// Carries a script out.
pub(super) fn run(script: &Script, streams: &Scripted, options: &RunOptions) -> Report {
    let mut life = Life::new(script, streams, options);
    life.live();
    Report {
        events: life.events,
        ops: life.ops,
        faults: script.faults() as u64,
        hash: life.trace.hash(),
        trace: life.trace.into_text(),
        violation: life.violation,
    }
}

impl<'a> Life<'a> {
    fn new(script: &'a Script, streams: &'a Scripted, options: &RunOptions) -> Self {
        let start = options.start;
        Self {
            script,
            streams,
            mistake: options.mistake,
            start,
            now: start,
            front: network::cluster(script, start, 22),
            queue: Queue::new(),
            rng: Rng::of(&[script.seed, 24]),
            faults: Vec::new(),
            calls: Vec::new(),
            sessions: Vec::new(),
            holders: (0..streams.leases).map(|_| Holder::new(start, options.mistake)).collect(),
            truths: Truths::default(),
            leases: LeaseChecker::new(start),
            granted: BTreeMap::new(),
            backup: None,
            asleep: None,
            events: 0,
            ops: 0,
            trace: Trace::new(options.trace),
            violation: None,
        }
    }

    fn live(&mut self) {
        for (index, step) in self.script.steps.iter().enumerate() {
            self.queue.push(self.start + step.at, Happening::Step(index));
        }
        self.learn();
        self.begin();
        self.advance(self.start + self.script.quiet_at() + Duration::from_millis(1));
        self.advance(self.now + REST);
        self.write_last();
        self.advance(self.now + HEARD);
        self.judge_end();
    }

    /// Lets everything happen that is due until `end`.
    fn advance(&mut self, end: Instant) {
        while self.violation.is_none() {
            let (front, queue) = (self.front.poll_timeout(), self.queue.next_at());
            let Some(at) = front.into_iter().chain(queue).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.events += 1;
            if front == Some(at) {
                self.front.handle_timeout(self.now);
                self.collect();
            } else if let Some((_, what)) = self.queue.pop() {
                self.happen(what);
            }
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, what: Happening) {
        let held = match &what {
            Happening::Arrive(call) => self.held_there(self.calls[*call].place),
            Happening::Back(call) => self.asleep.max(self.held_back(self.calls[*call].place)),
            Happening::Notice(_) | Happening::Connect(_) | Happening::Look(_) => self.asleep,
            Happening::Step(_) | Happening::Mend(_) => None,
        };
        if let Some(until) = held.filter(|until| *until > self.now) {
            return self.queue.push(until, what);
        }
        match what {
            Happening::Step(index) => self.step(index),
            Happening::Mend(index) => self.mend(index),
            Happening::Arrive(call) => self.arrive(call),
            Happening::Back(call) => self.back(call),
            Happening::Notice(call) => self.broken(call),
            Happening::Connect(session) => self.connect(session),
            Happening::Look(holder) => self.look(holder),
        }
    }

    fn violate(&mut self, rule: &'static str, how: String) {
        let at = self.now - self.start;
        self.violation.get_or_insert(Violation { rule, how, at });
    }

    /// The truth learns what was committed.
    fn learn(&mut self) {
        let cluster: &Cluster = &self.front;
        self.truths.update(cluster);
        for (lease, known) in &mut self.granted {
            let (expiry, exists) = (cluster.lease_expiry(*lease), cluster.has_lease(*lease));
            if expiry.is_some() {
                self.leases.observe(*lease, expiry);
            } else if exists && !known.seen {
                // The leader has yet to apply the grant, and counts from then.
                self.leases.observe(*lease, Some(self.now + known.ttl));
            }
            if !exists {
                self.leases.observe(*lease, None);
            }
            known.seen |= exists;
        }
    }

    /// The server says that it granted or renewed a lease: what it promises counts, though the lease may be gone again
    /// since the last look.
    fn learn_promise(&mut self, lease: i64, renewed: Option<i64>) {
        let counted = self.front.lease_expiry(lease).is_some();
        let Some(known) = self.granted.get_mut(&lease).filter(|_| !counted) else { return };
        let ttl = match renewed {
            Some(ttl) if ttl > 0 => Duration::from_secs(ttl.unsigned_abs()),
            None if !known.seen => known.ttl,
            _ => return,
        };
        known.seen = true;
        self.leases.observe(lease, Some(self.now + ttl));
    }
}

/// What is known of a lease.
#[derive(Debug)]
struct Granted {
    ttl: Duration,
    /// It was there at some time.
    seen: bool,
}
