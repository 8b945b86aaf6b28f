//! Scripts made smaller while they still fail.

use std::time::Duration;

use super::run::{RunOptions, Violation, run};
use super::script::{Action, Options, Script, Setup};

/// The most runs one shrink may take.
const RUNS: usize = 4_000;

/// The smallest script found that breaks the same rule, with how it breaks it: steps are dropped in ever smaller
/// groups, then what is left is made simpler. `None` if the script breaks no rule.
pub fn shrink(script: &Script, options: &RunOptions) -> Option<(Script, Violation)> {
    let violation = run(script, options).violation?;
    let mut shrinking = Shrinking { best: script.clone(), violation, options, runs: 0 };
    loop {
        let before = shrinking.best.clone();
        shrinking.drop_steps();
        shrinking.simplify_setup();
        shrinking.simplify_steps();
        if shrinking.best == before || shrinking.runs >= RUNS {
            return Some((shrinking.best, shrinking.violation));
        }
    }
}

struct Shrinking<'a> {
    best: Script,
    violation: Violation,
    options: &'a RunOptions,
    runs: usize,
}

impl Shrinking<'_> {
    /// Keeps the candidate if it breaks the same rule.
    fn keep(&mut self, candidate: Script) -> bool {
        if candidate == self.best || self.runs >= RUNS {
            return false;
        }
        self.runs += 1;
        match run(&candidate, self.options).violation {
            Some(violation) if violation.rule == self.violation.rule => {
                self.best = candidate;
                self.violation = violation;
                true
            }
            _ => false,
        }
    }

    fn drop_steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while from < self.best.steps.len() {
                let mut candidate = self.best.clone();
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

    fn simplify_setup(&mut self) {
        let changes: &[fn(&mut Setup)] = &[
            |setup| setup.decoys.clear(),
            |setup| setup.learners = 0,
            |setup| setup.members = 1,
            |setup| setup.members = 2,
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
        ];
        for change in changes {
            let mut candidate = self.best.clone();
            change(&mut candidate.setup);
            if candidate.setup.members <= self.best.setup.members {
                self.keep(candidate);
            }
        }
    }

    fn simplify_steps(&mut self) {
        for index in 0..self.best.steps.len() {
            let changes: &[fn(&mut Action)] = &[
                |action| {
                    if let Action::Start(_, options) = action {
                        *options = Options::default();
                    }
                },
                |action| {
                    if let Action::Start(_, options) = action {
                        (options.cancel, options.late) = (None, None);
                    }
                },
                |action| {
                    if let Action::Start(_, options) = action {
                        options.endpoint = None;
                    }
                },
                |action| {
                    if let Action::Fault(_, _, lasting) | Action::Pause(lasting) = action {
                        *lasting = Duration::from_millis(lasting.as_millis() as u64 / 10 * 10);
                    }
                },
            ];
            for change in changes {
                let mut candidate = self.best.clone();
                change(&mut candidate.steps[index].action);
                self.keep(candidate);
            }
            // Round times are easier to read.
            let mut candidate = self.best.clone();
            let at = candidate.steps[index].at;
            candidate.steps[index].at = Duration::from_millis(at.as_millis() as u64 / 10 * 10);
            if candidate.steps.is_sorted_by_key(|step| step.at) {
                self.keep(candidate);
            }
        }
    }
}
