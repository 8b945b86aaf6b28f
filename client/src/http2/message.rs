//! The body of a request: one gRPC message, or a first one and those that follow it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use http_body::{Body, Frame};

use super::piece::{AT_ONCE_MAX, Piece};
use super::ready::Token;
use crate::shared::lock;

/// A request body. It notes when HTTP/2 takes the first piece: before that, the request has provably not reached a
/// server, whatever became of its headers.
///
/// Its size hint stays inexact on purpose: an exact one would add a `content-length` header field.
#[derive(Debug)]
pub(crate) struct Message {
    piece: Option<Bytes>,
    serial: u64,
    token: Arc<Token>,
    /// Where further messages come from, if there may be any.
    more: Option<Arc<Outbox>>,
    /// Whether hyper is not to wait before it passes the first piece on.
    at_once: bool,
}

impl Message {
    /// `at_once` tells whether the piece may pass hyper at once; it does if it is the only one and not too long.
    pub(crate) fn new(
        piece: Bytes,
        serial: u64,
        token: Arc<Token>,
        more: Option<Arc<Outbox>>,
        at_once: bool,
    ) -> Self {
        let at_once = at_once && more.is_none() && piece.len() <= AT_ONCE_MAX;
        Self { piece: Some(piece), serial, token, more, at_once }
    }
}

impl Body for Message {
    type Data = Piece;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, h2::Error>>> {
        if let Some(piece) = self.piece.take() {
            self.token.hand_over(self.serial);
            let piece = if self.at_once { Piece::at_once(piece) } else { Piece::new(piece) };
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &self.more {
            Some(outbox) => outbox.poll(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && self.more.as_ref().is_none_or(|outbox| outbox.is_over())
    }
}

/// Messages on their way to the body of a request, which may still be open.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Bytes>,
    end: Option<End>,
    /// Who polls the body.
    waker: Option<Waker>,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After the last message.
    Finished,
    /// At once: its stream is to be reset.
    Aborted,
}

impl Outbox {
    /// Adds a message.
    pub(crate) fn push(&self, message: Bytes) {
        self.change(|state| {
            if state.end.is_none() {
                state.messages.push_back(message);
            }
        });
    }

    /// Nothing follows what was pushed.
    pub(crate) fn finish(&self) {
        self.change(|state| {
            state.end.get_or_insert(End::Finished);
        });
    }

    /// Nobody cares for the request any more. What was pushed and not taken is dropped.
    ///
    /// A body that waits for messages holds its stream open, so dropping the response alone would not reset that.
    pub(crate) fn abort(&self) {
        self.change(|state| {
            state.end = Some(End::Aborted);
            state.messages = VecDeque::new();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.0);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        let state = lock(&self.0);
        state.end == Some(End::Finished) && state.messages.is_empty()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Piece>, h2::Error>>> {
        let mut state = lock(&self.0);
        if let Some(message) = state.messages.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(Piece::new(message)))));
        }
        match state.end {
            Some(End::Finished) => Poll::Ready(None),
            Some(End::Aborted) => Poll::Ready(Some(Err(Reason::CANCEL.into()))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::super::ready::ReadySet;
    use super::*;

    type Polled = Poll<Option<Result<Bytes, Option<Reason>>>>;

    fn poll(message: &mut Message, waker: &Waker) -> Polled {
        Pin::new(message).poll_frame(&mut Context::from_waker(waker)).map(|frame| {
            frame.map(|frame| {
                let piece = frame.map(|frame| frame.into_data().unwrap());
                piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())).map_err(|error| error.reason())
            })
        })
    }

    fn data(text: &'static str) -> Polled {
        Poll::Ready(Some(Ok(Bytes::from_static(text.as_bytes()))))
    }

    #[test]
    fn a_single_message_ends_with_itself() {
        let mut set = ReadySet::default();
        let token = Arc::new(set.token(0));
        let mut message = Message::new("a".into(), 7, token.clone(), None, false);
        assert!(!message.is_end_stream() && !token.was_handed_over(7));
        assert_eq!(poll(&mut message, Waker::noop()), data("a"));
        assert!(message.is_end_stream() && token.was_handed_over(7));
        assert_eq!(poll(&mut message, Waker::noop()), Poll::Ready(None));
    }

    #[test]
    fn messages_follow_as_they_are_pushed_and_wake_who_polls() {
        let mut set = ReadySet::default();
        let waker = Waker::from(Arc::new(set.token(3)));
        let woken = |set: &ReadySet| (0..set.words()).flat_map(|word| set.take(word)).count();
        let outbox = Arc::new(Outbox::default());
        let mut message = Message::new("a".into(), 7, Arc::new(set.token(0)), Some(outbox.clone()), false);
        assert_eq!(poll(&mut message, &waker), data("a"));
        assert!(!message.is_end_stream());
        assert_eq!((poll(&mut message, &waker), woken(&set)), (Poll::Pending, 0));
        outbox.push("b".into());
        outbox.push("c".into());
        assert_eq!(woken(&set), 1, "once");
        assert_eq!((poll(&mut message, &waker), poll(&mut message, &waker)), (data("b"), data("c")));
        assert_eq!((poll(&mut message, &waker), woken(&set)), (Poll::Pending, 0));
        outbox.push("d".into());
        outbox.finish();
        outbox.push("too late".into());
        assert_eq!((woken(&set), message.is_end_stream()), (1, false));
        assert_eq!(poll(&mut message, &waker), data("d"));
        assert!(message.is_end_stream(), "the end leaves with the last message");
        assert_eq!(poll(&mut message, &waker), Poll::Ready(None));
    }

    #[test]
    fn an_aborted_request_is_reset_whatever_waits() {
        let set = &mut ReadySet::default();
        let outbox = Arc::new(Outbox::default());
        let mut message = Message::new("a".into(), 7, Arc::new(set.token(0)), Some(outbox.clone()), false);
        assert_eq!(poll(&mut message, Waker::noop()), data("a"));
        outbox.push("b".into());
        outbox.finish();
        outbox.abort();
        assert!(!message.is_end_stream());
        assert_eq!(poll(&mut message, Waker::noop()), Poll::Ready(Some(Err(Some(Reason::CANCEL)))));
    }
}
