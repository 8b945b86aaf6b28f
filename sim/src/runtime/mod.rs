//! A simulated [`Runtime`](etcdium_client::Runtime): the whole client, driver and hyper included, against the model,
//! on one thread and in virtual time.
//!
//! [`Sim`] is the machine: an executor whose order of polls is drawn from the seed, a clock that jumps to the next
//! timer when nobody can go on, and a network of pipes in memory. Clients get a [`SimRuntime`]; the servers are
//! [`http::serve`](crate::http::serve) on the same executor and clock. Equal seeds give equal runs, byte for byte:
//! [`Sim::transcript`].
//!
//! Servers and clients have a processor each. A [`Profile`] makes the clients' one slow: every poll of a client's task
//! and every use of a socket takes time, while the servers go on.
//!
//! | what | where |
//! |---|---|
//! | tasks, the order of polls, the clock | `executor.rs` |
//! | timers | `timer.rs` |
//! | one connection's two byte streams | `pipe.rs` |
//! | who listens where; faults | `network.rs` |
//! | how slow and how nasty | `profile.rs` |

mod executor;
mod network;
mod pipe;
mod profile;
mod state;
mod timer;

pub use executor::{Hang, Sim, SimRuntime};
pub use network::Fault;
pub use profile::{Profile, Range, Reactor};
