//! One connection of a transport: a socket that somebody else made, and the HTTP/2 on it.

use std::io::{Read, Write};
use std::time::Instant;

use etcdium_core::{Cause, Connect, ConnectionKey, Core, EndpointInput};

use super::Interest;
use crate::http2::{Line, Linked};

/// A connection, from the wish for it on.
#[derive(Debug)]
pub(super) struct Link<S> {
    connect: Connect,
    stage: Stage<S>,
    /// The socket may have something to read.
    readable: bool,
    /// The socket may have room for something to write.
    writable: bool,
}

#[derive(Debug)]
enum Stage<S> {
    /// The owner was asked for a socket.
    Wanted,
    Up {
        socket: S,
        line: Box<Line>,
    },
    /// Could not be made, for a reason not yet told.
    Failed(Cause),
    Over,
}

impl<S> Link<S> {
    pub(super) fn new(connect: Connect) -> Self {
        Self { connect, stage: Stage::Wanted, readable: false, writable: false }
    }

    /// Whether it waits for a socket.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.stage, Stage::Wanted)
    }

    /// Begins HTTP/2 on this socket. Gives it back if that is not possible.
    pub(super) fn attach(&mut self, now: Instant, max_in_flight: usize, socket: S) -> Option<S> {
        match Line::new(&self.connect, max_in_flight, now) {
            Ok(line) => {
                (self.readable, self.writable) = (true, true);
                self.stage = Stage::Up { socket, line: Box::new(line) };
                None
            }
            Err(cause) => {
                self.fail(cause);
                Some(socket)
            }
        }
    }

    /// Gives the attempt up.
    pub(super) fn fail(&mut self, cause: Cause) {
        self.stage = Stage::Failed(cause);
    }

    /// The socket may be ready.
    pub(super) fn ready(&mut self) {
        (self.readable, self.writable) = (true, true);
    }

    /// Its socket, and what that waits for.
    pub(super) fn socket(&mut self) -> Option<(ConnectionKey, &mut S, Interest)> {
        let Stage::Up { socket, line } = &mut self.stage else { return None };
        let interest = Interest { readable: line.wants_read(), writable: line.wants_write() };
        Some((self.connect.connection, socket, interest))
    }

    /// Its socket.
    pub(super) fn into_socket(self) -> Option<S> {
        match self.stage {
            Stage::Up { socket, .. } => Some(socket),
            Stage::Wanted | Stage::Failed(_) | Stage::Over => None,
        }
    }

    /// Whether it has ended and said so.
    pub(super) fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Over => true,
            Stage::Up { line, .. } => line.is_over(),
            Stage::Wanted | Stage::Failed(_) => false,
        }
    }

    /// When to advance at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Up { line, .. } => line.poll_timeout(),
            Stage::Wanted | Stage::Failed(_) | Stage::Over => None,
        }
    }

    /// Tells the core what happened.
    pub(super) fn tell(&mut self, now: Instant, core: &mut Core) {
        match &mut self.stage {
            Stage::Up { line, .. } => {
                line.tell(now, core);
                line.forget_news();
            }
            Stage::Failed(cause) => {
                let input = EndpointInput::ConnectFailed(cause.clone());
                core.handle_endpoint(now, self.connect.connection, input);
                self.stage = Stage::Over;
            }
            Stage::Wanted | Stage::Over => {}
        }
    }
}

impl<S: Read + Write> Link<S> {
    /// Does what the socket and the time allow. Says whether there is more at once.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let Stage::Up { socket, line } = &mut self.stage else { return false };
        line.advance(now, &mut self.readable, socket)
    }

    /// Writes what there is to write, if there may be room for it. Says whether that allows HTTP/2 to go on.
    pub(super) fn flush(&mut self) -> bool {
        let Stage::Up { socket, line } = &mut self.stage else { return false };
        if !self.writable {
            return false;
        }
        let go_on = line.flush(socket);
        self.writable = !line.wants_write();
        go_on
    }

    /// Ends the connection, as politely as can be without waiting.
    pub(super) fn close(self) -> Option<S> {
        let Stage::Up { mut socket, line } = self.stage else { return None };
        line.close(&mut socket);
        Some(socket)
    }
}

impl<S> Linked for Link<S> {
    fn key(&self) -> ConnectionKey {
        self.connect.connection
    }

    fn line(&mut self) -> Option<&mut Line> {
        match &mut self.stage {
            Stage::Up { line, .. } => Some(line),
            Stage::Wanted | Stage::Failed(_) | Stage::Over => None,
        }
    }
}
