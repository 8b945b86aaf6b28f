//! Rules for unary operations, one per file.

mod alive;
mod applied_once;
mod bounds;
mod certain;
mod cluster;
mod deadlines;
mod ends_once;
mod has_leader;
mod leases;
mod memory;
mod not_applied;
mod picking;
mod reads;
mod reconnects;
mod resent;
mod revision;
mod served;
mod silence;
mod storms;
#[cfg(test)]
mod tests;
mod timers;
mod transcript;
mod written;

pub(super) use alive::Alive;
pub(super) use applied_once::AppliedOnce;
pub(super) use bounds::Bounds;
pub(super) use certain::Certain;
pub(super) use cluster::ClusterTold;
pub(super) use deadlines::Deadlines;
pub(super) use ends_once::EndsOnce;
pub(super) use has_leader::HasLeader;
pub(super) use leases::Leases;
pub(super) use memory::Memory;
pub(super) use not_applied::NotApplied;
pub(super) use picking::Picking;
pub(super) use reads::Reads;
pub(super) use reconnects::Reconnects;
pub(super) use resent::Resent;
pub(super) use revision::RevisionGrows;
pub(super) use served::Served;
pub(super) use silence::Silence;
pub(super) use storms::Storms;
pub(super) use timers::Timers;
pub(super) use transcript::Transcript;
pub(super) use written::Written;
