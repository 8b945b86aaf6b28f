//! What the core does, theme by theme, seen from its public contract alone.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod close;
mod connecting;
mod deadlines;
mod endpoints;
mod failover;
mod goaway;
mod hostile;
mod lease_grants;
mod lease_hostile;
mod lease_trouble;
mod leases;
mod limits;
mod metadata;
mod picking;
mod retry;
mod revisions;
mod silence;
mod streams;
mod unary;
mod watch;
