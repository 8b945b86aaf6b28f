//! Incoming messages: cutting them out of the chunks of a body.

use std::{collections::VecDeque, fmt, mem};

use bytes::{Buf, Bytes};

use super::{PREFIX_LEN, Spares};

/// The most that is reserved for a message on the word of its prefix alone. Beyond it the buffer follows the data.
const FIRST_RESERVE: usize = 1024 * 1024;

/// What a peer's framing can get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The message is compressed, which this client never offers to read.
    Compressed,
    /// The flag byte is neither 0 nor 1.
    UnknownFlag(u8),
    /// The prefix declares a message over the limit for receiving.
    TooLarge {
        /// Bytes declared.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed => f.write_str("the server sent a compressed message, which was not asked for"),
            Self::UnknownFlag(flag) => write!(f, "unknown flag {flag} before a gRPC message"),
            Self::TooLarge { size, limit } => {
                write!(f, "response message of {size} bytes exceeds the limit of {limit} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Cuts gRPC messages out of the chunks of one response body.
///
/// Give every chunk to [`push`](Self::push), then call [`next`](Self::next) until it says `None`. A message that lies
/// within one chunk is a slice of it: no copy, no allocation. One that spans chunks is joined once, into a buffer that
/// never runs ahead of the data received by more than 1 MiB or a factor of two, whatever length the prefix declares.
///
/// ```
/// # use bytes::Bytes;
/// # use etcdium_core::FrameDecoder;
/// let mut decoder = FrameDecoder::new(usize::MAX);
/// decoder.push(Bytes::from_static(b"\0\0\0\0\x02hi\0\0\0"));
/// assert_eq!(decoder.next(), Ok(Some(Bytes::from_static(b"hi"))));
/// assert_eq!(decoder.next(), Ok(None));
/// assert!(!decoder.is_idle(), "half a prefix is left");
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    /// The unread rest of the oldest chunk.
    chunk: Bytes,
    /// Chunks pushed while an older one was unread; empty as long as the caller takes messages after every push.
    later: VecDeque<Bytes>,
    /// Start of a prefix that was split between chunks, `prefix_len` bytes of it.
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    /// Length of the message that follows, once its prefix is complete.
    declared: Option<usize>,
    /// Start of a message that was split between chunks.
    joined: Vec<u8>,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder that accepts messages of at most `limit` bytes, prefix not counted; `usize::MAX` is no limit.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            chunk: Bytes::new(),
            later: VecDeque::new(),
            prefix: [0; PREFIX_LEN],
            prefix_len: 0,
            declared: None,
            joined: Vec::new(),
            failed: None,
        }
    }

    /// Adds the next chunk of the body. Ignored after an error.
    pub fn push(&mut self, chunk: Bytes) {
        if self.failed.is_some() || chunk.is_empty() {
            return;
        }
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.later.push_back(chunk);
        }
    }

    /// The next complete message without its prefix, or `None` until more data is pushed.
    ///
    /// # Errors
    ///
    /// [`FrameError`] as soon as a prefix shows it. The error is final: it is repeated by every later call.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator that ended could not go on after more data"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        self.next_in(&mut Spares::default())
    }

    /// As [`next`](Self::next), with buffers for joining out of `spares`.
    pub(crate) fn next_in(&mut self, spares: &mut Spares) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            let declared = match self.declared {
                Some(declared) => declared,
                None => {
                    let Some(prefix) = self.take_prefix() else { return Ok(None) };
                    let declared = check_prefix(prefix, self.limit).inspect_err(|error| self.fail(*error))?;
                    *self.declared.insert(declared)
                }
            };
            if self.joined.is_empty() && self.chunk.len() >= declared {
                self.declared = None;
                let message = self.chunk.split_to(declared);
                self.advance_chunk();
                return Ok(Some(message));
            }
            self.join(declared, spares);
            if self.joined.len() == declared {
                self.declared = None;
                self.advance_chunk();
                return Ok(Some(spares.lend(mem::take(&mut self.joined))));
            }
            if !self.advance_chunk() {
                return Ok(None);
            }
        }
    }

    /// Whether nothing is buffered: a body may end here. False after an error.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.failed.is_none() && self.chunk.is_empty() && self.prefix_len == 0 && self.declared.is_none()
    }

    /// Bytes kept of a message that is not yet whole.
    pub(crate) fn buffered(&self) -> usize {
        self.joined.len() + self.prefix_len
    }

    /// The next prefix, once all of it is there.
    fn take_prefix(&mut self) -> Option<[u8; PREFIX_LEN]> {
        if self.prefix_len == 0 {
            if let Some(prefix) = self.chunk.first_chunk::<PREFIX_LEN>().copied() {
                self.chunk.advance(PREFIX_LEN);
                self.advance_chunk();
                return Some(prefix);
            }
        }
        loop {
            let take = self.chunk.len().min(PREFIX_LEN - self.prefix_len);
            self.chunk.copy_to_slice(&mut self.prefix[self.prefix_len..][..take]);
            self.prefix_len += take;
            let more = self.advance_chunk();
            if self.prefix_len == PREFIX_LEN {
                self.prefix_len = 0;
                return Some(self.prefix);
            }
            if !more {
                return None;
            }
        }
    }

    /// Moves what the current chunk holds of a message of `declared` bytes into the joining buffer.
    fn join(&mut self, declared: usize, spares: &mut Spares) {
        let take = self.chunk.len().min(declared - self.joined.len());
        if take == 0 {
            return;
        }
        if self.joined.capacity() == 0 {
            self.joined = spares.take(declared);
        }
        let needed = self.joined.len() + take;
        if needed > self.joined.capacity() {
            let target =
                FIRST_RESERVE.max(self.joined.capacity().saturating_mul(2)).max(needed).min(declared);
            self.joined.reserve_exact(target - self.joined.len());
        }
        self.joined.extend_from_slice(&self.chunk[..take]);
        self.chunk.advance(take);
    }

    /// Makes the next waiting chunk current if the current one is read; whether there is anything to read.
    fn advance_chunk(&mut self) -> bool {
        if self.chunk.is_empty() {
            // Also releases the read chunk's memory.
            self.chunk = self.later.pop_front().unwrap_or_default();
        }
        !self.chunk.is_empty()
    }

    /// Remembers the error and lets go of everything buffered.
    fn fail(&mut self, error: FrameError) {
        *self = Self { failed: Some(error), ..Self::new(self.limit) };
    }
}

