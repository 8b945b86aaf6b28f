//! The body of a request: one gRPC message.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http_body::{Body, Frame};

use super::ready::Token;

/// A request body of one piece. It notes when HTTP/2 takes the piece: before that, the request has provably not
/// reached a server, whatever became of its headers.
///
/// Its size hint stays inexact on purpose: an exact one would add a `content-length` header field.
#[derive(Debug)]
pub(crate) struct Message {
    piece: Option<Bytes>,
    serial: u64,
    token: Arc<Token>,
}

impl Message {
    pub(crate) fn new(piece: Bytes, serial: u64, token: Arc<Token>) -> Self {
        Self { piece: Some(piece), serial, token }
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.piece.take();
        if piece.is_some() {
            self.token.hand_over(self.serial);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none()
    }
}
