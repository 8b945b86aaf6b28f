//! A connection as messages instead of frames: what the client says on its streams, and what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};

use prost::Message;

use crate::server::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, field, good_head, grpc};

/// What a client says.
#[derive(Debug)]
pub(super) enum Said {
    /// A message; `last` if it is the last of its stream, as that of a unary call is.
    Message { stream: u32, bytes: Vec<u8>, last: bool },
    /// It wants no more of this stream.
    Reset { stream: u32 },
}

/// The server's end of a connection.
pub(super) struct Dialogue {
    peer: Peer,
    /// What came of messages that are not whole, by stream.
    partial: BTreeMap<u32, Vec<u8>>,
    said: VecDeque<Said>,
    /// Streams whose head was sent.
    headed: Vec<u32>,
}

impl Dialogue {
    pub(super) fn new(mut peer: Peer) -> io::Result<Self> {
        peer.hello()?;
        Ok(Self { peer, partial: BTreeMap::new(), said: VecDeque::new(), headed: Vec::new() })
    }

    /// What the client says next.
    pub(super) fn next(&mut self) -> io::Result<Said> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Ok(said);
            }
            let frame = self.peer.next()?;
            match frame.kind {
                DATA => {
                    let stream = frame.stream;
                    let partial = self.partial.entry(stream).or_default();
                    partial.extend(frame.payload);
                    while let [_, a, b, c, d, rest @ ..] = &partial[..] {
                        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                        if rest.len() < len {
                            break;
                        }
                        let bytes = rest[..len].to_vec();
                        partial.drain(..5 + len);
                        let last = frame.flags & END_STREAM != 0 && partial.is_empty();
                        self.said.push_back(Said::Message { stream, bytes, last });
                    }
                }
                RST_STREAM => return Ok(Said::Reset { stream: frame.stream }),
                _ => {}
            }
        }
    }

    /// Whether the client says something already.
    pub(super) fn is_spoken_to(&self) -> io::Result<bool> {
        let stream = &self.peer.stream;
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            // Also at its end, which the next one to read will see.
            other => other.map(|_| true),
        }
    }

    /// Sends the head of a response, unless it was sent.
    fn head(&mut self, stream: u32) -> io::Result<()> {
        if self.headed.contains(&stream) {
            return Ok(());
        }
        self.headed.push(stream);
        self.peer.head(stream)
    }

    /// Sends bytes of a response's body.
    pub(super) fn raw(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        self.head(stream)?;
        self.peer.send(DATA, 0, stream, bytes)
    }

    /// Sends a message.
    pub(super) fn tell(&mut self, stream: u32, message: &impl Message) -> io::Result<()> {
        self.raw(stream, &grpc(message))
    }

    /// Sends the beginning of a frame that never ends.
    pub(super) fn cut(&mut self, stream: u32, message: &impl Message) -> io::Result<()> {
        self.head(stream)?;
        self.peer.send_cut(DATA, 0, stream, &grpc(message), 7)
    }

    /// Ends a response: by trailers only, if nothing was sent of it.
    pub(super) fn end(&mut self, stream: u32, status: &str, text: &str) -> io::Result<()> {
        let mut fields = [field("grpc-status", status), field("grpc-message", text)].concat();
        if !self.headed.contains(&stream) {
            fields.splice(..0, good_head());
        }
        self.peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
    }

    /// Ends a response without a status.
    pub(super) fn stop(&mut self, stream: u32) -> io::Result<()> {
        self.head(stream)?;
        self.peer.send(DATA, END_STREAM, stream, &[])
    }

    /// Answers as a web server does.
    pub(super) fn page(&mut self, stream: u32) -> io::Result<()> {
        let head = [&[0x88][..], &field("content-type", "text/html")].concat();
        self.peer.send(HEADERS, END_HEADERS, stream, &head)?;
        self.peer.send(DATA, END_STREAM, stream, b"<html>")
    }

    /// Resets a stream.
    pub(super) fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.peer.reset(stream, code)
    }

    /// Answers a unary call.
    pub(super) fn answer(&mut self, stream: u32, message: &impl Message) -> io::Result<()> {
        self.peer.respond(stream, &grpc(message))
    }
}
