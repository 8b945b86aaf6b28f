//! Leases.

mod lessor;

pub(crate) use lessor::Leases;
