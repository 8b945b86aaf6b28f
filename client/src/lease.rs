//! Leases, as plain calls: grant, revoke, time to live, list.

use core::time::Duration;

use bytes::Bytes;
use etcdium_core::{Error, InvalidRequest, LeaseId};
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

use crate::request::request_builder;
use crate::response::{count, unreadable};
use crate::{Bound, Client, ResponseHeader, Unbound};

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

    /// Also returns the keys tied to the lease in [`LeaseInfo::keys`].
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

/// The answer to a [`Grant`].
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

/// The answer to a [`Revoke`].
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

/// The answer to a [`TimeToLive`].
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

/// The answer to a [`Leases`].
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

#[cfg(test)]
mod tests {
    use etcdium_core::{ErrorKind, ProtocolError};
    use etcdium_proto::etcdserverpb::LeaseStatus;

    use super::*;

    fn id(id: i64) -> LeaseId {
        LeaseId::new(id).unwrap()
    }

    fn is_protocol_error<T: core::fmt::Debug>(response: Result<T, Error>) -> bool {
        matches!(response.unwrap_err().kind(), ErrorKind::Protocol(ProtocolError::Message(_)))
    }

    #[test]
    fn requests_on_the_wire() {
        let seconds = Duration::from_secs;
        let grants = [
            (Grant::new(seconds(5)), 5, 0),
            (Grant::new(seconds(5)).id(id(-2)), 5, -2),
            (Grant::new(Duration::from_nanos(1)), 1, 0),
            (Grant::new(Duration::from_millis(1000)), 1, 0),
            (Grant::new(Duration::from_millis(1001)), 2, 0),
            (Grant::new(Duration::MAX), i64::MAX, 0),
        ];
        for (grant, ttl, id) in grants {
            assert_eq!(grant.into_request().unwrap(), LeaseGrantRequest { ttl, id });
        }
        assert_eq!(Revoke::new(id(7)).into_request().unwrap(), LeaseRevokeRequest { id: 7 });
        let ask = TimeToLive::new(id(7));
        let message = LeaseTimeToLiveRequest { id: 7, keys: false };
        assert_eq!(ask.clone().into_request().unwrap(), message);
        assert_eq!(ask.keys().into_request().unwrap(), LeaseTimeToLiveRequest { keys: true, ..message });
        assert_eq!(Leases::default().into_request().unwrap(), LeaseLeasesRequest {});
    }

    #[test]
    fn a_time_to_live_of_zero_is_refused() {
        let error = Grant::new(Duration::ZERO).into_request().unwrap_err();
        let ErrorKind::InvalidRequest(InvalidRequest::Value { option, .. }) = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(*option, "ttl");
    }

    #[test]
    fn a_grant_has_an_id_and_the_granted_time() {
        let message = LeaseGrantResponse { id: 7, ttl: 2, ..Default::default() };
        let expected = GrantResponse::new(ResponseHeader::default(), id(7), Duration::from_secs(2));
        assert_eq!(GrantResponse::try_from(message).unwrap(), expected);
        assert!(is_protocol_error(GrantResponse::try_from(LeaseGrantResponse::default())));
    }

    #[test]
    fn an_unknown_lease_is_none() {
        let header = ResponseHeader::default();
        let gone = LeaseTimeToLiveResponse { id: 7, ttl: -1, ..Default::default() };
        assert_eq!(TimeToLiveResponse::try_from(gone).unwrap(), TimeToLiveResponse::new(header, None));

        let keys = vec![Bytes::from_static(b"k")];
        let alive = LeaseTimeToLiveResponse {
            id: 7,
            ttl: 0,
            granted_ttl: 30,
            keys: keys.clone(),
            ..Default::default()
        };
        let info = LeaseInfo::new(id(7), Duration::ZERO, Duration::from_secs(30), keys);
        assert_eq!(TimeToLiveResponse::try_from(alive).unwrap(), TimeToLiveResponse::new(header, Some(info)));
        assert!(is_protocol_error(TimeToLiveResponse::try_from(LeaseTimeToLiveResponse::default())));
    }

    #[test]
    fn the_list_of_leases() {
        let leases = vec![LeaseStatus { id: 3 }, LeaseStatus { id: -4 }];
        let message = LeaseLeasesResponse { header: None, leases };
        let expected = LeasesResponse::new(ResponseHeader::default(), vec![id(3), id(-4)]);
        assert_eq!(LeasesResponse::try_from(message).unwrap(), expected);
        let ended = RevokeResponse::try_from(LeaseRevokeResponse::default()).unwrap();
        assert_eq!(ended, RevokeResponse::new(ResponseHeader::default()));
    }
}
