//! The model etcd: a cluster as a state machine.
//!
//! [`Cluster`] takes calls at the level of gRPC messages and gives [`Output`]s; time is an argument, chance comes
//! from a seed. Equal inputs give equal outputs.
//!
//! | what | where |
//! |---|---|
//! | calls in, outputs out, faults | `cluster/` |
//! | one member's view of the cluster | `member.rs` |
//! | the replicated log, what an entry does | `log.rs`, `state.rs` |
//! | revisions, ranges | `store/` |
//! | transactions | `txn/` |
//! | leases | `lease/` |
//! | watches | `watch/` |
//! | a grpc-proxy in front of a cluster | `proxy.rs` |
//! | one file per service | `rpc/` |
//! | every error etcd gives | `status.rs` |
//!
//! Raft is abstracted. There is one log. A proposal made through a member that has a leader is committed at once (or
//! after [`ClusterConfig::commit_latency`]) and applied to one [`store::Store`], which never forgets an event. A member
//! is a position in the log: a revision up to which it sees the store, and its own compaction revision.

mod call;
mod cluster;
mod config;
mod history;
mod lease;
mod log;
mod member;
mod proxy;
mod rpc;
mod state;
mod status;
pub mod store;
mod txn;
mod watch;

pub use call::{CallId, CallStart, Output};
pub use cluster::{Backup, Cluster};
pub use config::{ClusterConfig, V3_4, V3_5, V3_6, V3_7};
pub use etcdium_proto::Version;
pub use history::{Epoch, History};
pub use proxy::{Proxy, ProxyConfig};
pub use status::Status;
pub use watch::{Disorder, Refusal, WatchConfig, WatchRules};
