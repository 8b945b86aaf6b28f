//! One client's core in a virtual world: time, network and cluster are simulated, and everything that happens is
//! decided by a [`Script`], which comes from a seed.
//!
//! | what | where |
//! |---|---|
//! | scripts, and how seeds become scripts | `script.rs`, `generate.rs` |
//! | the world's state and its loop over time | `mod.rs`, `queue.rs` |
//! | steps carried out, faults that last | `steps.rs` |
//! | the client's side: operations, the driver's duties | `client.rs`, `request.rs` |
//! | the network: connections, requests there, answers back | `lines.rs`, `network.rs`, `answers.rs` |
//! | one whole run, from the script to its verdict | `run.rs` |
//! | watches of the core | `watching/` |
//! | leases of the core | `leasing/` |
//! | watches and leases, by a scripted client | `scripted/` |
//! | many runs, shrinking, printing | `campaign.rs`, `shrink.rs`, `trace.rs` |

mod answers;
mod campaign;
mod client;
mod front;
mod generate;
mod leasing;
mod lines;
mod network;
mod queue;
mod records;
mod request;
mod run;
mod script;
mod scripted;
mod shrink;
mod steps;
mod streams;
mod trace;
mod watching;

use std::time::{Duration, Instant};

use etcdium_core::Core;

use crate::check::{Check, Counts, Fact, Ledger, View, all};
use crate::model::Backup;
use crate::rng::{Rng, mix};

pub use campaign::{Campaign, CampaignReport, differ, run_campaign};
pub use leasing::{LeasePlan, LeaseSource};
pub use records::{
    Answer, Asked, CallRecord, ConnectionRecord, Failed, LinkStage, OpRecord, OpState, Outcome, Passage,
    PauseRecord, Said, done_by,
};
pub use run::{Report, RunOptions, Violation, run};
pub use script::{
    Action, Cut, Decoy, Fault, Limits, Mix, Options, Reading, Request, Script, Scripted, Setup, Step,
    StreamSetup,
};
pub use scripted::Mistake;
pub use shrink::{Edit, Shrunk, shrink};
pub use trace::TraceMode;
pub use watching::{Begin, Ending, How, Keys, ProgressRecord, Reader, WatchPlan, WatchRecord, WatchState};

use answers::Heads;
use client::Handle;
use front::Front;
use leasing::Leasing;
use lines::Line;
use network::{Happening, Place, Stream};
use queue::Queue;
use request::Known;
use trace::Trace;
use watching::Watching;

/// The most that may happen in one run: the busiest seeds stay far below it.
const MOST_EVENTS: u64 = 500_000;
/// The most that may happen while no time passes.
const MOST_AT_ONCE: u64 = 20_000;

/// The state of a run.
pub(crate) struct World {
    script: Script,
    /// The time of the script's zero.
    start: Instant,
    now: Instant,
    core: Core,
    cluster: Front,
    queue: Queue<Happening>,
    /// The driver's chance, for what no step decides.
    rng: Rng,
    // What checkers see.
    checks: Vec<Box<dyn Check>>,
    ledger: Ledger,
    ops: Vec<OpRecord>,
    calls: Vec<CallRecord>,
    connections: Vec<ConnectionRecord>,
    counts: Counts,
    pauses: Vec<PauseRecord>,
    // What they do not.
    handles: Vec<Option<Handle>>,
    streams: Vec<Stream>,
    watching: Watching,
    leasing: Leasing,
    lines: Vec<Line>,
    places: Vec<Place>,
    heads: Heads,
    /// Faults that are not mended: which, where, until when.
    faults: Vec<(Fault, usize, Instant)>,
    known: Known,
    backup: Option<Backup>,
    /// The client does not run until then.
    asleep: Option<Instant>,
    /// Whether the driver has something to carry out, and will.
    undrained: bool,
    /// The core was woken then, since the last drain, and nothing was told since.
    woken: Option<Instant>,
    events: u64,
    /// How much happened since time went on last, and when that was.
    at_once: (Instant, u64),
    trace: Trace,
    violation: Option<Violation>,
}

