//! The byte stream hyper sees: two buffers in memory. Their other ends belong to the connection's owner, who reads a
//! socket ahead into the one and writes the other out once per turn.
//!
//! hyper's many small writes become one; it reads at most one buffer before the bodies it read are drained; and no
//! socket is needed to drive it.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::shared::lock;

/// How much is read ahead of hyper.
const READ_AHEAD: usize = 64 * 1024;

/// How much may wait to be written before hyper has to.
const UNWRITTEN_MAX: usize = 256 * 1024;

/// A write buffer that grew beyond this is given back once it is empty: what hyper adds at once can be large.
const KEEP: usize = 2 * UNWRITTEN_MAX;

/// Both ends of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<Mutex<Buffers>>);

/// The buffers of a [`Wire`].
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    read: Vec<u8>,
    /// What of `read` hyper has not taken.
    start: usize,
    end: usize,
    eof: bool,
    error: Option<(io::ErrorKind, String)>,
    write: Vec<u8>,
    written: usize,
    /// Whether hyper waits for room to write.
    full: bool,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn buffers(&self) -> MutexGuard<'_, Buffers> {
        lock(&self.0)
    }
}

impl Buffers {
    /// Room to read into; empty while hyper has not taken what was read before.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.read.is_empty() {
                self.read = vec![0; READ_AHEAD];
            }
        }
        &mut self.read[self.end..]
    }

    /// Takes over the first `len` bytes of the room, and shows them.
    pub(crate) fn filled(&mut self, len: usize) -> &[u8] {
        let end = (self.end + len).min(self.read.len());
        let new = &self.read[self.end..end];
        self.end = end;
        new
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) {
        self.eof = true;
    }

    /// The stream failed: nothing more will come, nothing can be written.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        self.error.get_or_insert_with(|| (error.kind(), error.to_string()));
        self.write.clear();
        self.written = 0;
    }

    /// What is to be written.
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.write[self.written..]
    }

    /// Lets go of the first `len` bytes to be written. Says whether hyper waited for that.
    pub(crate) fn wrote(&mut self, len: usize) -> bool {
        self.written += len;
        if self.written >= self.write.len() {
            self.written = 0;
            self.write.clear();
            if self.write.capacity() > KEEP {
                self.write = Vec::new();
            }
        }
        self.unwritten().len() < UNWRITTEN_MAX && core::mem::take(&mut self.full)
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffers = self.buffers();
        let len = buf.remaining().min(buffers.end - buffers.start);
        if len > 0 {
            buf.put_slice(&buffers.read[buffers.start..][..len]);
            buffers.start += len;
            return Poll::Ready(Ok(()));
        }
        match &buffers.error {
            Some((kind, text)) => Poll::Ready(Err(io::Error::new(*kind, text.clone()))),
            None if buffers.eof => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut buffers = self.buffers();
        if let Some((kind, text)) = &buffers.error {
            return Poll::Ready(Err(io::Error::new(*kind, text.clone())));
        }
        if buffers.unwritten().len() >= UNWRITTEN_MAX {
            buffers.full = true;
            return Poll::Pending;
        }
        buffers.write.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The owner closes the socket when hyper's side has ended.
        Poll::Ready(Ok(()))
    }
}
