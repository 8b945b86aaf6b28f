//! Many seeds, on as many threads as wanted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::run::{Report, RunOptions, Violation, run};
use super::script::{Mix, Script};
use super::trace::TraceMode;

/// Seeds taken by a thread at a time.
const BATCH: u64 = 32;

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What the scripts are about.
    pub mix: Mix,
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// How many threads.
    pub jobs: usize,
    /// Every so many seeds one is run twice, and both runs have to be equal; 0 for none.
    pub twice_every: u64,
    /// Stops after so many seeds that broke a rule.
    pub stop_after: usize,
    /// How each is run.
    pub options: RunOptions,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct CampaignReport {
    /// Seeds run.
    pub seeds: u64,
    /// Things that happened.
    pub events: u64,
    /// Operations started.
    pub ops: u64,
    /// Faults.
    pub faults: u64,
    /// Seeds that broke a rule, by seed.
    pub broken: Vec<(u64, Violation)>,
}

/// Runs the seeds; `progress` is told how many are done and how many broke a rule. What is found does not depend on the
/// number of threads, unless it stops early.
pub fn run_campaign(campaign: &Campaign, progress: impl Fn(u64, usize) + Sync) -> CampaignReport {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(CampaignReport::default());
    std::thread::scope(|scope| {
        for _ in 0..campaign.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= campaign.seeds {
                        return;
                    }
                    let mut batch = CampaignReport::default();
                    for seed in from..(from + BATCH).min(campaign.seeds) {
                        batch.add(campaign.first + seed, campaign);
                    }
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.merge(batch);
                    if report.broken.len() >= campaign.stop_after {
                        stop.store(true, Ordering::Relaxed);
                    }
                    progress(report.seeds, report.broken.len());
                }
            });
        }
    });
    let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.broken.sort_by_key(|(seed, _)| *seed);
    report
}

impl CampaignReport {
    fn add(&mut self, seed: u64, campaign: &Campaign) {
        let script = Script::of(campaign.mix, seed);
        let twice = campaign.twice_every > 0 && seed % campaign.twice_every == 0;
        let Report { events, ops, faults, violation, .. } =
            if twice { run_twice(&script, &campaign.options) } else { run(&script, &campaign.options) };
        self.seeds += 1;
        self.events += events;
        self.ops += ops;
        self.faults += faults;
        self.broken.extend(violation.map(|violation| (seed, violation)));
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.ops += other.ops;
        self.faults += other.faults;
        self.broken.extend(other.broken);
    }
}

fn run_twice(script: &Script, options: &RunOptions) -> Report {
    let options = RunOptions { trace: TraceMode::Hash, ..options.clone() };
    let (mut one, two) = (run(script, &options), run(script, &options));
    if one.violation.is_none() {
        one.violation = differ(&one, &two);
    }
    one
}

/// The rule that equal scripts give equal transcripts: how two reports of one script, with their hashes, break it.
pub fn differ(one: &Report, two: &Report) -> Option<Violation> {
    (one.hash != two.hash).then(|| Violation {
        rule: "equal seeds and inputs give equal outputs",
        how: format!("transcripts with hashes {:x} and {:x}", one.hash, two.hash),
        at: Duration::ZERO,
    })
}
