//! One connection of the driver: a socket, and the HTTP/2 on it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{Cause, Connect, ConnectionKey, Core, EndpointInput};

use super::bell::SocketBell;
use crate::http2::{Line, Linked};
use crate::runtime::{BoxFuture, ConnectError, Io};
use crate::shared::Shared;

/// A connection, from the attempt to make it on.
pub(super) struct Link {
    key: ConnectionKey,
    socket: Arc<SocketBell>,
    /// `socket` as a waker.
    waker: Waker,
    stage: Stage,
}

enum Stage {
    Dialling {
        attempt: BoxFuture<Result<Box<dyn Io>, ConnectError>>,
        connect: Connect,
        max_in_flight: usize,
    },
    Up {
        io: Box<dyn Io>,
        line: Box<Line>,
    },
    /// Could not be made, for a reason not yet told.
    Failed(Cause),
    Over,
}

/// A stream of the runtime, as one that says when it would block.
struct Polled<'a> {
    io: &'a mut dyn Io,
    cx: Context<'a>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn dial(connect: Connect, shared: &Shared, max_in_flight: usize) -> Self {
        let socket = Arc::new(SocketBell::new(shared.bell.clone()));
        let key = connect.connection;
        let attempt = shared.runtime.connect(connect.address.target());
        let waker = Waker::from(socket.clone());
        Self { key, socket, waker, stage: Stage::Dialling { attempt, connect, max_in_flight } }
    }

    /// Whether it has ended and said so.
    pub(super) fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Over => true,
            Stage::Up { line, .. } => line.is_over(),
            Stage::Dialling { .. } | Stage::Failed(_) => false,
        }
    }

    /// Whether there is something to tell the core.
    pub(super) fn has_news(&self) -> bool {
        match &self.stage {
            Stage::Failed(_) => true,
            Stage::Up { line, .. } => line.has_news(),
            Stage::Dialling { .. } | Stage::Over => false,
        }
    }

    /// When to advance at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Up { line, .. } => line.poll_timeout(),
            Stage::Dialling { .. } | Stage::Failed(_) | Stage::Over => None,
        }
    }

    /// Does what the socket and the time allow. Says whether there is more at once.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let mut ready = self.socket.take();
        if ready {
            self.dial_on(now);
        }
        let Stage::Up { io, line } = &mut self.stage else { return false };
        let more = line.advance(now, &mut ready, &mut Polled::new(&mut **io, &self.waker));
        if ready {
            self.socket.set();
        }
        more
    }

    fn dial_on(&mut self, now: Instant) {
        let Stage::Dialling { attempt, connect, max_in_flight } = &mut self.stage else { return };
        let Poll::Ready(made) = attempt.as_mut().poll(&mut Context::from_waker(&self.waker)) else { return };
        self.stage = match made {
            Err(error) => Stage::Failed(error.cause()),
            Ok(io) => match Line::new(connect, *max_in_flight, now) {
                Err(cause) => Stage::Failed(cause),
                Ok(line) => Stage::Up { io, line: Box::new(line) },
            },
        };
    }

    /// Tells the core what happened.
    pub(super) fn tell(&mut self, now: Instant, core: &mut Core) {
        match &mut self.stage {
            Stage::Up { line, .. } => line.tell(now, core),
            Stage::Failed(cause) => {
                core.handle_endpoint(now, self.key, EndpointInput::ConnectFailed(cause.clone()));
                self.stage = Stage::Over;
            }
            Stage::Dialling { .. } | Stage::Over => {}
        }
    }

    /// Frees what the news held.
    pub(super) fn forget_news(&mut self) {
        if let Stage::Up { line, .. } = &mut self.stage {
            line.forget_news();
        }
    }

    /// Writes what there is to write. Says whether that allows HTTP/2 to go on.
    pub(super) fn flush(&mut self) -> bool {
        match &mut self.stage {
            Stage::Up { io, line } => line.flush(&mut Polled::new(&mut **io, &self.waker)),
            Stage::Dialling { .. } | Stage::Failed(_) | Stage::Over => false,
        }
    }

    /// Ends the connection, as politely as can be without waiting.
    pub(super) fn close(self) {
        let Stage::Up { mut io, line } = self.stage else { return };
        line.close(&mut Polled::new(&mut *io, &self.waker));
        let _ = Pin::new(&mut *io).poll_close(&mut Context::from_waker(&self.waker));
    }
}

impl Linked for Link {
    fn key(&self) -> ConnectionKey {
        self.key
    }

    fn line(&mut self) -> Option<&mut Line> {
        match &mut self.stage {
            Stage::Up { line, .. } => Some(line),
            Stage::Dialling { .. } | Stage::Failed(_) | Stage::Over => None,
        }
    }
}

impl<'a> Polled<'a> {
    fn new(io: &'a mut dyn Io, waker: &'a Waker) -> Self {
        Self { io, cx: Context::from_waker(waker) }
    }
}

fn now_or_never<T>(result: Poll<io::Result<T>>) -> io::Result<T> {
    match result {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Polled<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        now_or_never(Pin::new(&mut *self.io).poll_read(&mut self.cx, room))
    }
}

impl io::Write for Polled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now_or_never(Pin::new(&mut *self.io).poll_write(&mut self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now_or_never(Pin::new(&mut *self.io).poll_flush(&mut self.cx))
    }
}
