//! Answers to calls about leases.

use core::time::Duration;

use bytes::Bytes;
use etcdium_core::{Error, Kept, LeaseId};
use etcdium_proto::etcdserverpb::{
    LeaseGrantResponse, LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse,
};

use crate::ResponseHeader;
use crate::response::{count, unreadable};

/// The answer to a [`Grant`](crate::Grant).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrantResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
    /// The lease.
    pub id: LeaseId,
    /// The time to live that was granted, in whole seconds: at least what was asked for.
    pub ttl: Duration,
}

impl GrantResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, id: LeaseId, ttl: Duration) -> Self {
        Self { header, id, ttl }
    }
}

impl TryFrom<LeaseGrantResponse> for GrantResponse {
    type Error = Error;

    fn try_from(message: LeaseGrantResponse) -> Result<Self, Error> {
        Ok(Self { header: message.header.into(), id: lease_id(message.id)?, ttl: seconds(message.ttl) })
    }
}

/// The answer to a [`Revoke`](crate::Revoke).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokeResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
}

impl RevokeResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader) -> Self {
        Self { header }
    }
}

impl TryFrom<LeaseRevokeResponse> for RevokeResponse {
    type Error = Error;

    fn try_from(message: LeaseRevokeResponse) -> Result<Self, Error> {
        Ok(Self { header: message.header.into() })
    }
}

/// The answer to a [`TimeToLive`](crate::TimeToLive).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeToLiveResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
    /// The lease; `None` if there is none with this id: never granted, revoked, or expired.
    pub lease: Option<LeaseInfo>,
}

impl TimeToLiveResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, lease: Option<LeaseInfo>) -> Self {
        Self { header, lease }
    }
}

/// A living lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The lease.
    pub id: LeaseId,
    /// The time it has left, in whole seconds, rounded down.
    pub remaining: Duration,
    /// The time to live it was granted, in whole seconds: what a renewal brings it back to.
    pub granted: Duration,
    /// The keys tied to it, if asked for.
    pub keys: Vec<Bytes>,
}

impl LeaseInfo {
    /// A lease, for tests and fakes.
    pub const fn new(id: LeaseId, remaining: Duration, granted: Duration, keys: Vec<Bytes>) -> Self {
        Self { id, remaining, granted, keys }
    }
}

impl TryFrom<LeaseTimeToLiveResponse> for TimeToLiveResponse {
    type Error = Error;

    fn try_from(message: LeaseTimeToLiveResponse) -> Result<Self, Error> {
        let lease = if message.ttl < 0 {
            None
        } else {
            Some(LeaseInfo {
                id: lease_id(message.id)?,
                remaining: seconds(message.ttl),
                granted: seconds(message.granted_ttl),
                keys: message.keys,
            })
        };
        Ok(Self { header: message.header.into(), lease })
    }
}

/// The answer to a [`Leases`](crate::Leases).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeasesResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
    /// The leases, in no particular order.
    pub leases: Vec<LeaseId>,
}

impl LeasesResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, leases: Vec<LeaseId>) -> Self {
        Self { header, leases }
    }
}

impl TryFrom<LeaseLeasesResponse> for LeasesResponse {
    type Error = Error;

    fn try_from(message: LeaseLeasesResponse) -> Result<Self, Error> {
        let leases = message.leases.into_iter().filter_map(|lease| LeaseId::new(lease.id)).collect();
        Ok(Self { header: message.header.into(), leases })
    }
}

fn lease_id(id: i64) -> Result<LeaseId, Error> {
    LeaseId::new(id).ok_or_else(|| unreadable("the lease has the id 0"))
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(count(seconds))
}

/// The answer to a [`KeepAliveOnce`](crate::KeepAliveOnce).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAliveResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
    /// The lease.
    pub id: LeaseId,
    /// The time it lives from now on, in whole seconds: what it was granted.
    pub ttl: Duration,
}

impl KeepAliveResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, id: LeaseId, ttl: Duration) -> Self {
        Self { header, id, ttl }
    }
}

impl From<Kept> for KeepAliveResponse {
    fn from(kept: Kept) -> Self {
        Self { header: kept.header.into(), id: kept.id, ttl: kept.ttl }
    }
}
