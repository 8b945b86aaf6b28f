//! The simulator of etcdium.
//!
//! * [`check`] holds what must always be true, as checkers.

#![forbid(unsafe_code)]

pub mod check;
