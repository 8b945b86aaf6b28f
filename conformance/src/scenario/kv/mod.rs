//! Cases about keys and values: `KV-*`.
//!
//! Not here: KV-048, KV-049 and KV-050, KV-056, KV-057 need no server and are unit tests of `etcdium-client` and
//! `etcdium-core`.

use super::Scenario;

mod compact;
mod delete;
mod examples;
mod get;
mod limits;
mod monotonic;
mod outage;
mod put;
mod quorum;
mod table;

/// All of them.
pub(super) const CASES: &[&[Scenario]] = &[
    compact::CASES,
    delete::CASES,
    examples::CASES,
    get::CASES,
    limits::CASES,
    monotonic::CASES,
    outage::CASES,
    put::CASES,
    quorum::CASES,
    table::CASES,
];
