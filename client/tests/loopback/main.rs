//! The whole client against servers that misbehave on purpose. No etcd is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod calls;
mod going_away;
mod hostile;
mod lifecycle;
mod load;
mod runtime;
mod server;
mod timers;
mod wrong_servers;
