//! Scripts made smaller while they still fail.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::run::{RunOptions, Violation, run};
use super::script::{Action, Limits, Options, Script, Setup, Step};
use super::watching::{How, Reader};
use crate::model::Disorder;

/// The most runs one shrink may take.
const RUNS: usize = 4_000;

/// A script made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// It.
    pub script: Script,
    /// What was made simpler, in this order, after all steps but its own were dropped: [`Script::simplify`] does the same.
    pub edits: Vec<Edit>,
    /// The rule it breaks.
    pub violation: Violation,
}

/// One simplification. Its text is what `--with` takes: a number, for the world, or a step and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Of what the world is like.
    Setup(usize),
    /// Of the step with this id.
    Step(u32, usize),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(change) => write!(f, "{change}"),
            Self::Step(id, change) => write!(f, "{id}.{change}"),
        }
    }
}

impl FromStr for Edit {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('.') {
            None => Self::Setup(text.parse()?),
            Some((id, change)) => Self::Step(id.parse()?, change.parse()?),
        })
    }
}

const SETUP: &[fn(&mut Setup)] = &[
    |setup| setup.decoys.clear(),
    |setup| setup.learners = 0,
    // Members are only ever taken away.
    |setup| setup.members = 1,
    |setup| setup.members = setup.members.min(2),
    |setup| setup.commit_latency = Duration::ZERO,
    |setup| setup.pieces = 0,
    |setup| setup.turn = Duration::ZERO,
    |setup| setup.tells_received = true,
    |setup| setup.news_first = true,
    |setup| setup.abrupt_close = false,
    |setup| setup.max_in_flight = 16_384,
    |setup| setup.minor = 7,
    |setup| setup.timeout = Some(Duration::from_secs(10)),
    |setup| setup.latency = (Duration::from_millis(1), Duration::from_millis(1)),
    |setup| setup.limits = Limits::default(),
    |setup| setup.proxied = false,
    |setup| {
        if let Some(streams) = &mut setup.streams {
            streams.disorder = Disorder::default();
        }
    },
    |setup| {
        if let Some(streams) = &mut setup.streams {
            streams.progress_interval = Duration::from_secs(600);
        }
    },
    |setup| {
        if let Some(streams) = &mut setup.streams {
            streams.fragment_bytes = 2_000;
        }
    },
];

const STEP: &[fn(&mut Step)] = &[
    |step| {
        if let Action::Start(_, options) = &mut step.action {
            *options = Options::default();
        }
    },
    |step| {
        if let Action::Start(_, options) = &mut step.action {
            (options.cancel, options.late) = (None, None);
        }
    },
    |step| {
        if let Action::Start(_, options) = &mut step.action {
            options.endpoint = None;
        }
    },
    |step| {
        if let Action::Fault(_, _, lasting) | Action::Pause(lasting) = &mut step.action {
            *lasting = round(*lasting);
        }
    },
    // Round times are easier to read.
    |step| step.at = round(step.at),
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            plan.how = How::PLAIN;
        }
    },
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            let How { notices, progress_notify, created, .. } = &mut plan.how;
            (*notices, *progress_notify, *created) = (false, false, false);
        }
    },
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            let How { no_put, no_delete, prev_kv, fragment, .. } = &mut plan.how;
            (*no_put, *no_delete, *prev_kv, *fragment) = (false, false, false, true);
        }
    },
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            let How { max_buffer, require_leader, lane, endpoint, .. } = &mut plan.how;
            (*max_buffer, *require_leader, *lane, *endpoint) = (None, true, 0, None);
        }
    },
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            plan.reader = Reader::Quick;
        }
    },
    |step| {
        if let Action::Watch(plan) = &mut step.action {
            plan.end = None;
        }
    },
];

fn round(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64 / 10 * 10)
}

impl Script {
    /// Makes one thing simpler. What it does not have is left alone.
    pub fn simplify(&mut self, edit: Edit) {
        match edit {
            Edit::Setup(change) => {
                if let Some(change) = SETUP.get(change) {
                    change(&mut self.setup);
                }
            }
            Edit::Step(id, change) => {
                let step = self.steps.iter_mut().find(|step| step.id == id);
                if let (Some(step), Some(change)) = (step, STEP.get(change)) {
                    change(step);
                }
            }
        }
    }
}

/// The smallest script found that breaks the same rule, with how it breaks it: steps are dropped in ever smaller
/// groups, then what is left is made simpler. `None` if the script breaks no rule.
pub fn shrink(script: &Script, options: &RunOptions) -> Option<Shrunk> {
    let violation = run(script, options).violation?;
    let best = Shrunk { script: script.clone(), edits: Vec::new(), violation };
    let mut shrinking = Shrinking { best, options, runs: 0 };
    loop {
        let before = shrinking.best.script.clone();
        shrinking.drop_steps();
        for change in 0..SETUP.len() {
            shrinking.simplify(Edit::Setup(change));
        }
        for step in &before.steps {
            for change in 0..STEP.len() {
                shrinking.simplify(Edit::Step(step.id, change));
            }
        }
        if shrinking.best.script == before || shrinking.runs >= RUNS {
            let Shrunk { script, edits, violation } = shrinking.best;
            let kept = |id| script.steps.iter().any(|step| step.id == id);
            let matters = |edit: &Edit| {
                matches!(edit, Edit::Setup(_)) || matches!(edit, Edit::Step(id, _) if kept(*id))
            };
            return Some(Shrunk { edits: edits.into_iter().filter(matters).collect(), script, violation });
        }
    }
}

struct Shrinking<'a> {
    best: Shrunk,
    options: &'a RunOptions,
    runs: usize,
}

impl Shrinking<'_> {
    /// Keeps the candidate if it breaks the same rule.
    fn keep(&mut self, candidate: Script) -> bool {
        if candidate == self.best.script || self.runs >= RUNS {
            return false;
        }
        self.runs += 1;
        match run(&candidate, self.options).violation {
            Some(violation) if violation.rule == self.best.violation.rule => {
                self.best.script = candidate;
                self.best.violation = violation;
                true
            }
            _ => false,
        }
    }

    fn drop_steps(&mut self) {
        let mut size = self.best.script.steps.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while from < self.best.script.steps.len() {
                let mut candidate = self.best.script.clone();
                let to = (from + size).min(candidate.steps.len());
                candidate.steps.drain(from..to);
                if !self.keep(candidate) {
                    from += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn simplify(&mut self, edit: Edit) {
        let mut candidate = self.best.script.clone();
        candidate.simplify(edit);
        if candidate.steps.is_sorted_by_key(|step| step.at) && self.keep(candidate) {
            self.best.edits.push(edit);
        }
    }
}
