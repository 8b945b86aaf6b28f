//! Watches the frames a server sends, beside hyper, for the two things hyper does not tell: that its first SETTINGS
//! frame came, and its GOAWAY with all it says.

use etcdium_core::{Preface, Verdict, WrongServer};

const HEADER_LEN: usize = 9;
const GOAWAY: u8 = 7;
/// Last stream and error code.
const GOAWAY_FIXED: usize = 8;
/// How much of a GOAWAY is kept; the rest of its debug data is not needed.
const GOAWAY_KEPT: usize = GOAWAY_FIXED + 256;

/// A scanner over the bytes of one connection, in as many pieces as they come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    preface: Preface,
    open: bool,
    /// The header being read, as far as it came.
    header: [u8; HEADER_LEN],
    have: usize,
    /// What is left of the payload of the current frame.
    payload: usize,
    /// The payload of the current frame, if it is a GOAWAY.
    goaway: Option<Vec<u8>>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The server's first SETTINGS frame began.
    Settings,
    /// The server does not speak HTTP/2. Nothing more is told.
    Wrong(WrongServer),
    /// A GOAWAY.
    GoAway(GoAway),
}

/// A GOAWAY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoAway {
    pub(crate) code: u32,
    pub(crate) debug: String,
}

impl Frames {
    /// Looks at the next bytes and adds what they show to `seen`.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut seen: impl FnMut(Seen)) {
        if !self.open {
            match self.preface.feed(bytes) {
                Verdict::NeedMore => {}
                Verdict::Wrong(wrong) => return seen(Seen::Wrong(wrong)),
                Verdict::Http2 => {
                    self.open = true;
                    seen(Seen::Settings);
                }
            }
        }
        self.scan(bytes, &mut seen);
    }

    /// What a server is that ended the connection now; `None` if it spoke HTTP/2.
    pub(crate) fn at_eof(&self) -> Option<WrongServer> {
        (!self.open).then(|| self.preface.at_eof())
    }

    fn scan(&mut self, mut bytes: &[u8], seen: &mut impl FnMut(Seen)) {
        while !bytes.is_empty() {
            if self.payload == 0 {
                if let (0, Some((header, rest))) = (self.have, bytes.split_first_chunk()) {
                    (self.header, bytes) = (*header, rest);
                } else {
                    let take = (HEADER_LEN - self.have).min(bytes.len());
                    self.header[self.have..][..take].copy_from_slice(&bytes[..take]);
                    self.have += take;
                    bytes = &bytes[take..];
                    if self.have < HEADER_LEN {
                        return;
                    }
                    self.have = 0;
                }
                let [a, b, c, kind, ..] = self.header;
                self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
                self.goaway = (kind == GOAWAY).then(Vec::new);
            }
            let take = self.payload.min(bytes.len());
            if let Some(payload) = &mut self.goaway {
                let keep = take.min(GOAWAY_KEPT - payload.len());
                payload.extend_from_slice(&bytes[..keep]);
            }
            bytes = &bytes[take..];
            self.payload -= take;
            if self.payload == 0 {
                if let Some(goaway) = self.goaway.take().as_deref().and_then(GoAway::parse) {
                    seen(Seen::GoAway(goaway));
                }
            }
        }
    }
}

impl GoAway {
    fn parse(payload: &[u8]) -> Option<Self> {
        let code = payload.get(4..GOAWAY_FIXED)?.try_into().ok()?;
        let debug = String::from_utf8_lossy(&payload[GOAWAY_FIXED..]).into_owned();
        Some(Self { code: u32::from_be_bytes(code), debug })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    fn watch(pieces: &[&[u8]]) -> Vec<Seen> {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for piece in pieces {
            frames.feed(piece, |seen| all.push(seen));
        }
        all
    }

    #[test]
    fn settings_and_goaway_are_found_however_the_bytes_are_cut() {
        let goaway = [&[0, 0, 0, 5, 0, 0, 0, 11][..], b"too_many_pings"].concat();
        let bytes = [
            frame(4, &[0; 12]),
            frame(0, &[7; 100]),
            frame(7, &goaway),
            frame(6, &[0; 8]),
            frame(4, &[]),
            frame(7, &[0; 8]),
            frame(7, &[1; 3]),
        ]
        .concat();
        let expected = [
            Seen::Settings,
            Seen::GoAway(GoAway { code: 11, debug: "too_many_pings".to_owned() }),
            Seen::GoAway(GoAway { code: 0, debug: String::new() }),
        ];
        assert_eq!(watch(&[&bytes]), expected);
        assert_eq!(watch(&bytes.chunks(1).collect::<Vec<_>>()), expected);
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(watch(&[head, tail]), expected, "{cut}");
        }
    }

    #[test]
    fn long_debug_data_is_cut() {
        let payload = [&[0; 8][..], &[b'x'; 10_000]].concat();
        let bytes = [frame(4, &[]), frame(7, &payload), frame(7, &[0; 8])].concat();
        let seen = watch(&[&bytes]);
        assert!(matches!(&seen[1], Seen::GoAway(goaway) if goaway.debug.len() == 256), "{seen:?}");
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_wrong_server_is_told() {
        assert_eq!(watch(&[b"HTTP/1.1 400 Bad"]), [Seen::Wrong(WrongServer::Http1)]);
        let mut frames = Frames::default();
        assert_eq!(frames.at_eof(), Some(WrongServer::SilentClose));
        frames.feed(&frame(4, &[]), |_| {});
        assert_eq!(frames.at_eof(), None);
    }
}
