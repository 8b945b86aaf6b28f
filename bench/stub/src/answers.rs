//! The prebuilt answers of one connection: gRPC messages with their 5-byte prefix.

use std::rc::Rc;

use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader,
};
use etcdium_proto::healthpb::HealthCheckResponse;
use etcdium_proto::mvccpb::KeyValue;
use prost::Message;

use crate::store::Store;
use crate::streams::Kind;

/// Values of the single and of the thousand key-values, in bytes.
const VALUE_LEN: usize = 256;
/// Key-values in the large answer.
const LARGE: usize = 1000;

/// The methods that the stub knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Put,
    Range,
    Health,
    Grant,
    Revoke,
    /// A stream.
    Stream(Kind),
    Other,
}

impl Method {
    pub(crate) fn of(path: &[u8]) -> Self {
        match path {
            b"/etcdserverpb.KV/Put" => Self::Put,
            b"/etcdserverpb.KV/Range" => Self::Range,
            b"/grpc.health.v1.Health/Check" => Self::Health,
            b"/etcdserverpb.Lease/LeaseGrant" => Self::Grant,
            b"/etcdserverpb.Lease/LeaseRevoke" => Self::Revoke,
            b"/etcdserverpb.Watch/Watch" => Self::Stream(Kind::Watch),
            b"/etcdserverpb.Lease/LeaseKeepAlive" => Self::Stream(Kind::KeepAlive),
            _ => Self::Other,
        }
    }
}

/// A put of this key is answered only after the peer has reset the call, as when the answer and the reset cross.
const HELD_KEY: &[u8] = b"bench/held";

/// Whether this framed request is a put of [`HELD_KEY`]: the key is the first field of its message.
pub(crate) fn is_held(method: Method, request: &[u8]) -> bool {
    method == Method::Put && request.get(7..17) == Some(HELD_KEY)
}

/// An answer to one request.
pub(crate) struct Answer {
    /// The framed message.
    pub(crate) message: Rc<[u8]>,
    /// The revision to be written into the header; `None` where there is no header.
    pub(crate) revision: Option<i64>,
}

/// Where the revision of the header stands in every framed answer that has one: the header is its first field, and
/// both ids in front of the revision take ten bytes and a tag.
pub(crate) const REVISION_AT: usize = 5 + 2 + 11 + 11 + 1;

/// What the stub says on one connection.
pub(crate) struct Answers {
    ordinal: u64,
    /// The answer to every put.
    put: Rc<[u8]>,
    /// The answer to a range of one key: one value of 256 bytes.
    get: Rc<[u8]>,
    /// The answer to a range with a `range_end`: 1,000 values of 256 bytes.
    large: Rc<[u8]>,
    /// The answer to a health check: serving.
    health: Rc<[u8]>,
}

impl Answers {
    /// Builds the answers of the connection with this ordinal. It stands in `raft_term` of every header, so that a
    /// client can tell whether two answers came over one connection.
    pub(crate) fn new(ordinal: u64) -> Self {
        let header = header(ordinal, 1 << 30);
        let kv = |index: usize| KeyValue {
            key: format!("bench/{index:08}").into(),
            create_revision: 1_000,
            mod_revision: 900_000,
            version: 90,
            value: vec![b'v'; VALUE_LEN].into(),
            lease: 0,
        };
        let range = |kvs: usize, count: i64| {
            framed(&RangeResponse {
                header: Some(header),
                kvs: (0..kvs).map(kv).collect(),
                more: kvs as i64 != count,
                count,
            })
        };
        Self {
            ordinal,
            put: framed(&PutResponse { header: Some(header), prev_kv: None }),
            get: range(1, 1),
            large: range(LARGE, 10_000),
            health: framed(&HealthCheckResponse { status: 1 }),
        }
    }

    /// The answer to this framed request; `None` for a method that the stub does not have.
    pub(crate) fn to(&self, method: Method, request: &[u8], store: &Store) -> Option<Answer> {
        let body = request.get(5..).unwrap_or_default();
        let (message, revision) = match method {
            Method::Put => (Rc::clone(&self.put), Some(store.raise())),
            Method::Range => {
                let large = RangeRequest::decode(body).is_ok_and(|request| !request.range_end.is_empty());
                (Rc::clone(if large { &self.large } else { &self.get }), Some(store.revision()))
            }
            Method::Health => (Rc::clone(&self.health), None),
            Method::Grant => {
                let LeaseGrantRequest { id, ttl } = LeaseGrantRequest::decode(body).unwrap_or_default();
                let (header, id) = (Some(header(self.ordinal, store.revision())), store.grant(id, ttl));
                (framed(&LeaseGrantResponse { header, id, ttl, error: String::new() }), None)
            }
            Method::Revoke => {
                store.revoke(LeaseRevokeRequest::decode(body).unwrap_or_default().id);
                let header = Some(header(self.ordinal, store.raise()));
                (framed(&LeaseRevokeResponse { header }), None)
            }
            Method::Stream(_) | Method::Other => return None,
        };
        Some(Answer { message, revision })
    }
}

/// The header of a message on the connection with this ordinal.
pub(crate) fn header(ordinal: u64, revision: i64) -> ResponseHeader {
    ResponseHeader {
        cluster_id: 0xcdf8_1818_1d4e_5a9a,
        member_id: 0x8e9e_05c5_2164_694d,
        revision,
        raft_term: ordinal,
    }
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Rc<[u8]> {
    let mut out = Vec::new();
    append(&mut out, message);
    out.into()
}

/// Appends a message with its prefix.
pub(crate) fn append(out: &mut Vec<u8>, message: &impl Message) {
    let len = u32::try_from(message.encoded_len()).expect("answers are far below 4 GiB");
    out.push(0);
    out.extend_from_slice(&len.to_be_bytes());
    message.encode(out).expect("a vector grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{VARINT, varint};

    #[test]
    fn the_place_of_the_revision_is_the_same_everywhere() {
        let (answers, store) = (Answers::new(3), Store::new());
        for method in [Method::Put, Method::Range] {
            let answer = answers.to(method, &[0; 5], &store).expect("an answer");
            assert_eq!(answer.message[REVISION_AT..REVISION_AT + VARINT], varint(1 << 30));
        }
        assert_eq!(answers.large[REVISION_AT..REVISION_AT + VARINT], varint(1 << 30));
    }
}
