//! Leases of the core: some seeds, and that the mix meets what it is there for.

use etcdium_sim::world::Mix;

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
