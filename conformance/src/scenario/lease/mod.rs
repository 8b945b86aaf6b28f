//! Cases about leases: `LEASE-*`.
//!
//! Not here: LEASE-048 and LEASE-049 need no server and are tests of `etcdium-core`, as is the half of LEASE-031 in which an
//! error for one lease ends the stream of all.
//!
//! Where cases speak of the responses of a keep-alive stream, renewals are seen here as states: each moves the time until
//! which the lease lives. Where a stream "ends", the lease is lost, and the reason is told.

use super::Scenario;

mod calls;
mod failpoint;
mod kept;
mod outage;
mod restart;

/// All of them.
pub(super) const CASES: &[&[Scenario]] =
    &[calls::CASES, failpoint::CASES, kept::CASES, outage::CASES, restart::CASES];
