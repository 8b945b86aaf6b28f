//! Watches of the core: some seeds, and that the mix meets what it is there for.

use etcdium_sim::world::Mix;

use crate::{break_no_rule_and_repeat, happen};

#[test]
fn seeds_with_watches_break_no_rule_and_repeat() {
    break_no_rule_and_repeat(Mix::Watch);
}

/// Watches are parked, compacted, cut and resumed, lose their history and their cluster, and tell progress or cannot.
#[test]
fn watches_meet_what_there_is_to_meet() {
    let texts = [
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
    ];
    happen(Mix::Watch, &texts);
}
