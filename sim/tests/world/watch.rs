//! Watches of the core: some seeds, and that the mix meets what it is there for.

use std::time::Instant;

use etcdium_sim::world::{Campaign, Mix, RunOptions, Script, TraceMode, run, run_campaign};

#[test]
fn seeds_with_watches_break_no_rule_and_repeat() {
    let campaign = Campaign {
        mix: Mix::Watch,
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

/// Watches are parked, compacted, cut and resumed, lose their history and their cluster, and tell progress or cannot.
#[test]
fn watches_meet_what_there_is_to_meet() {
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let traces: String = (0..400).map(|seed| run(&Script::of(Mix::Watch, seed), &options).trace).collect();
    for text in [
        "Compacted { oldest",
        "Err(WatchError { kind: ClusterReset",
        " ClusterReset { cluster",
        "Item(Created",
        "Item(Disconnected",
        "Item(Resumed",
        "Item(Progress",
        "Err(Unsupported)",
        "Err(Behind)",
        "Err(Ended)",
    ] {
        assert!(traces.contains(text), "nothing shows {text:?}");
    }
}
