//! Cases about watches: `WATCH-*`.
//!
//! Not here: WATCH-064 to WATCH-078 need no server and are tests of `etcdium-core` and `etcdium-client`.
//!
//! Where a case wants to see that nothing more comes, it makes one more change and demands that this is what comes next,
//! rather than to wait; where that cannot be, the wait is short.

use super::Scenario;

mod cancel;
mod compaction;
mod create;
mod events;
mod failpoint;
mod fragments;
mod metrics;
mod options;
mod outage;
mod progress;
mod proxied;
mod read;
mod reconnect;
mod shared;
mod snapshot;

/// All of them.
pub(super) const CASES: &[&[Scenario]] = &[
    cancel::CASES,
    compaction::CASES,
    create::CASES,
    events::CASES,
    failpoint::CASES,
    fragments::CASES,
    metrics::CASES,
    options::CASES,
    outage::CASES,
    progress::CASES,
    proxied::CASES,
    reconnect::CASES,
    shared::CASES,
    snapshot::CASES,
];
