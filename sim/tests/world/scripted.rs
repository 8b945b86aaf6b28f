//! Watches and leases of the scripted client: done right they break no rule, and every mistake is noticed.

use std::time::Instant;

use etcdium_sim::world::{Campaign, Mistake, Mix, RunOptions, run_campaign};

/// Runs seeds until one breaks a rule: which one, and which rule.
fn first_broken(mistake: Option<Mistake>, seeds: u64, twice_every: u64) -> Option<(u64, String)> {
    let mut options = RunOptions::new(Instant::now());
    options.mistake = mistake;
    let campaign =
        Campaign { mix: Mix::Scripted, first: 0, seeds, jobs: 2, twice_every, stop_after: 1, options };
    let report = run_campaign(&campaign, |_, _| {});
    report.broken.into_iter().next().map(|(seed, violation)| (seed, violation.to_string()))
}

#[test]
fn a_client_that_does_it_right_breaks_no_rule_and_runs_repeat() {
    assert_eq!(first_broken(None, 200, 1), None);
}

#[test]
fn every_mistake_is_noticed() {
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        match first_broken(Some(*mistake), 4_000, 0) {
            Some((seed, how)) => println!("{mistake:?}: seed {seed}: {how}"),
            None => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
