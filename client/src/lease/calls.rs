//! Leases, as plain calls: grant, revoke, time to live, list.

use core::time::Duration;

use etcdium_core::{InvalidRequest, LeaseId};
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};

use super::{GrantResponse, LeasesResponse, RevokeResponse, TimeToLiveResponse};
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// The creation of a lease: [`Client::grant`], or detached [`Grant::new`].
///
/// etcd counts in whole seconds. The time to live is rounded up to the next one, and etcd raises what is below its
/// minimum, 2 s by default; [`GrantResponse::ttl`] is what was granted.
///
/// # Errors
/// [`InvalidRequest`] before anything is sent for a time to live of zero. From etcd
/// ([`EtcdError`](crate::EtcdError)): `LeaseTtlTooLarge` above 9,000,000,000 s, `LeaseExist` for an [`id`](Self::id)
/// that is taken. [`Error::outcome`](crate::Error::outcome) tells whether a failed grant may have made a lease.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, a lease may have been made all the same; it ends when
/// its time is over.
///
/// The Go client's `Grant` (`client/v3/lease.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Grant<C = Unbound> {
    ttl: Duration,
    id: Option<LeaseId>,
    options: C,
}

/// The end of a lease: [`Client::revoke`], or detached [`Revoke::new`].
///
/// # Errors
/// From etcd ([`EtcdError`](crate::EtcdError)): `LeaseNotFound`, `PermissionDenied`.
/// [`Error::outcome`](crate::Error::outcome) tells whether a failed revocation may have ended the lease.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, the lease may have ended all the same.
///
/// The Go client's `Revoke` (`client/v3/lease.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Revoke<C = Unbound> {
    id: LeaseId,
    options: C,
}

/// The question how long a lease has left: [`Client::time_to_live`], or detached [`TimeToLive::new`]. Since etcd 3.1.
///
/// # Errors
/// That there is no such lease is no error: [`TimeToLiveResponse::lease`] is `None` then. From etcd:
/// `PermissionDenied`.
///
/// # Cancel safety
/// Dropping the future gives the call up. A read leaves nothing behind.
///
/// The Go client's `TimeToLive` (`client/v3/lease.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct TimeToLive<C = Unbound> {
    request: LeaseTimeToLiveRequest,
    options: C,
}

/// The list of leases: [`Client::leases`], or detached [`Leases::new`]. Since etcd 3.3.
///
/// # Errors
/// From etcd ([`EtcdError`](crate::EtcdError)): `PermissionDenied`.
///
/// # Cancel safety
/// Dropping the future gives the call up. A read leaves nothing behind.
///
/// The Go client's `Leases` (`client/v3/lease.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Leases<C = Unbound> {
    options: C,
}

impl Client {
    /// Makes a lease that ends after `ttl`, unless it is renewed. Nothing renews it by itself. [`Grant`] says
    /// more about options, errors and cancelling.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let lease = client.grant(Duration::from_secs(30)).await?.id;
    /// client.put("alive", "yes").lease(lease).await?;
    /// client.revoke(lease).await?; // deletes the key
    /// # Ok(()) }
    /// ```
    pub fn grant(&self, ttl: Duration) -> Grant<Bound> {
        Grant { ttl, id: None, options: Bound::new(self) }
    }

    /// Ends a lease and deletes the keys tied to it. [`Revoke`] says more about errors and cancelling.
    pub fn revoke(&self, lease: LeaseId) -> Revoke<Bound> {
        Revoke { id: lease, options: Bound::new(self) }
    }

    /// Asks how long a lease has left, and with [`TimeToLive::keys`] which keys are tied to it.
    /// [`TimeToLive`] says more about errors and cancelling.
    ///
    /// ```no_run
    /// use etcdium_client::{Client, Error, LeaseId};
    ///
    /// # async fn example(client: Client, id: LeaseId) -> Result<(), Error> {
    /// match client.time_to_live(id).keys().await?.lease {
    ///     Some(lease) => println!("{:?} left, {} keys", lease.remaining, lease.keys.len()),
    ///     None => println!("ended"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn time_to_live(&self, lease: LeaseId) -> TimeToLive<Bound> {
        TimeToLive::bind(lease, Bound::new(self))
    }

    /// Lists the leases that the member asked knows. A member answers by itself, so it may lag behind.
    /// [`Leases`] says more about errors and cancelling.
    pub fn leases(&self) -> Leases<Bound> {
        Leases { options: Bound::new(self) }
    }
}

impl Grant {
    /// The creation of a lease, belonging to no client.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, id: None, options: Unbound }
    }
}

impl<C> Grant<C> {
    /// The lease's id. Default: the server chooses one.
    pub fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    fn build(self) -> (Result<LeaseGrantRequest, InvalidRequest>, C) {
        let request = if self.ttl.is_zero() {
            Err(InvalidRequest::Value { option: "ttl", reason: "must not be zero" })
        } else {
            Ok(LeaseGrantRequest { ttl: whole_seconds(self.ttl), id: LeaseId::to_wire(self.id) })
        };
        (request, self.options)
    }
}

/// Seconds, rounded up. What does not fit becomes the highest number, which etcd refuses as it does anything above its
/// limit.
fn whole_seconds(duration: Duration) -> i64 {
    let started = u64::from(duration.subsec_nanos() > 0);
    i64::try_from(duration.as_secs().saturating_add(started)).unwrap_or(i64::MAX)
}

impl Revoke {
    /// The end of a lease, belonging to no client.
    pub fn new(lease: LeaseId) -> Self {
        Self { id: lease, options: Unbound }
    }
}

impl<C> Revoke<C> {
    fn build(self) -> (Result<LeaseRevokeRequest, InvalidRequest>, C) {
        (Ok(LeaseRevokeRequest { id: self.id.get() }), self.options)
    }
}

impl TimeToLive {
    /// The question how long a lease has left, belonging to no client.
    pub fn new(lease: LeaseId) -> Self {
        Self::bind(lease, Unbound)
    }
}

impl<C> TimeToLive<C> {
    fn bind(lease: LeaseId, options: C) -> Self {
        Self { request: LeaseTimeToLiveRequest { id: lease.get(), keys: false }, options }
    }

    /// Also returns the keys tied to the lease in [`LeaseInfo::keys`](crate::LeaseInfo::keys).
    pub fn keys(mut self) -> Self {
        self.request.keys = true;
        self
    }

    fn build(self) -> (Result<LeaseTimeToLiveRequest, InvalidRequest>, C) {
        (Ok(self.request), self.options)
    }
}

impl Leases {
    /// The list of leases, belonging to no client.
    pub fn new() -> Self {
        Self { options: Unbound }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Leases<C> {
    fn build(self) -> (Result<LeaseLeasesRequest, InvalidRequest>, C) {
        (Ok(LeaseLeasesRequest {}), self.options)
    }
}

request_builder!(Grant: LeaseGrantRequest -> GrantResponse);
request_builder!(Revoke: LeaseRevokeRequest -> RevokeResponse);
request_builder!(TimeToLive: LeaseTimeToLiveRequest -> TimeToLiveResponse);
request_builder!(Leases: LeaseLeasesRequest -> LeasesResponse);
