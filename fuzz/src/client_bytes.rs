//! Any bytes a client may send to the served model: no panic, its connection ends, the next one is answered, and nothing
//! is left over at the end.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use etcdium_sim::http::{BoxFuture, Host, Runner, serve};
use etcdium_sim::model::{Cluster, ClusterConfig};
use futures_io::{AsyncRead, AsyncWrite};
use smol::{Executor, Timer};

use crate::input::Input;

const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A put of one key, as a head and a message.
const PUT: &[u8] = b"\0\0\x3b\x01\x04\0\0\0\x01\x83\x86\x04\x14/etcdserverpb.KV/Put\x01\x01a\
    \x0f\x10\x10application/grpc\0\x02te\x08trailers\
    \0\0\x08\0\x01\0\0\0\x01\0\0\0\0\x03\x0a\x01k";

pub(crate) const SEEDS: &[&[u8]] = &[
    b"\xff\0\0\x3b\x01\x04\0\0\0\x01\x83\x86\x04\x14/etcdserverpb.KV/Put\x01\x01a\
    \x0f\x10\x10application/grpc\0\x02te\x08trailers\
    \0\0\x08\0\x01\0\0\0\x01\0\0\0\0\x03\x0a\x01k",
    b"\xff\0\0\x04\x08\0\0\0\0\0\x00\x0f\xff\xff\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\x10PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\xff\xff\xff\xff",
    b"\x3e\0\0\x08\x06\0\0\0\0\0abcdefgh\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
];

/// What a client says, cut into pieces, and what it has heard. It leaves when it has said all, and was patient.
struct Socket {
    says: Vec<u8>,
    at: usize,
    chunk: usize,
    waits: bool,
    /// How often it looks for an answer before it leaves.
    patience: usize,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Socket {
    fn new(says: Vec<u8>, chunk: usize, patience: usize) -> Self {
        Self { says, at: 0, chunk, waits: false, patience, heard: Arc::default() }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        // Every other time there is nothing yet.
        self.waits = !self.waits;
        if self.at == self.says.len() && self.patience > 0 {
            self.patience -= 1;
            self.waits = true;
        }
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = &self.says[self.at..];
        let length = rest.len().min(self.chunk).min(room.len());
        room[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs connections on the thread that polls it.
struct Here(Executor<'static>);

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Here")
    }
}

impl Runner for Here {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task).detach();
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(self: Arc<Self>, at: Instant) -> BoxFuture<()> {
        Box::pin(async move {
            Timer::at(at).await;
        })
    }
}

/// The first byte decides how the rest is cut, and whether a greeting goes before it.
pub fn client_bytes(data: &[u8]) {
    let mut input = Input(data);
    let shape = input.byte();
    let mut says = if shape & 1 == 1 { HELLO.to_vec() } else { Vec::new() };
    says.extend(input.0);
    let runner = Arc::new(Here(Executor::new()));
    let cluster = Cluster::new(ClusterConfig::default(), Instant::now(), 1);
    let host = Host::new(cluster, runner.clone(), 1 << 16);
    let serve_all = |socket| smol::block_on(runner.0.run(serve(socket, host.clone(), 0)));
    serve_all(Socket::new(says, usize::from(shape >> 1).max(1), 0));
    assert!(answers(&serve_all), "the next client is not served");
    host.stop();
    while runner.0.try_tick() {}
    assert!(runner.0.is_empty(), "a task outlives the connections and the host");
}

/// Whether a put is answered.
fn answers(serve_all: &impl Fn(Socket)) -> bool {
    let socket = Socket::new([HELLO, PUT].concat(), 1000, 100);
    let heard = socket.heard.clone();
    serve_all(socket);
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rest = &heard[..];
    while let Some((frame, behind)) = rest.split_at_checked(9) {
        // Data on the first stream.
        if frame[3] == 0 && frame[8] == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        rest = behind.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_client_is_answered() {
        for seed in SEEDS {
            client_bytes(seed);
        }
    }
}
