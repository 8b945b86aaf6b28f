//! Connections of a member that can be paused: nothing is read or written then, and nobody is told.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use smol::Async;

use super::engine::lock;

/// Whether the connections of a member are paused.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Bar>);

#[derive(Debug, Default)]
struct Bar {
    closed: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(super) fn set_closed(&self, closed: bool) {
        let mut bar = lock(&self.0);
        bar.closed = closed;
        let woken = if closed { Vec::new() } else { std::mem::take(&mut bar.waiting) };
        drop(bar);
        woken.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut bar = lock(&self.0);
        if !bar.closed {
            return Poll::Ready(());
        }
        if !bar.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            bar.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// A connection behind a gate.
pub(super) struct Gated {
    pub(super) stream: Async<TcpStream>,
    pub(super) gate: Arc<Gate>,
}

impl AsyncRead for Gated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll(cx));
        Pin::new(&mut self.stream).poll_read(cx, room)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll(cx));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
