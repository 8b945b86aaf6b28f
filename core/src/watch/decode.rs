//! Decoding of watch responses in one pass over what servers send, several times faster than the general decoder. Whatever is
//! unusual is left to that one, so that the result is the same for every message: fields that are not known, fields that come
//! twice and have to be merged, wrong types, numbers out of range, messages that are cut.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use etcdium_proto::mvccpb::{Event, KeyValue};
use prost::{DecodeError, Message};

use crate::varint::read_varint;

/// Decodes a response. Keys and values share the message's memory.
///
/// # Errors
/// Those of the general decoder.
pub(crate) fn decode(message: Bytes) -> Result<WatchResponse, DecodeError> {
    match response(&message) {
        Some(response) => Ok(response),
        None => WatchResponse::decode(message),
    }
}

/// The tag of a field that is a number.
const fn number(field: u64) -> u64 {
    field << 3
}

/// The tag of a field with a length: a message, bytes.
const fn sized(field: u64) -> u64 {
    field << 3 | 2
}

const HEADER: u64 = sized(1);
const WATCH_ID: u64 = number(2);
const CREATED: u64 = number(3);
const CANCELED: u64 = number(4);
const FRAGMENT: u64 = number(7);
const EVENTS: u64 = sized(11);

const TYPE: u64 = number(1);
const KV: u64 = sized(2);
const PREV_KV: u64 = sized(3);

const KEY: u64 = sized(1);
const CREATE_REVISION: u64 = number(2);
const MOD_REVISION: u64 = number(3);
const VERSION: u64 = number(4);
const VALUE: u64 = sized(5);
const LEASE: u64 = number(6);

/// The usual response; `None` if it is anything else.
fn response(message: &Bytes) -> Option<WatchResponse> {
    let mut response = WatchResponse::default();
    let mut rest = &message[..];
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            HEADER if response.header.is_none() => {
                response.header = Some(ResponseHeader::decode(read_sized(&mut rest)?).ok()?);
            }
            WATCH_ID => response.watch_id = read_int(&mut rest)?,
            CREATED => response.created = read_varint(&mut rest)? != 0,
            CANCELED => response.canceled = read_varint(&mut rest)? != 0,
            FRAGMENT => response.fragment = read_varint(&mut rest)? != 0,
            EVENTS => {
                let encoded = read_sized(&mut rest)?;
                if response.events.is_empty() {
                    response.events.reserve_exact(1 + events_in_front(rest));
                }
                response.events.push(Event::default());
                read_event(message, encoded, response.events.last_mut()?)?;
            }
            _ => return None,
        }
    }
    Some(response)
}

/// How many events come before anything else.
fn events_in_front(mut rest: &[u8]) -> usize {
    let mut count = 0;
    while read_varint(&mut rest) == Some(EVENTS) && read_sized(&mut rest).is_some() {
        count += 1;
    }
    count
}

// What is read is written where it stays: events are large.

fn read_event(message: &Bytes, mut rest: &[u8], event: &mut Event) -> Option<()> {
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            TYPE => event.r#type = read_int(&mut rest)?.try_into().ok()?,
            KV if event.kv.is_none() => {
                read_key_value(message, read_sized(&mut rest)?, event.kv.insert(KeyValue::default()))?;
            }
            PREV_KV if event.prev_kv.is_none() => {
                read_key_value(message, read_sized(&mut rest)?, event.prev_kv.insert(KeyValue::default()))?;
            }
            _ => return None,
        }
    }
    Some(())
}

fn read_key_value(message: &Bytes, mut rest: &[u8], kv: &mut KeyValue) -> Option<()> {
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            KEY => kv.key = message.slice_ref(read_sized(&mut rest)?),
            CREATE_REVISION => kv.create_revision = read_int(&mut rest)?,
            MOD_REVISION => kv.mod_revision = read_int(&mut rest)?,
            VERSION => kv.version = read_int(&mut rest)?,
            VALUE => kv.value = message.slice_ref(read_sized(&mut rest)?),
            LEASE => kv.lease = read_int(&mut rest)?,
            _ => return None,
        }
    }
    Some(())
}

/// Protobuf's int64: the two's complement in 64 bits.
fn read_int(rest: &mut &[u8]) -> Option<i64> {
    read_varint(rest).map(|number| number as i64)
}

