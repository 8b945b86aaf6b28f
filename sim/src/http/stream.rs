//! A byte stream of `futures_io` as hyper wants it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

/// The most that is read at once.
const READ: usize = 16 * 1024;

/// A stream for hyper.
pub(super) struct Stream<T> {
    inner: T,
    /// Read into first: hyper's own buffer cannot be given away without unsafe code.
    buffer: Box<[u8]>,
}

impl<T> Stream<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, buffer: vec![0; READ].into_boxed_slice() }
    }
}

impl<T: AsyncRead + Unpin> Read for Stream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, buffer } = self.get_mut();
        let len = buffer.len().min(room.remaining());
        let len = ready!(Pin::new(inner).poll_read(cx, &mut buffer[..len]))?;
        room.put_slice(&buffer[..len]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for Stream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}
