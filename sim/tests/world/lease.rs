//! Leases of the core: some seeds, and that the mix meets what it is there for.

use std::time::{Duration, Instant};

use etcdium_sim::world::{Action, Fault, LeasePlan, LeaseSource, Mix, RunOptions, Script, Step, run};

use crate::{break_no_rule_and_repeat, happen};

#[test]
fn seeds_with_leases_break_no_rule_and_repeat() {
    break_no_rule_and_repeat(Mix::Lease);
}

/// Leases are granted, kept and renewed once, refused, revoked elsewhere, lost in every way, and given up.
#[test]
fn leases_meet_what_there_is_to_meet() {
    let texts = [
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
    ];
    happen(Mix::Lease, &texts);
}

/// A member that lags says that a lease was granted when it was renewed elsewhere and revoked already: whoever renewed it
/// may believe in it until the end of that renewal.
#[test]
fn a_grant_that_is_told_late_takes_nothing_back() {
    let ms = Duration::from_millis;
    let lease = |source| Action::Lease(LeasePlan { source, timeout: ms(10_000), end: None });
    let steps = [
        (100, Action::Fault(Fault::Lag(ms(2_000)), 0, ms(10_000))),
        (200, lease(LeaseSource::Grant(12))),
        (1_400, lease(LeaseSource::Keep(0))),
        (1_800, Action::RevokeLease(0)),
    ];
    let options = RunOptions::new(Instant::now());
    for seed in 0..40 {
        let mut script = Script::of(Mix::Lease, seed);
        let setup = &mut script.setup;
        (setup.members, setup.learners, setup.proxied) = (3, 0, false);
        (setup.decoys, setup.latency) = (Vec::new(), (ms(1), ms(1)));
        let steps = steps.iter().cloned().zip(0..);
        script.steps = steps.map(|((at, action), id)| Step { id, at: ms(at), action }).collect();
        assert_eq!(run(&script, &options).violation, None, "seed {seed}");
    }
}
