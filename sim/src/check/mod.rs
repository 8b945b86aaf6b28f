//! What must always be true.
//!
//! * [`Check`] is a rule, [`all`] the registry of those that every step of a world (`world::run`) is judged by;
//!   `unary/` and `watching/` hold them, one per file.
//! * [`Ledger`] is what really happened, in the form in which answers to unary operations are judged.
//! * [`Truth`] is what really happened, in the form in which watches are judged.
//!   [`Truths`] are those between all restores.
//! * [`WatchChecker`] judges what one watch delivers, delivery by delivery.
//! * [`LeaseChecker`] judges what a client says of its leases.

mod judge;
mod lease;
mod ledger;
mod truth;
mod truths;
mod unary;
mod watch;
mod watching;

pub use judge::{Check, Counts, Fact, View, all};
pub use lease::{LeaseChecker, LeaseReport, LeaseRule, LeaseViolation};
pub use ledger::{Ledger, Mark, mark};
pub use truth::{Event, EventKind, Truth};
pub use truths::Truths;
pub use watch::{Delivery, WatchChecker, WatchRule, WatchSpec, WatchViolation};
