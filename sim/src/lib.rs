//! The simulator of etcdium.
//!
//! * [`model`]: what a cluster of etcd members does, as a state machine without I/O, clock or chance of its own.
//! * [`check`] holds what must always be true, as checkers.

#![forbid(unsafe_code)]

pub mod check;
pub mod model;
