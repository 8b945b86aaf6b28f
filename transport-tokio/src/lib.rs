//! The etcdium etcd client on tokio.
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> Result<(), etcdium_tokio::Error> {
//!     let client = etcdium_tokio::connect("127.0.0.1:2379").await?;
//!     client.put("greeting", "hello").await?;
//!     if let Some(kv) = client.get("greeting").await?.kvs.first() {
//!         println!("{:?} = {:?}", kv.key, kv.value);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! [`connect`] takes the defaults, [`builder`] lets everything be set; [`Tokio`]
//! names the runtime, of either flavour, which needs its I/O and time drivers (`enable_all`). Everything else is
//! `etcdium-client`'s, re-exported here. Libraries depend on that crate alone.

#![forbid(unsafe_code)]

mod io;
mod runtime;

pub use etcdium_client::*;
pub use runtime::Tokio;

/// Connects to a cluster with default settings; returns when one endpoint is ready.
///
/// # Errors
/// As [`ClientBuilder::connect`]: what is wrong with the endpoints, or why none could be connected.
///
/// # Cancel safety
/// Dropping the future leaves nothing behind.
pub async fn connect(endpoints: impl Endpoints) -> Result<Client, Error> {
    builder().endpoints(endpoints).connect().await
}

/// Begins to set up a client on the tokio runtime in which it is built.
pub fn builder() -> ClientBuilder {
    Client::builder(Tokio::new())
}
