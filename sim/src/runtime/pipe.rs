//! Connections in memory: two streams of bytes that take their time, hold only so much and can break.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use super::state::{Due, Shared, Side, State};

/// A connection: what both ends share.
#[derive(Default)]
pub(super) struct Connection {
    /// Index of the listener in the network.
    pub(super) listener: usize,
    to_client: Stream,
    to_server: Stream,
    /// Broken: both ends get errors.
    reset: bool,
    /// Nothing arrives at either end.
    stopped: bool,
}

/// Bytes on their way to a reader.
#[derive(Default)]
struct Stream {
    pieces: VecDeque<Piece>,
    /// Bytes in all pieces.
    held: usize,
    /// When the last piece arrives.
    last: u64,
    /// When the end arrives.
    end: Option<u64>,
    /// The reader has left.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Piece {
    arrives: u64,
    bytes: Vec<u8>,
    taken: usize,
}

impl Connection {
    pub(super) fn new(listener: usize) -> Self {
        Self { listener, ..Self::default() }
    }

    /// The stream that this side reads.
    fn to(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    /// Everyone who waits.
    fn waiting(&mut self) -> Vec<(Side, Waker)> {
        let mut all = Vec::new();
        all.extend(self.to_client.reader.take().map(|waker| (Side::Client, waker)));
        all.extend(self.to_client.writer.take().map(|waker| (Side::Server, waker)));
        all.extend(self.to_server.reader.take().map(|waker| (Side::Server, waker)));
        all.extend(self.to_server.writer.take().map(|waker| (Side::Client, waker)));
        all
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl State {
    /// Breaks a connection, as a reset does.
    pub(super) fn break_connection(&mut self, id: u64, wakes: &mut Vec<Waker>) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        connection.reset = true;
        for (side, waker) in connection.waiting() {
            self.notify(side, waker, wakes);
        }
    }

    /// Lets nothing arrive any more at either end of a connection, or lets everything that was kept arrive.
    pub(super) fn stop_connection(&mut self, id: u64, stopped: bool) {
        let restart = self.local_now() + self.profile.latency.draw(&mut self.rng);
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        connection.stopped = stopped;
        if stopped {
            return;
        }
        for side in [Side::Client, Side::Server] {
            let stream = connection.to(side);
            stream.pieces.iter_mut().for_each(|piece| piece.arrives = piece.arrives.max(restart));
            stream.last = stream.last.max(restart);
            stream.end = stream.end.map(|end| end.max(restart));
        }
        for reader in [Side::Client, Side::Server] {
            self.at(restart, Due::Arrival { connection: id, reader });
        }
    }

    /// Something arrived at a reader.
    pub(super) fn arrived(&mut self, connection: u64, reader: Side, wakes: &mut Vec<Waker>) {
        let waker = self.network.connections.get_mut(&connection).and_then(|c| c.to(reader).reader.take());
        if let Some(waker) = waker {
            self.notify(reader, waker, wakes);
        }
    }
}

/// One end of a connection.
pub(super) struct End {
    shared: Arc<Shared>,
    connection: u64,
    side: Side,
}

impl End {
    pub(super) fn new(shared: &Arc<Shared>, connection: u64, side: Side) -> Self {
        Self { shared: shared.clone(), connection, side }
    }

    /// Says that nothing more will be written.
    fn finish(&self, state: &mut State) {
        let arrives = state.local_now() + state.profile.latency.draw(&mut state.rng);
        let reader = self.side.other();
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return };
        let stream = connection.to(reader);
        if stream.end.is_some() {
            return;
        }
        let arrives = arrives.max(stream.last);
        stream.end = Some(arrives);
        state.at(arrives, Due::Arrival { connection: self.connection, reader });
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        if state.io(self.side, cx.waker()) {
            return Poll::Pending;
        }
        let (known, now) = (state.known(self.side), state.now);
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return gone() };
        if connection.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let stopped = connection.stopped;
        let stream = connection.to(self.side);
        let arrives = stream.pieces.front().map(|piece| piece.arrives).or(stream.end);
        let there = arrives.is_some_and(|arrives| arrives <= known) && !stopped;
        if !there {
            stream.reader = Some(cx.waker().clone());
            if !stopped && arrives.is_some_and(|arrives| arrives <= now) {
                // It is there, but the reactor has yet to see it.
                state.unseen.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let mut len = 0;
        let most = room.len().min(stream.held);
        let most = if most == 0 { 0 } else { state.some_of(most) };
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return gone() };
        let stream = connection.to(self.side);
        while len < most {
            let Some(piece) = stream.pieces.front_mut().filter(|piece| piece.arrives <= known) else { break };
            let take = (most - len).min(piece.bytes.len() - piece.taken);
            room[len..][..take].copy_from_slice(&piece.bytes[piece.taken..][..take]);
            piece.taken += take;
            len += take;
            if piece.taken == piece.bytes.len() {
                stream.pieces.pop_front();
            }
        }
        stream.held -= len;
        let writer = stream.writer.take();
        let mut wakes = Vec::new();
        if let Some(writer) = writer {
            state.notify(self.side.other(), writer, &mut wakes);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        if state.io(self.side, cx.waker()) {
            return Poll::Pending;
        }
        let reader = self.side.other();
        let buffer = state.profile.buffer;
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return gone() };
        let reset = connection.reset;
        let stream = connection.to(reader);
        if reset || stream.unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = buffer.saturating_sub(stream.held).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            stream.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = state.some_of(room);
        let arrives = state.local_now() + state.profile.latency.draw(&mut state.rng);
        state.note(self.connection, self.side, &bytes[..len]);
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return gone() };
        let stream = connection.to(reader);
        let arrives = arrives.max(stream.last);
        stream.last = arrives;
        stream.held += len;
        stream.pieces.push_back(Piece { arrives, bytes: bytes[..len].to_vec(), taken: 0 });
        state.at(arrives, Due::Arrival { connection: self.connection, reader });
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.shared.lock().io(self.side, cx.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(&mut self.shared.lock());
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        self.finish(&mut state);
        let Some(connection) = state.network.connections.get_mut(&self.connection) else { return };
        let other_left = connection.to(self.side.other()).unread;
        let stream = connection.to(self.side);
        stream.unread = true;
        let writer = stream.writer.take();
        if other_left {
            state.network.connections.remove(&self.connection);
        }
        let mut wakes = Vec::new();
        if let Some(writer) = writer {
            state.notify(self.side.other(), writer, &mut wakes);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }
}

/// An end lives as long as its connection; this is for the compiler.
fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
