//! Decoding of responses: in one pass over what servers send, several times faster than the general decoder, where there are
//! many or they are long. Whatever is unusual is left to the general decoder, so that the result is the same for every message:
//! fields that are not known, fields that come twice and have to be merged, wrong types, numbers out of range, messages that
//! are cut.
//!
//! Every function here takes what it reads off the front of its input, and gives `None` for anything unusual.

mod range;
mod varint;
mod watch;

use core::any::Any;

use bytes::Bytes;
use etcdium_proto::Response;
use etcdium_proto::etcdserverpb::ResponseHeader;
use etcdium_proto::mvccpb::KeyValue;
use prost::DecodeError;

pub(crate) use self::varint::read_varint;

/// Decodes a response. Keys and values share the message's memory.
///
/// # Errors
/// Those of the general decoder.
pub(crate) fn decode<T: Response>(message: Bytes) -> Result<T, DecodeError> {
    match usual(&message) {
        Some(response) => Ok(response),
        None => T::decode(message),
    }
}

/// A response that can be read the fast way, if this is one.
fn usual<T: Response>(message: &Bytes) -> Option<T> {
    let mut response = T::default();
    // Which type it is is known when this is compiled.
    let any: &mut dyn Any = &mut response;
    if let Some(range) = any.downcast_mut() {
        range::read(message, range)?;
    } else {
        watch::read(message, any.downcast_mut()?)?;
    }
    Some(response)
}

/// The tag of a field that is a number.
const fn number(field: u64) -> u64 {
    field << 3
}

/// The tag of a field with a length: a message, bytes.
const fn sized(field: u64) -> u64 {
    field << 3 | 2
}

// What is read is written where it stays: pairs and events are large.

fn read_header(mut rest: &[u8], header: &mut ResponseHeader) -> Option<()> {
    const CLUSTER_ID: u64 = number(1);
    const MEMBER_ID: u64 = number(2);
    const REVISION: u64 = number(3);
    const RAFT_TERM: u64 = number(4);
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            CLUSTER_ID => header.cluster_id = read_varint(&mut rest)?,
            MEMBER_ID => header.member_id = read_varint(&mut rest)?,
            REVISION => header.revision = read_int(&mut rest)?,
            RAFT_TERM => header.raft_term = read_varint(&mut rest)?,
            _ => return None,
        }
    }
    Some(())
}

fn read_key_value(message: &Bytes, mut rest: &[u8], kv: &mut KeyValue) -> Option<()> {
    const KEY: u64 = sized(1);
    const CREATE_REVISION: u64 = number(2);
    const MOD_REVISION: u64 = number(3);
    const VERSION: u64 = number(4);
    const VALUE: u64 = sized(5);
    const LEASE: u64 = number(6);
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

/// How many more fields with this tag come before anything else.
fn count_in_front(tag: u64, mut rest: &[u8]) -> usize {
    let mut count = 0;
    while read_varint(&mut rest) == Some(tag) && read_sized(&mut rest).is_some() {
        count += 1;
    }
    count
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
mod tests;