/// Length of the message behind `prefix`.
fn check_prefix([flag, length @ ..]: [u8; PREFIX_LEN], limit: usize) -> Result<usize, FrameError> {
    match flag {
        0 => {}
        1 => return Err(FrameError::Compressed),
        unknown => return Err(FrameError::UnknownFlag(unknown)),
    }
    let declared = u32::from_be_bytes(length);
    match usize::try_from(declared) {
        Ok(declared) if declared <= limit => Ok(declared),
        _ => Err(FrameError::TooLarge { size: u64::from(declared), limit: limit as u64 }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `len` bytes.
    fn message(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        out.extend_from_slice(message);
        out
    }

    fn drain(decoder: &mut FrameDecoder) -> Vec<Bytes> {
        std::iter::from_fn(|| decoder.next().unwrap()).collect()
    }

    #[test]
    fn a_message_within_one_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from(framed(b"hello"));
        let mut decoder = FrameDecoder::new(usize::MAX);
        decoder.push(chunk.clone());
        let message = decoder.next().unwrap().unwrap();
        assert_eq!(message, &b"hello"[..]);
        assert_eq!(message.as_ptr(), chunk[PREFIX_LEN..].as_ptr());
        assert!(decoder.is_idle());
        assert_eq!((decoder.joined.capacity(), decoder.later.capacity()), (0, 0));
    }

    #[test]
    fn a_message_behind_its_prefix_in_the_next_chunk_is_a_slice_too() {
        let mut decoder = FrameDecoder::new(usize::MAX);
        decoder.push(Bytes::from_static(b"\0\0\0\0\x05"));
        assert_eq!(decoder.next(), Ok(None));
        assert!(!decoder.is_idle());
        let chunk = Bytes::from_static(b"hello");
        decoder.push(chunk.clone());
        assert_eq!(decoder.next().unwrap().unwrap().as_ptr(), chunk.as_ptr());
        assert!(decoder.is_idle());
    }

    #[test]
    fn coalesced_and_empty_messages() {
        let mut decoder = FrameDecoder::new(usize::MAX);
        decoder.push(Bytes::from([framed(b"a"), framed(b""), framed(b""), framed(b"bc")].concat()));
        assert_eq!(drain(&mut decoder), [&b"a"[..], b"", b"", b"bc"]);
        assert!(decoder.is_idle());
        decoder.push(Bytes::from(framed(b"")));
        assert_eq!(drain(&mut decoder), [&b""[..]]);
        decoder.push(Bytes::new());
        assert!(decoder.is_idle());
    }

    #[test]
    fn byte_at_a_time() {
        let mut decoder = FrameDecoder::new(usize::MAX);
        let mut seen = Vec::new();
        for byte in [framed(b"abc"), framed(b""), framed(b"d")].concat() {
            decoder.push(Bytes::from(vec![byte]));
            seen.extend(drain(&mut decoder));
        }
        assert_eq!(seen, [&b"abc"[..], b"", b"d"]);
        assert!(decoder.is_idle());
    }

    #[test]
    fn many_chunks_are_joined_into_one_buffer() {
        let body = message(290_000);
        let mut decoder = FrameDecoder::new(usize::MAX);
        let mut result = None;
        for chunk in framed(&body).chunks(16 * 1024) {
            assert_eq!(result, None);
            decoder.push(Bytes::copy_from_slice(chunk));
            result = decoder.next().unwrap();
            if result.is_none() {
                assert_eq!(decoder.joined.capacity(), body.len(), "reserved once, exactly");
                assert_eq!(decoder.later.capacity(), 0, "no queue");
            }
        }
        assert_eq!(result.unwrap(), body);
    }

    #[test]
    fn chunks_pushed_before_taking_are_kept_in_order() {
        let body = message(100_000);
        let mut decoder = FrameDecoder::new(usize::MAX);
        for chunk in [framed(&body), framed(b"tail")].concat().chunks(777) {
            decoder.push(Bytes::copy_from_slice(chunk));
        }
        assert_eq!(drain(&mut decoder), [&body[..], b"tail"]);
        assert!(decoder.is_idle());
    }

    #[test]
    fn a_huge_declared_length_is_not_reserved() {
        let mut decoder = FrameDecoder::new(usize::MAX);
        decoder.push(Bytes::from_static(b"\0\xff\xff\xff\xff"));
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decoder.joined.capacity(), 0);
        let chunk = Bytes::from(vec![7; 1 << 20]);
        for received in 1..=5 {
            decoder.push(chunk.clone());
            assert_eq!(decoder.next(), Ok(None));
            assert!(decoder.joined.capacity() <= (received << 21));
        }
        assert!(!decoder.is_idle());
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_once() {
        let mut decoder = FrameDecoder::new(9);
        decoder.push(Bytes::from(framed(&[1; 9])));
        assert_eq!(decoder.next().unwrap().unwrap(), &[1; 9][..]);
        decoder.push(Bytes::from_static(b"\0\0\0\0\x0a"));
        let error = FrameError::TooLarge { size: 10, limit: 9 };
        assert_eq!(decoder.next(), Err(error));
        assert_eq!(error.to_string(), "response message of 10 bytes exceeds the limit of 9 bytes");
    }

    #[test]
    fn flags_are_checked_and_errors_are_final() {
        for (flag, error) in [
            (1, FrameError::Compressed),
            (2, FrameError::UnknownFlag(2)),
            (255, FrameError::UnknownFlag(255)),
        ] {
            let mut decoder = FrameDecoder::new(usize::MAX);
            decoder.push(Bytes::from([framed(b"good"), vec![flag, 0, 0, 0, 1, 9]].concat()));
            assert_eq!(decoder.next().unwrap().unwrap(), &b"good"[..]);
            assert_eq!(decoder.next(), Err(error));
            decoder.push(Bytes::from(framed(b"more")));
            assert_eq!(decoder.next(), Err(error));
            assert!(decoder.chunk.is_empty() && decoder.later.is_empty(), "nothing is kept after an error");
            assert!(!decoder.is_idle());
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
            cuts in prop::collection::vec((1..400usize, any::<bool>()), 1..40),
        ) {
            let stream = Bytes::from(messages.iter().flat_map(|message| framed(message)).collect::<Vec<u8>>());
            let mut decoder = FrameDecoder::new(300);
            let mut rest = stream;
            let mut seen = Vec::new();
            for (len, take_now) in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                decoder.push(rest.split_to((*len).min(rest.len())));
                if *take_now {
                    seen.extend(drain(&mut decoder));
                }
            }
            seen.extend(drain(&mut decoder));
            prop_assert_eq!(seen, messages);
            prop_assert!(decoder.is_idle());
        }

        #[test]
        fn a_cut_stream_is_not_idle_and_yields_only_whole_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let cut = cut.index(stream.len());
            let mut decoder = FrameDecoder::new(usize::MAX);
            decoder.push(Bytes::copy_from_slice(&stream[..cut]));
            let seen = drain(&mut decoder);
            let whole: usize = seen.iter().map(|message| PREFIX_LEN + message.len()).sum();
            prop_assert_eq!(decoder.is_idle(), whole == cut);
            prop_assert_eq!(&seen[..], &messages[..seen.len()]);
        }

        #[test]
        fn garbage_never_panics_nor_outgrows_its_input(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32),
            limit in prop_oneof![Just(usize::MAX), 0..100usize],
        ) {
            let mut decoder = FrameDecoder::new(limit);
            for chunk in chunks {
                decoder.push(Bytes::from(chunk));
                while let Ok(Some(message)) = decoder.next() {
                    prop_assert!(message.len() <= limit);
                }
                prop_assert!(decoder.joined.capacity() <= FIRST_RESERVE);
            }
        }
    }
}
