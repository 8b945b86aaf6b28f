//! The fast decoders against the general one.

use etcdium_proto::etcdserverpb::{PutResponse, RangeResponse, WatchResponse};
use etcdium_proto::mvccpb::Event;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;

use super::*;

/// Mostly small numbers, and a few of every length.
fn ints() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..70_000_i64, 1 => (any::<i64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)]
}

fn key_values() -> impl Strategy<Value = KeyValue> {
    let bytes = || vec(any::<u8>(), 0..200);
    let numbers = (ints(), ints(), ints(), ints());
    (bytes(), numbers, bytes()).prop_map(|(key, (create_revision, mod_revision, version, lease), value)| {
        KeyValue { key: key.into(), create_revision, mod_revision, version, value: value.into(), lease }
    })
}

fn events() -> impl Strategy<Value = Event> {
    (-1..3, option::of(key_values()), option::of(key_values())).prop_map(|(r#type, kv, prev_kv)| Event {
        r#type,
        kv,
        prev_kv,
    })
}

fn headers() -> impl Strategy<Value = Option<ResponseHeader>> {
    option::of((any::<u64>(), any::<u64>(), ints(), any::<u64>()).prop_map(
        |(cluster_id, member_id, revision, raft_term)| ResponseHeader {
            cluster_id,
            member_id,
            revision,
            raft_term,
        },
    ))
}

fn watch_responses() -> impl Strategy<Value = WatchResponse> {
    let end = option::weighted(0.1, (ints(), "[a-z]{0,9}"));
    (headers(), -2..300_i64, any::<[bool; 3]>(), end, vec(events(), 0..6)).prop_map(
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

fn range_responses() -> impl Strategy<Value = RangeResponse> {
    (headers(), vec(key_values(), 0..6), any::<bool>(), ints())
        .prop_map(|(header, kvs, more, count)| RangeResponse { header, kvs, more, count })
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

fn agrees<T: Response + PartialEq>(bytes: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(decode::<T>(bytes.to_vec().into()), T::decode(bytes));
    Ok(())
}

/// A message as a field with this tag.
fn nested(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let inner = parts.concat();
    let mut message = vec![tag];
    prost::encoding::encode_varint(inner.len() as u64, &mut message);
    [message, inner].concat()
}

/// That messages are decoded as by the general decoder, also when two are written one behind the other, which merges them, with
/// something odd between.
fn joined<T: Response + PartialEq>(one: &T, between: &[u8], other: &T) -> Result<(), TestCaseError> {
    let (one, other) = (one.encode_to_vec(), other.encode_to_vec());
    agrees::<T>(&one)?;
    agrees::<T>(&[&one[..], &other].concat())?;
    agrees::<T>(&[&one, between, &other].concat())
}

/// Also when some bytes are others, something odd comes in at some place, or the end is missing.
fn broken<T: Response + PartialEq>(
    response: &T,
    changes: Vec<(Index, u8)>,
    at: Index,
    oddity: &[u8],
) -> Result<(), TestCaseError> {
    let mut bytes = response.encode_to_vec();
    for (at, byte) in changes {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
    }
    let (front, back) = bytes.split_at(at.index(bytes.len() + 1));
    agrees::<T>(front)?;
    agrees::<T>(&[front, oddity, back].concat())?;
    agrees::<T>(&bytes)
}

proptest! {
    #[test]
    fn messages_are_decoded_as_by_the_general_decoder(
        watches in (watch_responses(), watch_responses()),
        ranges in (range_responses(), range_responses()),
        between in oddities(),
    ) {
        joined(&watches.0, &between, &watches.1)?;
        joined(&ranges.0, &between, &ranges.1)?;
    }

    /// The same inside of events and pairs.
    #[test]
    fn joined_events_too(one in events(), between in oddities(), other in events(), pairs in vec(key_values(), 2)) {
        let encoded: Vec<_> = pairs.iter().map(Message::encode_to_vec).collect();
        let pair = [encoded[0].clone(), between.clone(), encoded[1].clone()];
        agrees::<RangeResponse>(&nested(0x12, &pair))?;
        let pair = nested(0x12, &pair);
        let (one, other) = (one.encode_to_vec(), other.encode_to_vec());
        agrees::<WatchResponse>(&nested(0x5a, &[one.clone(), between, other]))?;
        agrees::<WatchResponse>(&nested(0x5a, &[pair.clone(), one.clone()]))?;
        agrees::<WatchResponse>(&nested(0x5a, &[one, pair]))?;
    }

    #[test]
    fn broken_messages_too(
        watch in watch_responses(),
        range in range_responses(),
        changes in vec((any::<Index>(), any::<u8>()), 0..3),
        at in any::<Index>(),
        oddity in oddities(),
    ) {
        broken(&watch, changes.clone(), at, &oddity)?;
        broken(&range, changes, at, &oddity)?;
    }

    #[test]
    fn any_bytes_too(bytes in vec(any::<u8>(), 0..64)) {
        agrees::<WatchResponse>(&bytes)?;
        agrees::<RangeResponse>(&bytes)?;
        // One that is always left to the general decoder.
        agrees::<PutResponse>(&bytes)?;
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
    let event = Event { r#type: 1, kv: Some(kv.clone()), prev_kv: Some(kv.clone()) };
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
    let decoded: WatchResponse = usual(&wanted.encode_to_vec().into()).expect("nothing in it is unusual");
    assert_eq!(decoded, wanted);
    assert_eq!(decoded.events.capacity(), 9, "they were counted before");
    let wanted = RangeResponse { header: Some(header), kvs: vec![kv; 9], more: true, count: 300 };
    let decoded: RangeResponse = usual(&wanted.encode_to_vec().into()).expect("nothing in it is unusual");
    assert_eq!(decoded, wanted);
    assert_eq!(decoded.kvs.capacity(), 9, "they were counted before");
}
