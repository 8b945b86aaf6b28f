//! HTTP/2 by hand, for what no sound client does: not reading, and worse.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What every client says first: the preface and empty settings.
pub(crate) const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The head of a call.
pub(crate) fn head(stream: u32, path: &str) -> Vec<u8> {
    // :method POST, :scheme http; then literals: :path, content-type.
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend(b"\x01\x01a\x0f\x10\x10application/grpc\x00\x02te\x08trailers");
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A message of a call; no more may follow the last.
pub(crate) fn message(stream: u32, message: &[u8], last: bool) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    payload.extend(message);
    frame(DATA, if last { END_STREAM } else { 0 }, stream, &payload)
}

/// A connection.
pub(crate) struct Raw {
    socket: TcpStream,
    received: Vec<u8>,
    /// The gRPC bytes of stream 1.
    body: Vec<u8>,
}

impl Raw {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, received: Vec::new(), body: Vec::new() }
    }

    /// Says something; whether anybody listens does not matter.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// From now on the server may send as much as it likes.
    pub(crate) fn widen(&mut self) {
        for stream in [0, 1] {
            self.say(&frame(WINDOW_UPDATE, 0, stream, &0x3fff_0000_u32.to_be_bytes()));
        }
    }

    /// Reads what there is. False when the server has closed.
    pub(crate) fn read(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        match self.socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => self.received.extend(&buffer[..length]),
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
        let mut rest = &self.received[..];
        while let Some((prefix, behind)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, prefix[0], prefix[1], prefix[2]]) as usize;
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            if (prefix[3], prefix[8]) == (DATA, 1) {
                self.body.extend(payload);
            }
            rest = behind;
        }
        self.received = rest.to_vec();
        true
    }

    /// The next whole message of stream 1.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some((prefix, behind)) = self.body.split_at_checked(5) {
                let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
                if behind.len() >= length {
                    let message = behind[..length].to_vec();
                    self.body.drain(..5 + length);
                    return message;
                }
            }
            assert!(self.read(), "the server has closed");
            assert!(Instant::now() < until, "no message came");
        }
    }

    /// Says no more.
    pub(crate) fn close(&self, how: Shutdown) {
        let _ = self.socket.shutdown(how);
    }

    /// Reads until the server closes.
    pub(crate) fn drain(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.read() {
            assert!(Instant::now() < until, "the connection stays");
        }
    }
}
