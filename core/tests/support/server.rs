//! What a server says, made by hand: messages, heads and trailers.

use bytes::{BufMut, Bytes, BytesMut};
use etcdium_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader};
use http::{HeaderMap, HeaderValue};
use prost::Message;

pub(crate) const CLUSTER: u64 = 0xc1;

pub(crate) fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: "value".into(), ..Default::default() }
}

pub(crate) fn get(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub(crate) fn serializable_get(key: &str) -> RangeRequest {
    RangeRequest { serializable: true, ..get(key) }
}

pub(crate) fn header(cluster: u64, revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: cluster, member_id: 3, revision, raft_term: 2 })
}

pub(crate) fn put_response(revision: i64) -> PutResponse {
    PutResponse { header: header(CLUSTER, revision), ..Default::default() }
}

pub(crate) fn range_response(revision: i64) -> RangeResponse {
    RangeResponse { header: header(CLUSTER, revision), ..Default::default() }
}

/// A message behind its gRPC prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut out).unwrap();
    out.freeze()
}

pub(crate) fn good_head() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers
}

pub(crate) fn trailers(code: u32, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", code.into());
    headers.insert("grpc-message", HeaderValue::from_str(text).unwrap());
    headers
}

pub(crate) fn trailers_only(code: u32, text: &str) -> HeaderMap {
    let mut headers = good_head();
    headers.extend(trailers(code, text));
    headers
}
