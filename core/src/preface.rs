//! What the first bytes of a server say: HTTP/2, or which mistake.
//!
//! A server's side of HTTP/2 begins with a SETTINGS frame (RFC 9113, section 3.4). Watching for it, beside whatever
//! HTTP/2 engine reads the same bytes, tells a live etcd from a port that merely accepts, and names a wrong server
//! better than the engine's protocol error could.

use std::fmt;

/// Length of an HTTP/2 frame header.
const HEADER_LEN: usize = 9;
/// The largest frame before a client allows more (RFC 9113, section 4.2).
const MAX_FRAME: u32 = 16_384;
/// Length of one setting.
const SETTING_LEN: u32 = 6;
const SETTINGS: u8 = 4;
/// The last frame type of RFC 9113, CONTINUATION.
const LAST_TYPE: u8 = 9;
const ACK: u8 = 1;

const HTTP1: &[u8] = b"HTTP/1";

/// What a server that is no etcd client port turned out to be. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongServer {
    /// It speaks HTTP/1.
    Http1,
    /// It speaks TLS and refused what it was sent.
    TlsAlert {
        /// 1 is a warning, 2 is fatal.
        level: u8,
        /// The reason, as TLS numbers them.
        description: u8,
    },
    /// It closed the connection before a single byte, as TLS servers written in Go (etcd among them) do when they are
    /// spoken to without TLS.
    SilentClose,
    /// It speaks neither HTTP/2 nor anything else known. Holds the first bytes received, at most nine.
    Garbage(Vec<u8>),
    /// It speaks HTTP/2 and did not begin with its settings. GOAWAY (7) is a server that refuses or is leaving.
    NotSettings {
        /// Type of the first frame, as HTTP/2 numbers them.
        frame_type: u8,
    },
}

impl fmt::Display for WrongServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => f.write_str("the server speaks HTTP/1: is this an etcd client port?"),
            Self::TlsAlert { level, description } => {
                let level = match level {
                    1 => "warning",
                    2 => "fatal",
                    _ => "unknown level",
                };
                write!(f, "the server answers with a TLS alert ({level}, ")?;
                match alert_name(*description) {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "number {description}")?,
                }
                f.write_str("): use https://")
            }
            Self::SilentClose => f.write_str(
                "the server closed the connection without a word: is this an etcd client port, and does it want \
                 https://?",
            ),
            Self::Garbage(bytes) => write!(
                f,
                "the server does not speak HTTP/2 (it began with \"{}\"): is this an etcd client port?",
                bytes.escape_ascii()
            ),
            Self::NotSettings { frame_type: 7 } => f.write_str("the server ends the connection (GOAWAY) at once"),
            Self::NotSettings { frame_type } => {
                write!(f, "the server began HTTP/2 with a frame of type {frame_type} instead of its settings")
            }
        }
    }
}

impl std::error::Error for WrongServer {}

/// Names of the TLS alerts that a server may send before or instead of a handshake (RFC 8446, section 6).
const fn alert_name(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        22 => "record_overflow",
        40 => "handshake_failure",
        47 => "illegal_parameter",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        _ => return None,
    })
}

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too early to tell.
    NeedMore,
    /// The header of the server's first SETTINGS frame was seen: it speaks HTTP/2.
    Http2,
    /// It does not, or not properly. Final.
    Wrong(WrongServer),
}

/// Watches the first bytes of a connection, as many or few at a time as they come.
///
/// ```
/// use etcdium_core::{Preface, Verdict, WrongServer};
///
/// let mut preface = Preface::default();
/// assert_eq!(preface.feed(b"HT"), Verdict::NeedMore);
/// assert_eq!(preface.feed(b"TP/1.1 400 Bad Request\r\n"), Verdict::Wrong(WrongServer::Http1));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Preface {
    bytes: [u8; HEADER_LEN],
    len: usize,
}

impl Preface {
    /// Takes the next bytes received and says what they and all before them mean. Once that is not
    /// [`Verdict::NeedMore`] it never changes.
    pub fn feed(&mut self, bytes: &[u8]) -> Verdict {
        let before = judge(self.seen());
        if before != Verdict::NeedMore {
            return before;
        }
        let take = bytes.len().min(HEADER_LEN - self.len);
        self.bytes[self.len..][..take].copy_from_slice(&bytes[..take]);
        self.len += take;
        judge(self.seen())
    }

    /// What a server is that closed the connection while the verdict was [`Verdict::NeedMore`]. After a wrong server
    /// was found it is that one.
    #[must_use]
    pub fn at_eof(&self) -> WrongServer {
        match judge(self.seen()) {
            Verdict::Wrong(wrong) => wrong,
            _ if self.len == 0 => WrongServer::SilentClose,
            _ => WrongServer::Garbage(self.seen().to_vec()),
        }
    }

