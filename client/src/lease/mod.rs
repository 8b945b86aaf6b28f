//! Leases: plain calls, and leases that keep themselves alive.
//!
//! | file | holds |
//! |---|---|
//! | `calls.rs`, `response.rs` | grant, revoke, time to live, list; their answers |
//! | `request.rs` | what begins to keep a lease alive |
//! | `handle.rs` | what holds a lease that is kept alive |
//! | `held.rs` | how such a handle meets the core |

mod calls;
mod handle;
mod held;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use calls::{Grant, Leases, Revoke, TimeToLive};
pub use handle::{Lease, LeaseKeeper};
pub use request::{KeepAlive, KeepAliveOnce, KeepFuture, NewLease};
pub use response::{
    GrantResponse, KeepAliveResponse, LeaseInfo, LeasesResponse, RevokeResponse, TimeToLiveResponse,
};
