//! Real etcd for tests and the demo: server binaries ([`provision`]) and throw-away clusters of them ([`Cluster`]).
//!
//! Everything here is plain blocking code on threads and child processes, usable below any async runtime. Servers
//! listen on loopback only. Nothing is left running or lying about whatever way the process ends; see `watchdog.rs`.
//!
//! ```no_run
//! use etcdium_conformance::etcd::{ClusterConfig, LaunchError};
//!
//! let cluster = ClusterConfig::three().start()?;
//! println!("clients connect to {:?}", cluster.endpoints());
//! let leader = cluster.wait_leader(std::time::Duration::from_secs(5))?;
//! leader.kill();
//! leader.restart()?;
//! cluster.wait_ready(std::time::Duration::from_secs(30))?;
//! # Ok::<(), LaunchError>(())
//! ```

pub mod provision;

mod cluster;
mod config;
mod error;
mod failpoints;
mod flags;
mod grpc_proxy;
pub(crate) mod http;
mod member;
mod metrics;
mod ports;
mod process;
mod shared;
mod slots;
mod watchdog;

pub use cluster::Cluster;
pub use config::{ClusterConfig, Topology};
pub use error::LaunchError;
pub use grpc_proxy::GrpcProxy;
pub use member::Member;
pub(crate) use ports::Port;
pub use shared::{Shared, shared, shared_version};
