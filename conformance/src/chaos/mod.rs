//! What is done to a cluster at random while others work on it: members are killed, stopped, and cut off from their
//! clients, by a [`Schedule`] that a seed decides; [`Chaos`] carries it out and can undo everything.

mod perform;
mod schedule;
mod thaws;

pub use perform::{Chaos, Performed};
pub use schedule::{Blow, Schedule, Step, Wound};
pub use thaws::Thaws;