impl World {
    fn new(script: &Script, options: &RunOptions) -> Self {
        let start = options.start;
        let places = network::places(&script.setup);
        let config = client::config(script, &places, options);
        Self {
            start,
            now: start,
            core: Core::new(config, start, mix(&[script.seed, 2])),
            cluster: network::cluster(script, start, 3),
            queue: Queue::new(),
            rng: Rng::of(&[script.seed, 4]),
            checks: all().into_iter().chain(options.extra.map(|extra| extra())).collect(),
            ledger: Ledger::default(),
            ops: Vec::with_capacity(script.steps.len()),
            calls: Vec::with_capacity(script.steps.len()),
            connections: Vec::new(),
            counts: Counts::default(),
            pauses: Vec::new(),
            handles: Vec::with_capacity(script.steps.len()),
            streams: Vec::with_capacity(script.steps.len()),
            watching: Watching::default(),
            leasing: Leasing::new(start),
            lines: Vec::new(),
            places,
            heads: Heads::default(),
            faults: Vec::new(),
            known: Known::default(),
            backup: None,
            asleep: None,
            undrained: false,
            woken: None,
            events: 0,
            at_once: (start, 0),
            trace: Trace::new(options.trace),
            violation: None,
            script: script.clone(),
        }
    }

    /// Lets everything happen that is due until `end`, as long as `going` says so and no rule is broken.
    fn advance(&mut self, end: Instant, going: impl Fn(&Self) -> bool) {
        while self.violation.is_none() && going(self) {
            let cluster = self.cluster.poll_timeout();
            let queue = self.queue.next_at();
            // A client that does not run wakes no timers.
            let core = self.core.poll_timeout().map(|at| self.asleep.map_or(at, |asleep| at.max(asleep)));
            let next = [cluster, queue, core].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.events += 1;
            self.count();
            if self.asleep.is_some_and(|asleep| asleep <= self.now) {
                self.asleep = None;
            }
            let core_first = core == Some(at) && !self.script.setup.news_first;
            if cluster == Some(at) {
                self.cluster.handle_timeout(self.now);
                self.collect();
            } else if queue == Some(at) && !core_first {
                if let Some((number, what)) = self.queue.pop_numbered() {
                    self.happen(number, what);
                }
            } else {
                self.wake();
            }
        }
        if self.violation.is_none() && going(self) {
            self.now = self.now.max(end);
        }
    }

    /// Counts something that happened: runs end.
    fn count(&mut self) {
        if self.at_once.0 != self.now {
            self.at_once = (self.now, 0);
        }
        self.at_once.1 += 1;
        if self.at_once.1 > MOST_AT_ONCE || self.events > MOST_EVENTS {
            let (events, at_once, reason) = (self.events, self.at_once.1, self.core.timeout_reason());
            let how = format!(
                "{events} things happened, the last {at_once} at one time; the core waits for {reason:?}"
            );
            self.violate("the run terminates", how);
        }
    }

    /// Shows the checkers what happened. Only the first violation counts.
    fn check(&mut self, fact: &Fact<'_>) {
        if self.violation.is_some() {
            return;
        }
        let view = View {
            now: self.now,
            core: &self.core,
            cluster: &self.cluster,
            ledger: &self.ledger,
            setup: &self.script.setup,
            ops: &self.ops,
            calls: &self.calls,
            connections: &self.connections,
            counts: self.counts,
            pauses: &self.pauses,
            watches: &self.watching.records,
            truths: &self.watching.truths,
        };
        for check in &mut self.checks {
            if let Err(how) = check.see(&view, fact) {
                self.violation = Some(Violation { rule: check.name(), how, at: self.now - self.start });
                return;
            }
        }
    }

    /// Notes a violation of a rule that the world itself keeps.
    fn violate(&mut self, rule: &'static str, how: String) {
        let at = self.now - self.start;
        self.violation.get_or_insert(Violation { rule, how, at });
    }

    fn since_start(&self) -> Duration {
        self.now - self.start
    }
}
