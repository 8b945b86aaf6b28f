//! Leases that are kept alive: what is said of them, and the pure parts of keeping them. How they meet streams,
//! connections and operations stands in `machine/leases.rs` and `machine/grants.rs`.

mod keeper;
pub(crate) mod pacing;
mod renewals;

use core::time::Duration;
use std::time::Instant;

use etcdium_proto::etcdserverpb::ResponseHeader;

pub(crate) use self::keeper::{Answered, Fate, Keeper, Renewal, Stage, Starting};
pub(crate) use self::renewals::{Asked, Renewals, Role};
use crate::{Error, LeaseId};

/// What is known of a lease that is kept alive, from [`Core::keeper_state`](crate::Core::keeper_state).
///
/// # Guarantees
///
/// * A lease is never said to live past its expiry on the server: `until` is counted from the time the answered renewal,
///   or the grant, was *sent*, plus the time to live the answer gave. The server counts from later.
/// * It is judged against the time asked for, not against what the machine last did: who was stopped for longer than the
///   lease lives reads [`Lost`](Self::Lost) first of all.
/// * A lost lease stays lost.
/// * Renewals go on until the lease is lost, whatever becomes of streams, connections and members.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LeaseState {
    /// It lives.
    Alive {
        /// Until when it lives at least, without another renewal.
        until: Instant,
    },
    /// It lives, but half of its time has passed without a renewal that was answered; with its renewals at a third of
    /// the time this means trouble. It may become [`Alive`](Self::Alive) again.
    AtRisk {
        /// Until when it lives at least, without another renewal.
        until: Instant,
        /// What the last failed renewal met; a [`Timeout`](crate::ErrorKind::Timeout) if none failed and none was
        /// answered either.
        cause: Error,
    },
    /// It is over, or may be for all that is known. Nothing follows.
    Lost {
        /// Why.
        reason: LeaseLost,
    },
}

/// Why a lease is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseLost {
    /// Its time passed without an answered renewal. The server may keep it a little longer: it counts from later.
    Expired,
    /// The cluster does not know it: it was revoked, or it expired there.
    NotFound,
    /// The client was closed, so nobody renews it any more. The lease itself lives on until its time has passed.
    Closed,
}

/// What becomes of a lease that is no longer kept, for [`Core::release`](crate::Core::release).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDrop {
    /// It is renewed no more, and ends when its time has passed.
    #[default]
    Expire,
    /// It is revoked in the background, and its keys are deleted with it. Nobody hears of a failure: the lease expires
    /// then.
    Revoke,
}

/// A lease that began to be kept alive, from [`Core::started`](crate::Core::started).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kept {
    /// The lease.
    pub id: LeaseId,
    /// Its time to live as the server told it.
    pub ttl: Duration,
    /// The header of the answer, if it had one.
    pub header: Option<ResponseHeader>,
}
