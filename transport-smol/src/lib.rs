//! The etcdium etcd client on smol.
//!
//! ```no_run
//! fn main() -> Result<(), etcdium_smol::Error> {
//!     smol::block_on(async {
//!         let client = etcdium_smol::connect("127.0.0.1:2379").await?;
//!         client.put("greeting", "hello").await?;
//!         if let Some(kv) = client.get("greeting").await?.kvs.first() {
//!             println!("{:?} = {:?}", kv.key, kv.value);
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! [`connect`] takes the defaults, [`builder`] lets everything be set; [`Smol`]
//! names the executor: smol's global one, or one of your own. Everything else is `etcdium-client`'s, re-exported here.
//! Libraries depend on that crate alone.

#![forbid(unsafe_code)]

mod runtime;

pub use etcdium_client::*;
pub use runtime::Smol;

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

/// Begins to set up a client on smol's global executor.
pub fn builder() -> ClientBuilder {
    Client::builder(Smol::new())
}
