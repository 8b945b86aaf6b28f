//! Event loops: the transport of `embed` on sockets in memory, where every wait, time and failure is made by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod calls;
mod connecting;
mod streams;
mod world;
