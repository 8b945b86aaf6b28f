//! Leases of the core: some seeds, and that the mix meets what it is there for.

use std::time::Instant;

use etcdium_sim::world::{Campaign, Mix, RunOptions, Script, TraceMode, run, run_campaign};

#[test]
fn seeds_with_leases_break_no_rule_and_repeat() {
    let campaign = Campaign {
        mix: Mix::Lease,
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
}

/// Leases are granted, kept and renewed once, refused, revoked elsewhere, lost in every way, and given up.
#[test]
fn leases_meet_what_there_is_to_meet() {
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let traces: String = (0..400).map(|seed| run(&Script::of(Mix::Lease, seed), &options).trace).collect();
    for text in [
        "source: Grant(",
        "source: Keep(",
        "source: Once(",
        "Lost { not_found: true }",
        "Lost { not_found: false }",
        "Etcd(LeaseNotFound)",
        "LeaseRevoke",
        "DenyRenewals",
        "RevokeLease",
        "permission denied",
        "(\"release\"",
    ] {
        assert!(traces.contains(text), "{text} never happens");
    }
}
