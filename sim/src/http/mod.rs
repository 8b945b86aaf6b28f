//! The model served over HTTP/2: hyper's server on any byte stream, with gRPC as grpc-go speaks it.
//!
//! | what | where |
//! |---|---|
//! | the cluster behind a lock, who waits for its outputs, its timers | `host.rs` |
//! | what it serves: a cluster, or a proxy in front of one | `backend.rs` |
//! | one connection | `connection.rs` |
//! | one call: its request's frames in, its answers out | `exchange.rs` |
//! | what a request's head must say; trailers | `head.rs` |
//! | what a connection runs on | `runner.rs` |

mod backend;
mod connection;
mod exchange;
mod head;
mod host;
mod runner;
mod stream;

pub use connection::serve;
pub use host::Host;
pub use runner::{BoxFuture, Runner};
