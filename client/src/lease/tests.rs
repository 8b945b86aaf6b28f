//! Requests on the wire and answers off it.

use core::time::Duration;

use bytes::Bytes;
use etcdium_core::{Error, ErrorKind, InvalidRequest, LeaseId, ProtocolError};
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

use super::*;
use crate::ResponseHeader;

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
    let alive =
        LeaseTimeToLiveResponse { id: 7, ttl: 0, granted_ttl: 30, keys: keys.clone(), ..Default::default() };
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
