//! Cases about transactions: `TXN-*`.
//!
//! Not here: TXN-018 and TXN-021 need no server and are unit tests of `etcdium-client`.

use super::Scenario;

mod branch;
mod outage;
mod rules;

/// All of them.
pub(super) const CASES: &[&[Scenario]] = &[branch::CASES, outage::CASES, rules::CASES];
