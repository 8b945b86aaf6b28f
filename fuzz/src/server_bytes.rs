//! Any bytes a server may send, through HTTP/2 and the whole driver: no panic, no hang, and the call ends by its
//! deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use etcdium_client::embed::{Action, Transport};
use etcdium_core::{CallOptions, Config, Core};
use etcdium_proto::etcdserverpb::RangeRequest;

use crate::input::Input;

/// SETTINGS, its acknowledgement, HEADERS with literal fields, DATA, trailers.
const ANSWER: &[u8] = b"\x40\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x20\x01\x04\0\0\0\x01\
    \x88\x00\x0ccontent-type\x10application/grpc\
    \0\0\x05\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0f\x01\x05\0\0\0\x01\x00\x0bgrpc-status\x010";

pub(crate) const SEEDS: &[&[u8]] = &[
    ANSWER,
    b"\x05\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\xffHTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x40\0\0\0\x04\0\0\0\0\0\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07",
];

/// A server that says what it is told to, and listens to nothing.
struct Socket {
    bytes: Vec<u8>,
    at: usize,
    /// How much comes at a time.
    chunk: usize,
    ready: bool,
    closes: bool,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.ready) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let rest = &self.bytes[self.at..];
        let length = rest.len().min(self.chunk).min(buffer.len());
        if length == 0 && !self.closes {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first byte decides how the rest is cut, and whether the server closes behind it.
pub fn server_bytes(data: &[u8]) {
    play(data);
}

/// Says whether the call succeeded.
fn play(data: &[u8]) -> bool {
    let mut input = Input(data);
    let shape = input.byte();
    let start = Instant::now();
    let mut now = start;
    let address = "127.0.0.1:1".parse().expect("an address");
    let mut core = Core::new(Config::new([address]).max_response_size(1 << 16), now, 3);
    let mut transport = Transport::new(now);
    let options = CallOptions::new().timeout(Some(Duration::from_secs(3)));
    let range = core.start(now, &RangeRequest { key: "k".into(), ..Default::default() }, &options);
    let mut said = Some(input.0.to_vec());
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 20_000, "it never rests");
        transport.run(now, &mut core);
        while let Some(action) = transport.poll_action() {
            match action {
                // The first connection only; later ones are refused.
                Action::Connect { connection, .. } => match said.take() {
                    Some(bytes) => {
                        let chunk = usize::from(shape >> 1).max(1);
                        let socket = Socket { bytes, at: 0, chunk, ready: true, closes: shape & 1 == 1 };
                        transport.attach(now, connection, socket);
                    }
                    None => {
                        let error = io::Error::from(ErrorKind::ConnectionRefused);
                        transport.connect_failed(connection, error);
                    }
                },
                Action::Close { .. } => {}
                _ => {}
            }
        }
        while core.poll_event().is_some() {}
        if let Some(result) = core.take(&range) {
            return result.is_ok();
        }
        assert!(now <= start + Duration::from_secs(4), "the call outlives its deadline");
        let mut more = Vec::new();
        for (connection, socket, _) in transport.sockets() {
            if !socket.ready && (socket.at < socket.bytes.len() || socket.closes) {
                socket.ready = true;
                more.push(connection.slot());
            }
        }
        if more.is_empty() {
            now = transport.poll_timeout(&core).expect("a deadline is set").max(now);
        }
        more.into_iter().for_each(|slot| transport.ready(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_the_caller() {
        assert!(play(ANSWER));
        // One byte at a time.
        assert!(play(&[&[2], &ANSWER[1..]].concat()));
        assert!(!play(&ANSWER[..ANSWER.len() - 1]));
    }
}
