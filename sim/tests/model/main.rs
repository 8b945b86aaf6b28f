//! The model etcd, from outside: calls in, answers out.

#![allow(clippy::expect_used, dead_code, reason = "tests and their toolbox")]

mod kv;
mod lease;
mod maintenance;
mod members;
mod proxy;
mod random;
mod support;
mod txn;
mod watch;
