//! gRPC's framing of messages: a flag, a length, and the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The bytes before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

/// A message behind its prefix. The flag is 0, unless something is to be wrong.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + message.len());
    out.put_u8(flag);
    // Messages are far below 4 GiB.
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Its message is compressed.
    Compressed,
    /// Its message has this length, which is too much.
    TooLarge(usize),
}

/// Takes the next whole message; none if it is not all there.
///
/// # Errors
///
/// It is compressed, or longer than `max` bytes.
pub(crate) fn unframe(received: &mut BytesMut, max: usize) -> Result<Option<Bytes>, Wrong> {
    let Some((mut prefix, rest)) = received.split_at_checked(PREFIX) else { return Ok(None) };
    let (compressed, length) = (prefix.get_u8(), prefix.get_u32() as usize);
    if compressed != 0 {
        return Err(Wrong::Compressed);
    }
    if length > max {
        return Err(Wrong::TooLarge(length));
    }
    if rest.len() < length {
        return Ok(None);
    }
    received.advance(PREFIX);
    Ok(Some(received.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_comes_out_whole() {
        let mut received = BytesMut::new();
        for byte in [framed(0, b"one"), framed(0, b"")].concat() {
            assert!(received.len() >= PREFIX + 3 || unframe(&mut received, 3) == Ok(None));
            received.extend_from_slice(&[byte]);
        }
        assert_eq!(unframe(&mut received, 3), Ok(Some(Bytes::from_static(b"one"))));
        assert_eq!(unframe(&mut received, 3), Ok(Some(Bytes::new())));
        assert_eq!(unframe(&mut received, 3), Ok(None));
        for (wrong, frame) in
            [(Wrong::TooLarge(4), framed(0, b"four")), (Wrong::Compressed, framed(1, b"one"))]
        {
            assert_eq!(unframe(&mut BytesMut::from(&frame[..]), 3), Err(wrong));
        }
    }
}
