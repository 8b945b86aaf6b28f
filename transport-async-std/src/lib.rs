//! The etcdium etcd client on async-std.
//!
//! ```no_run
//! fn main() -> Result<(), etcdium_async_std::Error> {
//!     async_std::task::block_on(async {
//!         let client = etcdium_async_std::connect("127.0.0.1:2379").await?;
//!         client.put("greeting", "hello").await?;
//!         if let Some(kv) = client.get("greeting").await?.kvs.first() {
//!             println!("{:?} = {:?}", kv.key, kv.value);
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! [`connect`] takes the defaults, [`builder`] lets everything be set; everything
//! else is `etcdium-client`'s, re-exported here. Libraries depend on that crate alone.

//!
//! async-std is discontinued (RUSTSEC-2025-0052); this adapter serves those who still run on it. smol, by the same
//! authors, is the living alternative: `etcdium-smol` has the same functions.

#![forbid(unsafe_code)]

mod runtime;

pub use etcdium_client::*;
pub use runtime::AsyncStd;

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

/// Begins to set up a client on async-std's executor.
pub fn builder() -> ClientBuilder {
    Client::builder(AsyncStd::new())
}
