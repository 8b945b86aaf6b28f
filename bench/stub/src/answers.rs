//! The prebuilt answers of one connection: gRPC messages with their 5-byte prefix.

use std::rc::Rc;

use etcdium_proto::etcdserverpb::{PutResponse, RangeRequest, RangeResponse, ResponseHeader};
use etcdium_proto::healthpb::HealthCheckResponse;
use etcdium_proto::mvccpb::KeyValue;
use prost::Message;

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
    Other,
}

impl Method {
    pub(crate) fn of(path: &[u8]) -> Self {
        match path {
            b"/etcdserverpb.KV/Put" => Self::Put,
            b"/etcdserverpb.KV/Range" => Self::Range,
            b"/grpc.health.v1.Health/Check" => Self::Health,
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

/// What the stub says on one connection.
pub(crate) struct Answers {
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
        let header = ResponseHeader {
            cluster_id: 0xcdf8_1818_1d4e_5a9a,
            member_id: 0x8e9e_05c5_2164_694d,
            revision: 1_000_000,
            raft_term: ordinal,
        };
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
            put: framed(&PutResponse { header: Some(header), prev_kv: None }),
            get: range(1, 1),
            large: range(LARGE, 10_000),
            health: framed(&HealthCheckResponse { status: 1 }),
        }
    }

    /// The answer to this framed request; `None` for a method that the stub does not have.
    pub(crate) fn to(&self, method: Method, request: &[u8]) -> Option<&Rc<[u8]>> {
        match method {
            Method::Put => Some(&self.put),
            Method::Range => {
                let large = RangeRequest::decode(request.get(5..).unwrap_or_default())
                    .is_ok_and(|request| !request.range_end.is_empty());
                Some(if large { &self.large } else { &self.get })
            }
            Method::Health => Some(&self.health),
            Method::Other => None,
        }
    }
}

fn framed(message: &impl Message) -> Rc<[u8]> {
    let message = message.encode_to_vec();
    let len = u32::try_from(message.len()).expect("answers are far below 4 GiB");
    let mut out = vec![0];
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&message);
    out.into()
}
