//! Watch responses.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use etcdium_proto::mvccpb::{Event, KeyValue};

use super::{count_in_front, number, read_header, read_int, read_key_value, read_sized, read_varint, sized};

const HEADER: u64 = sized(1);
const WATCH_ID: u64 = number(2);
const CREATED: u64 = number(3);
const CANCELED: u64 = number(4);
const FRAGMENT: u64 = number(7);
const EVENTS: u64 = sized(11);

const TYPE: u64 = number(1);
const KV: u64 = sized(2);
const PREV_KV: u64 = sized(3);

pub(super) fn read(message: &Bytes, response: &mut WatchResponse) -> Option<()> {
    let mut rest = &message[..];
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            HEADER if response.header.is_none() => {
                read_header(read_sized(&mut rest)?, response.header.insert(ResponseHeader::default()))?;
            }
            WATCH_ID => response.watch_id = read_int(&mut rest)?,
            CREATED => response.created = read_varint(&mut rest)? != 0,
            CANCELED => response.canceled = read_varint(&mut rest)? != 0,
            FRAGMENT => response.fragment = read_varint(&mut rest)? != 0,
            EVENTS => {
                let encoded = read_sized(&mut rest)?;
                if response.events.is_empty() {
                    response.events.reserve_exact(1 + count_in_front(EVENTS, rest));
                }
                response.events.push(Event::default());
                read_event(message, encoded, response.events.last_mut()?)?;
            }
            _ => return None,
        }
    }
    Some(())
}

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
