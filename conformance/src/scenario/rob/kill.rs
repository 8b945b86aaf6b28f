//! Members are killed while everybody works.

use std::time::Duration;

use super::traffic::{Load, run};
use crate::scenario::{Need, Scenario, Topology};

pub(super) const CASES: &[Scenario] = &[
    // That reads and writes are linearizable is not judged here.
    Scenario::new(
        "ROB-018",
        Topology::OneMember,
        "watches tell all that happened, whoever is killed",
        |ctx| Box::pin(run(ctx, Load { members: 1, kills: 2, writes: 60, progress: false })),
    )
    .needs(NEEDS)
    .limit(LIMIT),
    Scenario::new(
        "ROB-018",
        Topology::ThreeMembers,
        "watches tell all that happened, whoever is killed",
        |ctx| Box::pin(run(ctx, Load { members: 3, kills: 2, writes: 60, progress: false })),
    )
    .variant("3N")
    .needs(NEEDS)
    .limit(LIMIT),
    Scenario::new(
        "ROB-021",
        Topology::OneMember,
        "progress covers what was told, whoever is killed",
        |ctx| Box::pin(run(ctx, Load { members: 1, kills: 2, writes: 60, progress: true })),
    )
    .needs(NEEDS)
    .limit(LIMIT),
];

const NEEDS: &[Need] = &[Need::Control, Need::Compaction, Need::Quiet, Need::Progress];

const LIMIT: Duration = Duration::from_secs(180);
