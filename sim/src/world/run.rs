//! One run: a script carried out, brought to rest, closed, and judged.

use std::fmt;
use std::time::{Duration, Instant};

use etcdium_core::Config;

use super::World;
use super::records::{Asked, OpState};
use super::script::{Options, Reading, Request, Script};
use super::scripted::{self, Mistake};
use super::trace::TraceMode;
use crate::check::{Check, Fact};

/// Whatever can end has ended so long after the last fault was mended: a dial time-out, the longest back-off, a
/// silence, a ping and etcd's own time-outs fit in several times.
pub(super) const REST: Duration = Duration::from_secs(60);
/// How many operations may fail, one after the other, before the first one succeeds once the faults are over: writes
/// that hit what the faults left behind, such as connections nobody closed.
const ATTEMPTS: u32 = 100;
/// What is under way arrives, and what the cluster has begun is over, after this time.
const AFTERMATH: Duration = Duration::from_secs(30);

/// How to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// The instant that stands for the script's zero: the world reads no clock.
    pub start: Instant,
    /// What to keep of the run.
    pub trace: TraceMode,
    /// What the scripted client does wrong.
    pub mistake: Option<Mistake>,
    /// A rule to judge by besides all others.
    pub extra: Option<fn() -> Box<dyn Check>>,
    /// The bug to switch on in the core.
    #[cfg(etcdium_planted)]
    pub planted: Option<etcdium_core::Planted>,
}

impl RunOptions {
    /// A run without a trace.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            trace: TraceMode::Off,
            mistake: None,
            extra: None,
            #[cfg(etcdium_planted)]
            planted: None,
        }
    }

    /// Puts what concerns the core into its settings.
    pub(crate) fn apply(&self, config: Config) -> Config {
        #[cfg(etcdium_planted)]
        let config = match self.planted {
            Some(planted) => config.planted(planted),
            None => config,
        };
        config
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// How it was broken.
    pub how: String,
    /// When, counted from the start.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken after {:.6} s: {}: {}", self.at.as_secs_f64(), self.rule, self.how)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// How many things happened.
    pub events: u64,
    /// How many operations were started.
    pub ops: u64,
    /// Faults of the script.
    pub faults: u64,
    /// A hash of all that went into the core and came out, if it was asked for.
    pub hash: u64,
    /// The same as text, if it was asked for.
    pub trace: String,
}

/// Carries a script out. Equal scripts give equal reports.
pub fn run(script: &Script, options: &RunOptions) -> Report {
    if let Some(scripted) = script.setup.streams.as_ref().and_then(|streams| streams.scripted.as_ref()) {
        return scripted::run(script, scripted, options);
    }
    let mut world = World::new(script, options);
    world.ledger.update(&world.cluster);
    world.look_at_truth();
    world.begin();
    world.live();
    Report {
        events: world.events,
        ops: world.ops.len() as u64,
        faults: script.faults() as u64,
        hash: world.trace.hash(),
        trace: world.trace.into_text(),
        violation: world.violation,
    }
}

impl World {
    fn live(&mut self) {
        let quiet = self.start + self.script.quiet_at() + Duration::from_millis(1);
        if self.script.setup.abrupt_close {
            // In the middle of it all; the rest of the script meets a closed client.
            self.advance(self.start + self.script.quiet_at() / 2, |_| true);
            self.close();
            self.advance(quiet, |_| true);
        } else {
            self.advance(quiet, |_| true);
            self.rest();
            self.close();
        }
        self.start_closed();
        self.advance(self.now + AFTERMATH, |_| true);
        self.ledger.update(&self.cluster);
        self.look_at_truth();
        self.check(&Fact::Over);
    }

    /// After the last fault: everything ends, and the client works.
    fn rest(&mut self) {
        self.set_endpoints(u8::MAX);
        self.cluster.lift_limits();
        self.give_up_hopeless();
        self.drop_hopeless_watches();
        self.advance(self.now + REST, |world| !world.is_idle());
        self.check(&Fact::Quiet);
        let mut id = self.script.steps.iter().map(|step| step.id + 1).max().unwrap_or_default();
        for request in [Request::Put(0, None), Request::Get(0, Reading::Linearizable)] {
            let end = self.now + REST;
            let mut attempts = 0;
            loop {
                attempts += 1;
                // An alarm may have been on its way.
                self.cluster.lift_limits();
                let op = self.core.stats().ops_started as usize;
                self.start(id, request, &Options { timeout: Some(None), ..Options::default() });
                id += 1;
                self.advance(end, |world| !world.is_idle());
                if self.violation.is_some() || self.ops[op].state == OpState::Taken(None) {
                    break;
                }
                // Reads are repeated by the core itself, for as long as they have time.
                if self.now >= end || attempts >= ATTEMPTS || matches!(request, Request::Get(..)) {
                    let state = self.ops[op].state;
                    let how = format!("attempt {attempts} of {request:?} when all was mended: {state:?}");
                    self.violate("the client works when the faults are over", how);
                    break;
                }
            }
        }
        self.rest_watches();
        self.rest_leases();
    }

    /// What is started on a closed client ends at once.
    fn start_closed(&mut self) {
        let op = self.core.stats().ops_started as usize;
        self.start_asked(u32::MAX, None, Asked::Connect, &Options::default());
        self.advance(self.now + self.script.setup.turn, |world| !world.is_idle());
        if self.violation.is_none() && !matches!(self.ops[op].state, OpState::Taken(Some(_))) {
            self.violate("a closed client refuses", format!("{:?}", self.ops[op].state));
        }
    }
}
