//! Responses to ranges.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{RangeResponse, ResponseHeader};
use etcdium_proto::mvccpb::KeyValue;

use super::{count_in_front, number, read_header, read_int, read_key_value, read_sized, read_varint, sized};

const HEADER: u64 = sized(1);
const KVS: u64 = sized(2);
const MORE: u64 = number(3);
const COUNT: u64 = number(4);

pub(super) fn read(message: &Bytes, response: &mut RangeResponse) -> Option<()> {
    let mut rest = &message[..];
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            HEADER if response.header.is_none() => {
                read_header(read_sized(&mut rest)?, response.header.insert(ResponseHeader::default()))?;
            }
            KVS => {
                let encoded = read_sized(&mut rest)?;
                if response.kvs.is_empty() {
                    response.kvs.reserve_exact(1 + count_in_front(KVS, rest));
                }
                response.kvs.push(KeyValue::default());
                read_key_value(message, encoded, response.kvs.last_mut()?)?;
            }
            MORE => response.more = read_varint(&mut rest)? != 0,
            COUNT => response.count = read_int(&mut rest)?,
            _ => return None,
        }
    }
    Some(())
}
