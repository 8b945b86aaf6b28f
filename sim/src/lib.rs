//! The simulator of etcdium.
//!
//! * [`model`]: what a cluster of etcd members does, as a state machine without I/O, clock or chance of its own.
//! * [`world`]: a client's core on virtual time, its network and the cluster, run by scripts that come from seeds.
//! * [`check`]: what must always be true, as checkers.
//! * [`http`]: the model behind an HTTP/2 server, on any byte stream.
//! * [`runtime`]: a machine in virtual time, on which the whole client runs.
//! * [`serve`]: [`SimServer`], the model on real sockets: an etcd for tests.
//! * [`rng`]: where all chance comes from.

#![forbid(unsafe_code)]

pub mod check;
mod framing;
pub mod http;
pub mod model;
pub mod rng;
pub mod runtime;
pub mod serve;
pub mod world;

pub use serve::SimServer;
