//! The simulated world: some seeds, and that runs repeat and shrink.

mod watch;

use std::time::{Duration, Instant};

use etcdium_sim::world::{
    Action, Campaign, Mix, Options, Request, RunOptions, Script, Step, TraceMode, run, run_campaign, shrink,
};

/// Some seeds break no rule, and every one of them runs twice alike.
#[test]
fn seeds_break_no_rule_and_repeat() {
    let campaign = Campaign {
        mix: Mix::Unary,
        first: 1_000_000,
        seeds: 200,
        jobs: 2,
        twice_every: 1,
        stop_after: 1,
        options: RunOptions::new(Instant::now()),
    };
    let report = run_campaign(&campaign, |_, _| {});
    assert_eq!(report.broken, []);
    assert_eq!(report.seeds, 200);
    assert!(report.events / report.seeds > 200, "{report:?}");
    assert!(report.faults / report.seeds >= 3, "{report:?}");
}

/// The instant that stands for zero makes no difference, the seed does.
#[test]
fn transcripts_depend_on_the_seed_alone() {
    let hash = |seed, start| {
        let mut options = RunOptions::new(start);
        options.trace = TraceMode::Hash;
        run(&Script::generate(seed), &options).hash
    };
    let start = Instant::now();
    assert_eq!(hash(1, start), hash(1, start + Duration::from_secs(1_000)));
    assert_ne!(hash(1, start), hash(2, start));
}

/// A script whose steps are few is carried out as it says, and what breaks no rule is not shrunk.
#[test]
fn scripts_can_be_written_by_hand() {
    let mut script = Script::generate(3);
    let start = Action::Start(Request::Put(0, None), Options::default());
    script.steps = vec![Step { id: 0, at: Duration::from_millis(5), action: start }];
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let report = run(&script, &options);
    assert_eq!(report.violation, None);
    assert!(report.trace.contains("\"start\", 0, Put(PutRequest"), "{}", report.trace);
    assert!(shrink(&script, &options).is_none());
}
