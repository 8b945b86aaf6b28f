//! A piece of a request body, and how the only piece of a request gets past hyper's wait for it.
//!
//! Before it passes a piece on, hyper waits for flow control to grant the stream its first byte. That grant cannot come
//! before the connection was polled and has opened the stream, so for the sake of that wait hyper makes one more future
//! for every request, hands it over to be run, and has the connection polled twice. An empty piece needs no grant: hyper
//! passes it on at once. So a small piece that ends its request says that it is empty when hyper asks for its length,
//! which is the first question of all, and tells its length from then on. h2, which gets it, keeps every piece until
//! flow control lets it out, as it does with those of anyone who uses it directly. What hyper waits for would be
//! granted anyway for what is no longer than a frame.
//!
//! That hyper asks once is nothing it promises. So before the first connection it is tried out, see
//! [`passes_at_once`]; if it should fail with another hyper, pieces tell their length always.

use core::cell::Cell;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use http::Request;
use hyper::client::conn::http2::Builder;

use super::message::Message;
use super::ready::ReadySet;
use super::spawner::Spawner;
use super::wire::Wire;

/// The longest piece that passes at once: every peer takes a frame of this length.
pub(crate) const AT_ONCE_MAX: usize = 16 * 1024;

/// A piece of a request body.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    /// Whether it says that it is empty when next asked.
    coy: Cell<bool>,
}

impl Piece {
    /// A piece that tells its length.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, coy: Cell::new(false) }
    }

    /// A piece that ends its request and is not waited for.
    pub(crate) fn at_once(bytes: Bytes) -> Self {
        Self { bytes, coy: Cell::new(true) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        if self.coy.replace(false) { 0 } else { self.bytes.len() }
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// Whether this hyper passes on what [`Piece::at_once`] makes, whole and at once.
pub(crate) fn passes_at_once() -> bool {
    static PASSES: OnceLock<bool> = OnceLock::new();
    *PASSES.get_or_init(|| rehearse().unwrap_or(false))
}

/// Sends a request to nobody, and looks at what would go out.
fn rehearse() -> Option<bool> {
    const PIECE: &[u8] = b"piece";
    /// A DATA frame of five bytes that ends stream 1.
    const FRAME: &[u8] = b"\0\0\x05\0\x01\0\0\0\x01piece";
    let (wire, spawner) = (Wire::new(), Spawner::default());
    let cx = &mut Context::from_waker(Waker::noop());
    let handshake = pin!(Builder::new(spawner.clone()).handshake(wire.clone()));
    let Poll::Ready(Ok((mut sender, mut dispatch))) = handshake.poll(cx) else { return None };
    let mut futures = Vec::new();
    spawner.take(&mut futures);
    let mut line = futures.pop()?;
    let token = Arc::new(ReadySet::default().token(0));
    let mut request = Request::new(Message::new(Bytes::from_static(PIECE), 0, token, None, true));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("http://nobody/");
    let _answer = sender.send_request(request);
    let _ = Pin::new(&mut dispatch).poll(cx);
    let _ = line.poll(cx);
    let passes = wire.buffers().unwritten().ends_with(FRAME);
    // What was handed over last owns the spawner, which owns it.
    spawner.take(&mut futures);
    Some(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a hyper comes that waits for every piece, or drops those that say they are empty: calls work then
    /// as well, but cost more.
    #[test]
    fn this_hyper_passes_the_only_piece_of_a_request_at_once() {
        assert_eq!(rehearse(), Some(true));
    }

    #[test]
    fn a_piece_says_once_that_it_is_empty() {
        let mut piece = Piece::at_once("abc".into());
        assert_eq!((piece.remaining(), piece.remaining(), piece.chunk()), (0, 3, &b"abc"[..]));
        piece.advance(2);
        assert_eq!((piece.remaining(), piece.chunk()), (1, &b"c"[..]));
        assert_eq!(Piece::new("abc".into()).remaining(), 3);
    }
}