/// A length, and what it covers.
fn read_sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(read_varint(rest)?).ok()?;
    let (covered, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(covered)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    /// Mostly small numbers, and a few of every length.
    fn ints() -> impl Strategy<Value = i64> {
        prop_oneof![4 => 0..70_000_i64, 1 => (any::<i64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)]
    }

    fn key_values() -> impl Strategy<Value = KeyValue> {
        let bytes = || vec(any::<u8>(), 0..200);
        let numbers = (ints(), ints(), ints(), ints());
        (bytes(), numbers, bytes()).prop_map(
            |(key, (create_revision, mod_revision, version, lease), value)| KeyValue {
                key: key.into(),
                create_revision,
                mod_revision,
                version,
                value: value.into(),
                lease,
            },
        )
    }

    fn events() -> impl Strategy<Value = Event> {
        (-1..3, option::of(key_values()), option::of(key_values())).prop_map(|(r#type, kv, prev_kv)| Event {
            r#type,
            kv,
            prev_kv,
        })
    }

    fn responses() -> impl Strategy<Value = WatchResponse> {
        let header = (any::<u64>(), any::<u64>(), ints(), any::<u64>()).prop_map(
            |(cluster_id, member_id, revision, raft_term)| ResponseHeader {
                cluster_id,
                member_id,
                revision,
                raft_term,
            },
        );
        let end = option::weighted(0.1, (ints(), "[a-z]{0,9}"));
        (option::of(header), -2..300_i64, any::<[bool; 3]>(), end, vec(events(), 0..6)).prop_map(
            |(header, watch_id, [created, canceled, fragment], end, events)| {
                let (compact_revision, cancel_reason) = end.unwrap_or_default();
                WatchResponse {
                    header,
                    watch_id,
                    created,
                    canceled,
                    compact_revision,
                    cancel_reason,
                    fragment,
                    events,
                }
            },
        )
    }

    /// Bytes that break something, or are only unusual: fields of later versions, groups, wrong types, numbers that are too
    /// long, lengths that lead too far.
    fn oddities() -> impl Strategy<Value = Vec<u8>> {
        let known: Vec<&'static [u8]> = vec![
            b"\x60\x01",
            b"\x62\x02xy",
            b"\x69\x01\x02\x03\x04\x05\x06\x07\x08",
            b"\x6d\x01\x02\x03\x04",
            b"\x63\x64",
            b"\x63\x63",
            b"\x12\x01x",
            b"\x0a\x02\x18\x05",
            b"\x5a\x04\x12\x02\x18\x05",
            b"\x5a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x90\x80\x00\x05",
        ];
        prop_oneof![select(known).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..20)]
    }

    fn agrees(bytes: Vec<u8>) -> Result<(), TestCaseError> {
        prop_assert_eq!(decode(bytes.clone().into()), WatchResponse::decode(Bytes::from(bytes)));
        Ok(())
    }

    proptest! {
        #[test]
        fn messages_are_decoded_as_by_the_general_decoder(response in responses()) {
            prop_assert_eq!(decode(response.encode_to_vec().into()), Ok(response));
        }

        /// Protobuf merges messages that are written one behind the other.
        #[test]
        fn joined_messages_too(one in responses(), between in oddities(), other in responses()) {
            agrees([one.encode_to_vec(), other.encode_to_vec()].concat())?;
            agrees([one.encode_to_vec(), between, other.encode_to_vec()].concat())?;
        }

        /// The same inside of events and pairs.
        #[test]
        fn joined_events_too(one in events(), between in oddities(), other in events(), pairs in vec(key_values(), 2)) {
            let nested = |tag: u8, parts: &[Vec<u8>]| {
                let inner = parts.concat();
                let mut message = vec![tag];
                prost::encoding::encode_varint(inner.len() as u64, &mut message);
                [message, inner].concat()
            };
            agrees(nested(0x5a, &[one.encode_to_vec(), between.clone(), other.encode_to_vec()]))?;
            let pair = nested(0x12, &[pairs[0].encode_to_vec(), between, pairs[1].encode_to_vec()]);
            agrees(nested(0x5a, &[pair.clone(), one.encode_to_vec()]))?;
            agrees(nested(0x5a, &[one.encode_to_vec(), pair]))?;
        }

        #[test]
        fn broken_messages_too(
            response in responses(),
            changes in vec((any::<Index>(), any::<u8>()), 0..3),
            at in any::<Index>(),
            oddity in oddities(),
        ) {
            let mut bytes = response.encode_to_vec();
            for (at, byte) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            let (front, back) = bytes.split_at(at.index(bytes.len() + 1));
            agrees(front.to_vec())?;
            agrees([front, &oddity, back].concat())?;
            agrees(bytes)?;
        }

        #[test]
        fn any_bytes_too(bytes in vec(any::<u8>(), 0..64)) {
            agrees(bytes)?;
        }
    }

    #[test]
    fn usual_responses_are_left_to_nobody() {
        let kv = KeyValue {
            key: "k".into(),
            create_revision: 5,
            mod_revision: 1 << 40,
            version: 2,
            value: "v".into(),
            lease: -1,
        };
        let event = Event { r#type: 1, kv: Some(kv.clone()), prev_kv: Some(kv) };
        let header = ResponseHeader { cluster_id: u64::MAX, member_id: u64::MAX, revision: 7, raft_term: 2 };
        let wanted = WatchResponse {
            header: Some(header),
            watch_id: 300,
            created: true,
            canceled: true,
            fragment: true,
            events: vec![event; 9],
            ..WatchResponse::default()
        };
        let decoded = response(&wanted.encode_to_vec().into()).expect("nothing in it is unusual");
        assert_eq!(decoded, wanted);
        assert_eq!(decoded.events.capacity(), 9, "they were counted before");
    }
}
