//! An etcd inside of a process, for tests: the model on loopback sockets.
//!
//! | what | where |
//! |---|---|
//! | settings; options of `etcdium-sim serve` | `builder.rs`, `args.rs` |
//! | the server, its faults | `server.rs` |
//! | its executor, and the clock it runs by | `engine.rs` |
//! | one member's port | `port.rs` |
//! | connections that can be paused | `gate.rs` |

pub mod args;
mod builder;
mod engine;
mod gate;
mod port;
mod server;

pub use builder::SimServerBuilder;
pub use server::SimServer;
