//! One connection of the driver: a socket, and the HTTP/2 on it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{CallKey, Cause, CauseKind, Connect, ConnectionKey, Core, EndpointInput, Open};

use super::bell::SocketBell;
use crate::http2::{Http2, Wire};
use crate::runtime::{BoxFuture, ConnectError, Io};
use crate::shared::Shared;

/// Reads of one turn, each of a buffer at most: then it is the others' turn.
const READS: usize = 4;

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
    Up(Box<Line>),
    /// Could not be made, for a reason not yet told.
    Failed(Cause),
    Over,
}

/// An open connection.
struct Line {
    io: Box<dyn Io>,
    http2: Http2,
    wire: Wire,
    /// Calls were opened or reset since HTTP/2 last ran.
    touched: bool,
    /// HTTP/2 takes nothing more in before it has written: reading waits for that.
    stalled: bool,
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

    pub(super) fn key(&self) -> ConnectionKey {
        self.key
    }

    /// Whether it has ended and said so.
    pub(super) fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Over => true,
            Stage::Up(line) => line.http2.is_over(),
            Stage::Dialling { .. } | Stage::Failed(_) => false,
        }
    }

    /// Whether there is something to tell the core.
    pub(super) fn has_news(&self) -> bool {
        match &self.stage {
            Stage::Failed(_) => true,
            Stage::Up(line) => line.http2.has_news(),
            Stage::Dialling { .. } | Stage::Over => false,
        }
    }

    /// When to advance at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Up(line) => line.http2.poll_timeout(),
            Stage::Dialling { .. } | Stage::Failed(_) | Stage::Over => None,
        }
    }

    /// Does what the socket and the time allow. Says whether there is more at once.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let mut ready = self.socket.take();
        if ready {
            self.dial_on(now);
        }
        let Stage::Up(line) = &mut self.stage else { return false };
        let mut more = false;
        // A stalled line reads once it has written.
        ready |= line.stalled;
        if ready {
            more = line.read(&mut Context::from_waker(&self.waker), now);
            if more {
                self.socket.set();
            }
        }
        if line.touched || line.http2.poll_timeout().is_some_and(|at| at <= now) {
            more |= line.run(now);
        }
        more
    }

    fn dial_on(&mut self, now: Instant) {
        let Stage::Dialling { attempt, connect, max_in_flight } = &mut self.stage else { return };
        let Poll::Ready(made) = attempt.as_mut().poll(&mut Context::from_waker(&self.waker)) else { return };
        self.stage = match made {
            Err(ConnectError::Resolve(error)) => {
                Stage::Failed(Cause::new(CauseKind::Resolve, error.to_string()))
            }
            Err(ConnectError::Open(error)) => Stage::Failed(Cause::connect(&error)),
            Ok(io) => match Http2::new(connect, *max_in_flight, now) {
                Err(cause) => Stage::Failed(cause),
                Ok(http2) => {
                    let wire = http2.wire().clone();
                    Stage::Up(Box::new(Line { io, http2, wire, touched: false, stalled: false }))
                }
            },
        };
    }

    /// Sends a request, with the next advance at the latest.
    pub(super) fn open(&mut self, open: Open) {
        if let Stage::Up(line) = &mut self.stage {
            line.http2.open(open);
            line.touched = true;
        }
    }

    /// Gives a call up.
    pub(super) fn reset(&mut self, call: CallKey) {
        if let Stage::Up(line) = &mut self.stage {
            line.http2.reset(call);
            line.touched = true;
        }
    }

    /// Lets HTTP/2 go on.
    pub(super) fn run(&mut self, now: Instant) {
        if let Stage::Up(line) = &mut self.stage {
            // What is left is left to the next advance.
            line.run(now);
        }
    }

    /// Tells the core what happened.
    pub(super) fn tell(&mut self, now: Instant, core: &mut Core) {
        match &mut self.stage {
            Stage::Up(line) => line.http2.tell(now, core),
            Stage::Failed(cause) => {
                core.handle_endpoint(now, self.key, EndpointInput::ConnectFailed(cause.clone()));
                self.stage = Stage::Over;
            }
            Stage::Dialling { .. } | Stage::Over => {}
        }
    }

    /// Frees what the news held.
    pub(super) fn forget_news(&mut self) {
        if let Stage::Up(line) = &mut self.stage {
            line.http2.forget_news();
        }
    }

    /// Writes what there is to write. Says whether that allows HTTP/2 to go on.
    pub(super) fn flush(&mut self) -> bool {
        match &mut self.stage {
            Stage::Up(line) => line.flush(&mut Context::from_waker(&self.waker)),
            Stage::Dialling { .. } | Stage::Failed(_) | Stage::Over => false,
        }
    }

    /// Ends the connection, as politely as can be without waiting.
    pub(super) fn close(self) {
        let Stage::Up(line) = self.stage else { return };
        let Line { mut io, http2, .. } = *line;
        let wire = http2.close();
        let mut cx = Context::from_waker(&self.waker);
        let mut buffers = wire.buffers();
        while !buffers.unwritten().is_empty() {
            match Pin::new(&mut *io).poll_write(&mut cx, buffers.unwritten()) {
                Poll::Ready(Ok(len)) if len > 0 => buffers.wrote(len),
                _ => return,
            };
        }
        let _ = Pin::new(&mut *io).poll_close(&mut cx);
    }
}

impl Line {
    fn run(&mut self, now: Instant) -> bool {
        self.touched = self.http2.run(now);
        self.touched
    }

    /// Reads until the socket has nothing more or enough was read; says which.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.stalled = false;
        for _ in 0..READS {
            let read = {
                let mut buffers = self.wire.buffers();
                let room = buffers.room();
                if room.is_empty() {
                    self.stalled = true;
                    return false;
                }
                Pin::new(&mut *self.io).poll_read(cx, room)
            };
            match read {
                Poll::Pending => return false,
                Poll::Ready(Ok(len)) => {
                    self.http2.received(len);
                    self.run(now);
                    if len == 0 {
                        return false;
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => {
                    self.http2.failed(&error);
                    self.run(now);
                    return false;
                }
            }
        }
        true
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut wrote, mut go_on) = (false, false);
        loop {
            let written = {
                let buffers = self.wire.buffers();
                if buffers.unwritten().is_empty() {
                    break;
                }
                Pin::new(&mut *self.io).poll_write(cx, buffers.unwritten())
            };
            let error = match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => io::ErrorKind::WriteZero.into(),
                Poll::Ready(Ok(len)) => {
                    wrote = true;
                    go_on |= self.http2.wrote(len);
                    continue;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Err(error)) => error,
            };
            self.http2.failed(&error);
            go_on = true;
            break;
        }
        if wrote {
            // Streams that buffer, such as TLS, need it; whether they are done shows in the next write.
            if let Poll::Ready(Err(error)) = Pin::new(&mut *self.io).poll_flush(cx) {
                self.http2.failed(&error);
                go_on = true;
            }
        }
        self.touched |= go_on;
        go_on || (wrote && self.stalled)
    }
}
