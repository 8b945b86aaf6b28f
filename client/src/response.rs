//! What responses are made of: the header, and key-value pairs.

use bytes::Bytes;
use etcdium_core::{ClusterId, Error, ErrorKind, LeaseId, MemberId, Outcome, ProtocolError, Revision};
use etcdium_proto::{etcdserverpb, mvccpb};

/// Who answered, and at which revision. A field that is zero is not known.
///
/// etcd leaves the header out of a few answers, the answers within a transaction carry the revision alone, and etcd's
/// grpc-proxy leaves out more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ResponseHeader {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The member that answered.
    pub member_id: MemberId,
    /// The revision of the store when the request was answered; for a write, the revision it made.
    pub revision: Revision,
    /// The Raft term of the member when it answered.
    pub raft_term: u64,
}

impl ResponseHeader {
    /// A header, for tests and fakes.
    pub const fn new(cluster_id: ClusterId, member_id: MemberId, revision: Revision, raft_term: u64) -> Self {
        Self { cluster_id, member_id, revision, raft_term }
    }
}

impl From<etcdserverpb::ResponseHeader> for ResponseHeader {
    fn from(header: etcdserverpb::ResponseHeader) -> Self {
        Self {
            cluster_id: header.cluster_id.into(),
            member_id: header.member_id.into(),
            revision: header.revision.into(),
            raft_term: header.raft_term,
        }
    }
}

impl From<Option<etcdserverpb::ResponseHeader>> for ResponseHeader {
    /// All fields zero, hence not known, if there is no header.
    fn from(header: Option<etcdserverpb::ResponseHeader>) -> Self {
        header.map(Self::from).unwrap_or_default()
    }
}

/// A key, its value, and its place in the history of the store.
///
/// Key and value are slices of the response they came in and keep its memory alive as long as any of them lives: copy
/// what is kept for long out of a large response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeyValue {
    // The order of the fields is that of the message, so that the conversion moves nothing.
    /// The key.
    pub key: Bytes,
    /// The revision at which the key came into being. A deleted key that is put again starts anew.
    pub create_revision: Revision,
    /// The revision of the last change to the key.
    pub mod_revision: Revision,
    /// Number of puts since the creation: 1 after the first.
    pub version: i64,
    /// The value; empty in a keys-only answer.
    pub value: Bytes,
    /// The lease that deletes the key when it ends. Not reliable in a keys-only answer: etcd 3.7 serves those from
    /// its index, which does not know leases.
    pub lease: Option<LeaseId>,
}

impl KeyValue {
    /// A pair with nothing known about its history, for tests and fakes; set the other fields as needed.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }

    /// The key as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn key_str(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.key)
    }

    /// The value as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn value_str(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.value)
    }
}

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(kv: mvccpb::KeyValue) -> Self {
        Self {
            key: kv.key,
            create_revision: kv.create_revision.into(),
            mod_revision: kv.mod_revision.into(),
            version: kv.version,
            value: kv.value,
            lease: LeaseId::new(kv.lease),
        }
    }
}

/// Converts in place: the memory of the list is taken over.
pub(crate) fn key_values(kvs: Vec<mvccpb::KeyValue>) -> Vec<KeyValue> {
    kvs.into_iter().map(KeyValue::from).collect()
}

/// A number that etcd sends signed and that is never negative.
pub(crate) fn count(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}

/// The error for a good answer that decodes and makes no sense: what was asked for may have been done.
pub(crate) fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Protocol(ProtocolError::Message(what.to_owned())), Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: i64) -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: n.to_string().into(),
            create_revision: n,
            mod_revision: n + 1,
            version: n + 2,
            value: (n + 3).to_string().into(),
            lease: n - 1,
        }
    }

    #[test]
    fn every_field_is_carried_over() {
        let kv = KeyValue::from(message(1));
        assert_eq!((&kv.key[..], &kv.value[..]), (&b"1"[..], &b"4"[..]));
        assert_eq!((kv.create_revision.get(), kv.mod_revision.get(), kv.version), (1, 2, 3));
        assert_eq!(kv.lease, None);
        assert_eq!(KeyValue::from(message(8)).lease, LeaseId::new(7));
        let header = etcdserverpb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
        let made = ResponseHeader::new(ClusterId::new(1), MemberId::new(2), Revision::new(3), 4);
        assert_eq!(ResponseHeader::from(Some(header)), made);
        assert_eq!(ResponseHeader::from(None), ResponseHeader::default());
    }

    #[test]
    fn a_list_is_converted_in_place() {
        let messages: Vec<_> = (0..1000).map(message).collect();
        let (list, last) = (messages.as_ptr().addr(), messages[999].value.as_ptr());
        let kvs = key_values(messages);
        assert_eq!(kvs.as_ptr().addr(), list, "the list was copied");
        assert_eq!(kvs[999].value.as_ptr(), last, "a value was copied");
        assert_eq!(kvs[999], KeyValue::from(message(999)));
    }

    #[test]
    fn text_of_keys_and_values() {
        let kv = KeyValue::new("k", vec![0xff]);
        assert_eq!(kv.key_str(), Ok("k"));
        assert!(kv.value_str().is_err());
    }

    #[test]
    fn counts_are_never_negative() {
        assert_eq!((count(-1), count(0), count(i64::MAX)), (0, 0, i64::MAX.unsigned_abs()));
    }
}
