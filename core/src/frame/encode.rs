//! Outgoing messages: encoding behind the prefix, and the memory for it.

use std::{collections::VecDeque, fmt, mem};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::PREFIX_LEN;

/// Size of a block that small messages share.
const BLOCK: usize = 32 * 1024;

/// The largest message, prefix included, that lives in a shared block. A larger one has its own exact allocation, so
/// that no more than this much of a block is ever left unused.
const SHARED_MAX: usize = BLOCK / 4;

/// Full blocks that are remembered, to be used again: enough for several hundred small messages under way.
const REMEMBERED: usize = 8;

/// Memory that outgoing messages are encoded into: small ones share blocks of 32 KiB, so that they need no allocation
/// of their own. A block is reused once every message in it has been dropped. Of many full ones the oldest are
/// forgotten, and freed with their last message. Holds nothing until its first use.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    block: BytesMut,
    /// Full blocks, oldest first.
    full: VecDeque<BytesMut>,
}

impl Arena {
    /// An empty buffer with room for `len` bytes: the rest of the shared block, or an allocation of its own.
    fn room(&mut self, len: usize) -> BytesMut {
        if len > SHARED_MAX {
            return BytesMut::with_capacity(len);
        }
        if self.block.capacity() < len && !self.block.try_reclaim(len) {
            let next = self.next_block();
            self.full.push_back(mem::replace(&mut self.block, next));
        }
        mem::take(&mut self.block)
    }

    /// The oldest full block, if its messages are gone, or a new one.
    fn next_block(&mut self) -> BytesMut {
        if let Some(mut oldest) = self.full.pop_front() {
            if oldest.try_reclaim(BLOCK) {
                return oldest;
            }
            if self.full.len() < REMEMBERED {
                self.full.push_front(oldest);
            }
        }
        BytesMut::with_capacity(BLOCK)
    }
}

/// Encodes `message` behind its prefix and returns both as one piece.
///
/// `limit` is the largest allowed message in bytes, prefix not counted (as gRPC counts). The format itself ends at
/// 4 GiB - 1, whatever the limit says.
///
/// # Errors
///
/// [`MessageTooLarge`] when the encoded message exceeds the limit; nothing is written then.
pub(crate) fn encode<M: Message>(
    message: &M,
    limit: usize,
    arena: &mut Arena,
) -> Result<Bytes, MessageTooLarge> {
    encode_all(core::slice::from_ref(message), limit, arena)
}

/// Encodes messages one after the other, each behind its prefix, and returns them as one piece.
///
/// # Errors
///
/// [`MessageTooLarge`] when one of them exceeds the limit, as in [`encode`]; nothing is written then.
pub(crate) fn encode_all<M: Message>(
    messages: &[M],
    limit: usize,
    arena: &mut Arena,
) -> Result<Bytes, MessageTooLarge> {
    let mut total = 0;
    for message in messages {
        let len = message.encoded_len();
        if len > limit || u32::try_from(len).is_err() {
            return Err(MessageTooLarge { size: len as u64, limit: (limit as u64).min(u64::from(u32::MAX)) });
        }
        total += PREFIX_LEN + len;
    }
    let mut out = arena.room(total);
    // The length of a single one, which is the rule, need not be found twice.
    let only = (messages.len() == 1).then(|| total - PREFIX_LEN);
    for message in messages {
        out.put_u8(0);
        // It fits, as was seen above.
        out.put_u32(only.unwrap_or_else(|| message.encoded_len()) as u32);
        // What `Message::encode` does after asking for the room, which was reserved above.
        message.encode_raw(&mut out);
    }
    if total > SHARED_MAX {
        return Ok(out.freeze());
    }
    let framed = out.split().freeze();
    arena.block = out;
    Ok(framed)
}

/// A request whose encoded message exceeds the limit for sending. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageTooLarge {
    /// Bytes of the encoded message.
    pub(crate) size: u64,
    /// Bytes allowed.
    pub(crate) limit: u64,
}

impl fmt::Display for MessageTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request of {} bytes exceeds the limit of {} bytes", self.size, self.limit)
    }
}

impl std::error::Error for MessageTooLarge {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::FrameDecoder;

    /// `len` bytes, which prost encodes as a BytesValue: tag 0x0a, length, bytes.
    fn message(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn encodes_behind_a_prefix() {
        let mut arena = Arena::default();
        // prost encodes a `Vec<u8>` as BytesValue: tag 0x0a, length, bytes.
        let bytes = encode(&b"abc".to_vec(), 5, &mut arena).unwrap();
        assert_eq!(bytes, &b"\0\0\0\0\x05\x0a\x03abc"[..]);
        assert_eq!(encode(&(), 0, &mut arena).unwrap(), &[0u8; 5][..]);
    }

    #[test]
    fn refuses_a_large_request_before_writing() {
        let mut arena = Arena::default();
        let error = encode(&b"abc".to_vec(), 4, &mut arena).unwrap_err();
        assert_eq!(error, MessageTooLarge { size: 5, limit: 4 });
        assert_eq!(error.to_string(), "request of 5 bytes exceeds the limit of 4 bytes");
        assert_eq!(arena.block.capacity(), 0, "nothing was reserved");
    }

    #[test]
    fn small_messages_share_a_block() {
        let mut arena = Arena::default();
        let messages: Vec<Bytes> =
            (0..100).map(|_| encode(&message(200), usize::MAX, &mut arena).unwrap()).collect();
        for pair in messages.windows(2) {
            assert_eq!(pair[0].as_ptr() as usize + pair[0].len(), pair[1].as_ptr() as usize);
        }
    }

    #[test]
    fn a_block_is_reused_when_its_messages_are_gone() {
        let mut arena = Arena::default();
        let first = encode(&message(200), usize::MAX, &mut arena).unwrap();
        let start = first.as_ptr() as usize;
        drop(first);
        for _ in 0..1_000 {
            let next = encode(&message(200), usize::MAX, &mut arena).unwrap();
            assert!((start..start + BLOCK).contains(&(next.as_ptr() as usize)));
        }
    }

    #[test]
    fn a_full_block_is_followed_by_another_and_its_messages_stay() {
        let mut arena = Arena::default();
        let body = message(3_000);
        let all: Vec<Bytes> = (0..50).map(|_| encode(&body, usize::MAX, &mut arena).unwrap()).collect();
        for one in &all {
            assert_eq!(one.len(), PREFIX_LEN + body.encoded_len());
            assert_eq!(one[one.len() - body.len()..], body[..]);
        }
    }

    #[test]
    fn a_large_message_leaves_the_block_alone() {
        let mut arena = Arena::default();
        let before = encode(&message(10), usize::MAX, &mut arena).unwrap();
        let large = encode(&message(SHARED_MAX), usize::MAX, &mut arena).unwrap();
        assert_eq!(large.len(), PREFIX_LEN + message(SHARED_MAX).encoded_len());
        let after = encode(&message(10), usize::MAX, &mut arena).unwrap();
        assert_eq!(before.as_ptr() as usize + before.len(), after.as_ptr() as usize);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 0..20)) {
            let mut arena = Arena::default();
            let mut decoder = FrameDecoder::new(usize::MAX);
            for message in messages {
                decoder.push(encode(&message, usize::MAX, &mut arena).unwrap());
                let decoded: Vec<u8> = Message::decode(decoder.next().unwrap().unwrap()).unwrap();
                prop_assert_eq!(decoded, message);
                prop_assert!(decoder.is_idle());
            }
        }
    }
}
