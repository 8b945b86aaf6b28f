//! The etcdium etcd client on async-std.
//!
//! async-std is discontinued (RUSTSEC-2025-0052); this adapter serves those who still run on it. smol, by the same
//! authors, is the living alternative: `etcdium-smol` has the same functions.
//!
//! [`builder`] gives a [`Client`] that runs on async-std's executor. Everything else is
//! `etcdium-client`'s, re-exported here.
//!
#![forbid(unsafe_code)]

mod runtime;

pub use etcdium_client::*;
pub use runtime::AsyncStd;

/// Begins to set up a client on async-std's executor.
pub fn builder() -> ClientBuilder {
    Client::builder(AsyncStd::new())
}
