//! The etcdium etcd client on tokio.
//!
//! [`builder`] gives a [`Client`] that runs on the current tokio runtime, of either flavour. Everything
//! else is `etcdium-client`'s, re-exported here.
//!
#![forbid(unsafe_code)]

mod io;
mod runtime;

pub use etcdium_client::*;
pub use runtime::Tokio;

/// Begins to set up a client on the tokio runtime in which it is built.
pub fn builder() -> ClientBuilder {
    Client::builder(Tokio::new())
}
