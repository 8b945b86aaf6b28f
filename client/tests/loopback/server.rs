//! A server that speaks just enough HTTP/2 to misbehave on purpose: threads, plain sockets, frames by hand.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use etcdium_client::proto::etcdserverpb::{PutResponse, RangeResponse, ResponseHeader};
use etcdium_client::proto::mvccpb::KeyValue;
use prost::Message;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) const REFUSED_STREAM: u32 = 7;

/// How long any wait in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listening server. Each connection is a thread of its own that runs the script; they end with their peers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Serves every connection by `script`, which is told how many came before. Its errors are the peer's leaving.
    pub(crate) fn start<F>(script: F) -> Self
    where
        F: Fn(usize, Peer) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, script) = (accepted.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let (number, script) = (count.fetch_add(1, Ordering::SeqCst), script.clone());
                thread::spawn(move || {
                    let _ = script(number, Peer { stream });
                });
            }
        });
        Self { address, accepted }
    }

    /// Sends these bytes to everyone, and nothing more.
    pub(crate) fn saying(bytes: &'static [u8]) -> Self {
        Self::start(move |_, mut peer| {
            peer.stream.write_all(bytes)?;
            peer.wait_for_end()
        })
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The server's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

/// A message with its gRPC prefix.
pub(crate) fn grpc(message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut bytes).unwrap();
    bytes
}

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 7, member_id: 8, revision: 42, raft_term: 2 })
}

/// An answer to a put.
pub(crate) fn put_response() -> Vec<u8> {
    grpc(&PutResponse { header: header(), prev_kv: None })
}

/// An answer to a range, with one pair of this value.
pub(crate) fn range_response(value: &[u8]) -> Vec<u8> {
    let kv = KeyValue { key: "k".into(), value: value.to_vec().into(), ..Default::default() };
    grpc(&RangeResponse { header: header(), kvs: vec![kv], more: false, count: 1 })
}

/// A field of a header block, literal and not indexed.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

/// `:status: 200` and gRPC's content type.
pub(crate) fn good_head() -> Vec<u8> {
    [&[0x88][..], &field("content-type", "application/grpc")].concat()
}

impl Peer {
    /// Reads the client's preface and says hello: unlimited streams, the largest windows.
    pub(crate) fn hello(&mut self) -> io::Result<()> {
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface)?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])?;
        self.send(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes())
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.send_cut(kind, flags, stream, payload, payload.len())
    }

    /// Sends a frame whose header announces `payload`, but only the first `len` bytes of that.
    pub(crate) fn send_cut(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        len: usize,
    ) -> io::Result<()> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(&payload[..len]);
        self.stream.write_all(&frame)
    }

    /// The next frame but SETTINGS, PING and WINDOW_UPDATE, which are answered or passed over.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [a, b, c, kind, flags, s @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload)?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload)?,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Ok(Frame { kind, flags, stream: u32::from_be_bytes(s), payload }),
            }
        }
    }

    /// Waits for the next whole request and returns its stream.
    pub(crate) fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.next()?;
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                return Ok(frame.stream);
            }
        }
    }

    /// Answers with success.
    pub(crate) fn respond(&mut self, stream: u32, body: &[u8]) -> io::Result<()> {
        self.head(stream)?;
        for piece in body.chunks(16_384) {
            self.send(DATA, 0, stream, piece)?;
        }
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &field("grpc-status", "0"))
    }

    pub(crate) fn head(&mut self, stream: u32) -> io::Result<()> {
        self.send(HEADERS, END_HEADERS, stream, &good_head())
    }

    pub(crate) fn goaway(&mut self, last: u32, code: u32, debug: &str) -> io::Result<()> {
        let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), debug.as_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload)
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    /// Answers everything with `body`, until the client leaves.
    pub(crate) fn serve(&mut self, body: &[u8]) -> io::Result<()> {
        loop {
            let stream = self.request()?;
            self.respond(stream, body)?;
        }
    }

    /// Reads and forgets everything until the client leaves.
    pub(crate) fn wait_for_end(&mut self) -> io::Result<()> {
        while self.stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }
}