    fn seen(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Judges the first bytes of a server, at most [`HEADER_LEN`] of them.
fn judge(seen: &[u8]) -> Verdict {
    let garbage = || Verdict::Wrong(WrongServer::Garbage(seen.to_vec()));
    // Both strangers that are known by name begin with a byte that no frame header of a fresh connection begins with.
    match seen {
        [] => return Verdict::NeedMore,
        [b'H', ..] => {
            return match seen.len() {
                _ if seen.starts_with(HTTP1) => Verdict::Wrong(WrongServer::Http1),
                _ if HTTP1.starts_with(seen) => Verdict::NeedMore,
                _ => garbage(),
            };
        }
        // A TLS record of type alert: version 3.x, two bytes of length, level, description.
        [0x15, rest @ ..] => {
            return match rest {
                [3, _, 0, 2, level, description, ..] => {
                    Verdict::Wrong(WrongServer::TlsAlert { level: *level, description: *description })
                }
                [] | [3] | [3, _] | [3, _, 0] | [3, _, 0, 2] | [3, _, 0, 2, _] => Verdict::NeedMore,
                _ => garbage(),
            };
        }
        _ => {}
    }
    let byte = |at: usize| seen.get(at).copied();
    // Bytes that are missing count as zero: if even the smallest length is too long, waiting is in vain.
    let length = u32::from_be_bytes([0, byte(0).unwrap_or(0), byte(1).unwrap_or(0), byte(2).unwrap_or(0)]);
    if length > MAX_FRAME {
        return garbage();
    }
    let Some(frame_type) = byte(3) else { return Verdict::NeedMore };
    if frame_type > LAST_TYPE {
        return garbage();
    }
    if frame_type != SETTINGS {
        return Verdict::Wrong(WrongServer::NotSettings { frame_type });
    }
    if length % SETTING_LEN != 0 {
        return garbage();
    }
    // An acknowledgement cannot come first, and settings belong to no stream. The top bit of a stream's number and the
    // other flags mean nothing here and are to be ignored.
    let ack = byte(4).unwrap_or(0) & ACK != 0;
    let on_a_stream = byte(5).unwrap_or(0) & 0x7f != 0 || seen.iter().skip(6).any(|byte| *byte != 0);
    match seen.len() {
        _ if ack || on_a_stream => garbage(),
        HEADER_LEN.. => Verdict::Http2,
        _ => Verdict::NeedMore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn once(bytes: &[u8]) -> Verdict {
        Preface::default().feed(bytes)
    }

    /// The verdict after each byte given alone.
    fn bytewise(bytes: &[u8]) -> Vec<Verdict> {
        let mut preface = Preface::default();
        bytes.iter().map(|byte| preface.feed(&[*byte])).collect()
    }

    fn garbage(bytes: &[u8]) -> Verdict {
        Verdict::Wrong(WrongServer::Garbage(bytes.to_vec()))
    }

    /// A frame header.
    fn header(length: u32, frame_type: u8, flags: u8, stream: u32) -> Vec<u8> {
        [&length.to_be_bytes()[1..], &[frame_type, flags], &stream.to_be_bytes()].concat()
    }

    #[test]
    fn settings_are_http2() {
        for length in [0, 6, 24, 16_380] {
            let settings = [header(length, 4, 0, 0), vec![0; 100]].concat();
            assert_eq!(once(&settings), Verdict::Http2);
            let verdicts = bytewise(&settings);
            assert!(verdicts[..8].iter().all(|verdict| *verdict == Verdict::NeedMore));
            assert!(verdicts[8..].iter().all(|verdict| *verdict == Verdict::Http2));
        }
        assert_eq!(once(&header(6, 4, 0xfe, 1 << 31)), Verdict::Http2, "what must be ignored is ignored");
    }

    #[test]
    fn what_settings_cannot_be_is_refused_at_its_first_wrong_byte() {
        for (bytes, decided_at) in [
            (header(16_386, 4, 0, 0), 3),
            (header(0x4100, 4, 0, 0), 2),
            (header(0x01_0000, 4, 0, 0), 1),
            (header(5, 4, 0, 0), 4),
            (header(6, 10, 0, 0), 4),
            (header(0, 4, 1, 0), 5),
            (header(6, 4, 0, 0x0100_0000), 6),
            (header(6, 4, 0, 1), 9),
            (b"SSH-2.0-OpenSSH_9.2".to_vec(), 1),
            (b"-ERR unknown command\r\n".to_vec(), 1),
            (b"HELO".to_vec(), 2),
            (b"HTTP/2".to_vec(), 6),
            (vec![0x15, 9, 0, 0, 2, 1, 1], 2),
            (vec![0x15, 3, 3, 0, 26, 1, 1], 5),
            (vec![0x16, 3, 1], 1),
        ] {
            let verdicts = bytewise(&bytes);
            assert!(
                verdicts[..decided_at - 1].iter().all(|verdict| *verdict == Verdict::NeedMore),
                "{bytes:?}"
            );
            assert!(
                verdicts[decided_at - 1..].iter().all(|v| *v == garbage(&bytes[..decided_at])),
                "{bytes:?}"
            );
            assert_eq!(once(&bytes), garbage(&bytes[..bytes.len().min(9)]));
        }
    }

    #[test]
    fn http1_is_known_by_its_name() {
        for reply in ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n\r\n"] {
            assert_eq!(once(reply.as_bytes()), Verdict::Wrong(WrongServer::Http1));
            let verdicts = bytewise(reply.as_bytes());
            assert!(verdicts[..5].iter().all(|verdict| *verdict == Verdict::NeedMore));
            assert!(verdicts[5..].iter().all(|verdict| *verdict == Verdict::Wrong(WrongServer::Http1)));
        }
    }

    #[test]
    fn tls_alerts_are_read() {
        for version in [0, 1, 3, 4] {
            let alert = [0x15, 3, version, 0, 2, 2, 70];
            let expected = WrongServer::TlsAlert { level: 2, description: 70 };
            assert_eq!(once(&alert), Verdict::Wrong(expected.clone()));
            let verdicts = bytewise(&alert);
            assert!(verdicts[..6].iter().all(|verdict| *verdict == Verdict::NeedMore));
            assert_eq!(verdicts[6], Verdict::Wrong(expected));
        }
    }

    #[test]
    fn another_frame_first_is_named() {
        for frame_type in (0..=9).filter(|frame_type| *frame_type != 4) {
            let verdicts = bytewise(&header(8, frame_type, 0, 0));
            assert_eq!(verdicts[2], Verdict::NeedMore);
            assert!(
                verdicts[3..].iter().all(|v| *v == Verdict::Wrong(WrongServer::NotSettings { frame_type }))
            );
        }
    }

    #[test]
    fn the_end_before_a_verdict_is_named() {
        let mut preface = Preface::default();
        assert_eq!(preface.at_eof(), WrongServer::SilentClose);
        assert_eq!(preface.feed(&[]), Verdict::NeedMore);
        assert_eq!(preface.at_eof(), WrongServer::SilentClose);
        assert_eq!(preface.feed(&[0, 0]), Verdict::NeedMore);
        assert_eq!(preface.at_eof(), WrongServer::Garbage(vec![0, 0]));
        assert_eq!(preface.feed(&[6, 7]), Verdict::Wrong(WrongServer::NotSettings { frame_type: 7 }));
        assert_eq!(preface.at_eof(), WrongServer::NotSettings { frame_type: 7 });
    }

    #[test]
    fn texts_name_the_mistake_and_the_remedy() {
        for (wrong, text) in [
            (WrongServer::Http1, "the server speaks HTTP/1: is this an etcd client port?"),
            (
                WrongServer::TlsAlert { level: 2, description: 70 },
                "the server answers with a TLS alert (fatal, protocol_version): use https://",
            ),
            (
                WrongServer::TlsAlert { level: 1, description: 99 },
                "the server answers with a TLS alert (warning, number 99): use https://",
            ),
            (
                WrongServer::SilentClose,
                "the server closed the connection without a word: is this an etcd client port, and does it want \
                 https://?",
            ),
            (
                WrongServer::Garbage(b"SSH-2.0-\x00".to_vec()),
                "the server does not speak HTTP/2 (it began with \"SSH-2.0-\\x00\"): is this an etcd client port?",
            ),
            (WrongServer::NotSettings { frame_type: 7 }, "the server ends the connection (GOAWAY) at once"),
            (
                WrongServer::NotSettings { frame_type: 1 },
                "the server began HTTP/2 with a frame of type 1 instead of its settings",
            ),
        ] {
            assert_eq!(wrong.to_string(), text);
        }
    }

    proptest! {
        /// Random bytes, half of them behind a start that gets far.
        #[test]
        fn the_way_bytes_are_split_changes_no_verdict(
            start in prop::sample::select(vec![&b""[..], b"HTTP", &[0x15, 3], &[0, 0, 6, 4], &[0, 0, 6, 4, 0, 0, 0]]),
            tail in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = [start, &tail[..]].concat();
            let whole = once(&bytes);
            let (head, rest) = bytes.split_at(cut.index(bytes.len()));
            let mut preface = Preface::default();
            let first = preface.feed(head);
            let second = preface.feed(rest);
            if first != Verdict::NeedMore {
                prop_assert_eq!(&first, &second);
            }
            match (&whole, &second) {
                // How much of the garbage is quoted depends on what was at hand.
                (Verdict::Wrong(WrongServer::Garbage(long)), Verdict::Wrong(WrongServer::Garbage(short))) => {
                    prop_assert!(long.starts_with(short));
                }
                _ => prop_assert_eq!(&whole, &second),
            }
            prop_assert!(bytes.len() < HEADER_LEN || whole != Verdict::NeedMore);
        }
    }
}
