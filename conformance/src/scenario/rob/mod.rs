//! Cases about robustness: `ROB-*`.
//!
//! Not here: ROB-001 to ROB-008 are the rules of `etcdium-sim`'s checkers; they are also those of [`judge`], by which the
//! cases here are judged.

use super::Scenario;

mod compaction;
mod judge;
mod kill;
mod traffic;

/// All of them.
pub(super) const CASES: &[&[Scenario]] = &[compaction::CASES, kill::CASES];
