//! Conformance suite of the etcdium etcd client against live etcd.
//!
//! * [`chaos`] strikes the members of a cluster at random.
//! * [`differential`] compares the model etcd of `etcdium-sim` with a real one.
//! * [`etcd`] provides server binaries and starts real clusters of them.
//! * [`proxy`] stands between clients and servers and breaks connections.
//! * [`scenario`] holds the cases, each written once for every runtime.
//! * [`soak`] has watches, leases and writers run under chaos, and judges what they were told by the servers' history.
//! * [`suite`] runs the cases, for the test target `live` and for the program `etcdium-conformance`.

#![forbid(unsafe_code)]

pub mod chaos;
pub mod differential;
pub mod etcd;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod soak;
pub mod suite;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
