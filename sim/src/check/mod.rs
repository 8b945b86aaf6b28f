//! What must always be true.
//!
//! * [`Truth`] is what really happened, in the form in which watches are judged.
//! * [`WatchChecker`] judges what one watch delivers, delivery by delivery.
//! * [`LeaseChecker`] judges what a client says of its leases.

mod lease;
mod truth;
mod watch;

pub use lease::{LeaseChecker, LeaseReport, LeaseRule, LeaseViolation};
pub use truth::{Event, EventKind, Truth};
pub use watch::{Delivery, WatchChecker, WatchRule, WatchSpec, WatchViolation};
