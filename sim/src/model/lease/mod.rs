//! Leases: which there are, when they expire, who renews them.

mod ask;
mod leases;
mod lessor;
mod stream;

pub(crate) use ask::{Ask, Asks};
pub(crate) use leases::Leases;
pub(crate) use lessor::{Lessor, Timed};
pub(crate) use stream::KeepAlive;
