//! The etcdium etcd client on smol.
//!
//! [`builder`] gives a [`Client`] that runs on smol's global executor; [`Smol::on`] takes an executor of
//! one's own. Everything else is `etcdium-client`'s, re-exported here.
//!
#![forbid(unsafe_code)]

mod runtime;

pub use etcdium_client::*;
pub use runtime::Smol;

/// Begins to set up a client on smol's global executor.
pub fn builder() -> ClientBuilder {
    Client::builder(Smol::new())
}
