//! The frame decoder: however a body is cut into chunks, the same messages come out.

use bytes::Bytes;
use etcdium_core::{FrameDecoder, FrameError};

use crate::input::Input;

pub(crate) const SEEDS: &[&[u8]] =
    &[b"\x03\0\0\0\0\x02hi\0\0\0\0\0", b"\x01\0\0\0\0\x05hello\x01\0\0\0\0", b"\x07\0\xff\xff\xff\xff"];

const LIMIT: usize = 4096;

/// The first byte decides how the rest is cut.
pub fn frames(data: &[u8]) {
    let mut input = Input(data);
    let most = usize::from(input.byte()).max(1);
    let body = input.0;
    let whole = messages(std::iter::once(body));
    let cut = messages(body.chunks(most));
    assert_eq!(whole, cut, "cut into chunks of {most}");
    let (received, error) = whole;
    let size: usize = received.iter().map(|message| message.len() + 5).sum();
    assert!(size <= body.len(), "{size} bytes of messages from {} bytes", body.len());
    assert!(received.iter().all(|message| message.len() <= LIMIT));
    // What was read is what was there.
    let mut rest = body;
    for message in &received {
        assert_eq!(&rest[5..5 + message.len()], message);
        rest = &rest[5 + message.len()..];
    }
    let wrong = match rest {
        [flag, length @ ..] if length.len() >= 4 => {
            let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
            *flag != 0 || length as usize > LIMIT
        }
        _ => false,
    };
    assert_eq!(error.is_some(), wrong, "{error:?}, {rest:?}");
}

fn messages<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(LIMIT);
    let mut messages = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
