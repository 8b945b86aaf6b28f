//! HTTP/2 on a byte stream that never blocks: what moves between the two, and when.

use std::io::{self, Read, Write};
use std::time::Instant;

use bytes::Bytes;
use etcdium_core::{CallKey, Cause, Connect, Core, Open};

use super::{Http2, Wire};

/// Reads of one turn, each of a buffer at most: then it is the others' turn.
const READS: usize = 4;

/// Calls opened before HTTP/2 runs: keeps a burst from building all its futures at once.
const BATCH: usize = 32;

/// A connection whose byte stream is open, or being opened by the operating system.
///
/// The stream is handed to each call that needs it. It says [`io::ErrorKind::WouldBlock`] where it would have to wait.
#[derive(Debug)]
pub(crate) struct Line {
    http2: Http2,
    wire: Wire,
    /// Calls were opened or reset since HTTP/2 last ran.
    touched: bool,
    /// How many calls were opened since then.
    opened: usize,
    /// HTTP/2 takes nothing more in before it has written: reading waits for that.
    stalled: bool,
    /// The stream has moved a byte: it is open.
    established: bool,
    /// The stream took no more when last written to.
    blocked: bool,
    /// The stream keeps bytes back that it took.
    unflushed: bool,
}

impl Line {
    /// Begins HTTP/2.
    pub(crate) fn new(connect: &Connect, max_in_flight: usize, now: Instant) -> Result<Self, Cause> {
        let http2 = Http2::new(connect, max_in_flight, now)?;
        let wire = http2.wire().clone();
        Ok(Self {
            http2,
            wire,
            touched: false,
            opened: 0,
            stalled: false,
            established: false,
            blocked: false,
            unflushed: false,
        })
    }

    /// Whether it has ended and said so.
    pub(crate) fn is_over(&self) -> bool {
        self.http2.is_over()
    }

    /// Whether there is something to tell the core.
    pub(crate) fn has_news(&self) -> bool {
        self.http2.has_news()
    }

    /// When to advance at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.http2.poll_timeout()
    }

    /// Whether bytes read now would be taken in.
    pub(crate) fn wants_read(&self) -> bool {
        !self.stalled
    }

    /// Whether bytes wait for the stream to take them.
    pub(crate) fn wants_write(&self) -> bool {
        self.unflushed || !self.wire.buffers().unwritten().is_empty()
    }

    /// Does what the stream and the time allow. `ready` says whether the stream may have something to read, before and
    /// after. Says whether there is more to do at once.
    pub(crate) fn advance(&mut self, now: Instant, ready: &mut bool, io: &mut impl Read) -> bool {
        let (mut more, mut ran) = (false, false);
        // A stalled line reads once it has written.
        if *ready || self.stalled {
            *ready = self.read(now, io, &mut ran);
            more = *ready;
        }
        // What a run leaves may come after other tasks.
        if ran {
            more |= self.touched;
        } else if self.touched || self.poll_timeout().is_some_and(|at| at <= now) {
            more |= self.run(now);
        }
        more
    }

    /// Reads until the stream has nothing more or enough was read; says which. Sets `ran` if HTTP/2 ran meanwhile.
    fn read(&mut self, now: Instant, io: &mut impl Read, ran: &mut bool) -> bool {
        self.stalled = false;
        for _ in 0..READS {
            let read = {
                let mut buffers = self.wire.buffers();
                let room = buffers.room();
                if room.is_empty() {
                    self.stalled = true;
                    return false;
                }
                io.read(room)
            };
            match read {
                Ok(len) => {
                    self.established = true;
                    self.http2.received(len);
                    self.run(now);
                    *ran = true;
                    if len == 0 {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if !self.must_wait(&error) {
                        self.fail(&error);
                        self.run(now);
                        *ran = true;
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Sends a request, with the next advance at the latest.
    pub(crate) fn open(&mut self, open: Open, now: Instant) {
        self.http2.open(open);
        self.touched = true;
        self.opened += 1;
        if self.opened % BATCH == 0 {
            // What is left is left to the next advance.
            self.run(now);
        }
    }

    /// Sends a further message of a call, with the next advance at the latest.
    pub(crate) fn send(&mut self, call: CallKey, message: Bytes) {
        if let Some(outbox) = self.http2.outbox(call) {
            outbox.push(message);
            self.touched = true;
        }
    }

    /// Ends the request of a call.
    pub(crate) fn finish(&mut self, call: CallKey) {
        if let Some(outbox) = self.http2.outbox(call) {
            outbox.finish();
            self.touched = true;
        }
    }

    /// Gives a call up.
    pub(crate) fn reset(&mut self, call: CallKey) {
        self.http2.reset(call);
        self.touched = true;
    }

    fn run(&mut self, now: Instant) -> bool {
        self.opened = 0;
        self.touched = self.http2.run(now);
        self.touched
    }

    /// Tells the core what happened.
    pub(crate) fn tell(&mut self, now: Instant, core: &mut Core) {
        self.http2.tell(now, core);
    }

    /// Frees what the news held.
    pub(crate) fn forget_news(&mut self) {
        self.http2.forget_news();
    }

    /// Writes what there is to write. Says whether that allows HTTP/2 to go on, or is news.
    pub(crate) fn flush(&mut self, io: &mut impl Write) -> bool {
        let (mut wrote, mut go_on, mut unblocked) = (false, false, false);
        loop {
            let written = {
                let buffers = self.wire.buffers();
                if buffers.unwritten().is_empty() {
                    break;
                }
                io.write(buffers.unwritten())
            };
            let error = match written {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(len) => {
                    self.established = true;
                    wrote = true;
                    if core::mem::take(&mut self.blocked) {
                        self.http2.unblocked();
                        unblocked = true;
                    }
                    go_on |= self.http2.wrote(len);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if self.must_wait(&error) => {
                    self.blocked = true;
                    break;
                }
                Err(error) => error,
            };
            self.fail(&error);
            go_on = true;
            break;
        }
        if wrote || self.unflushed {
            // Streams that buffer, such as TLS, need it.
            self.unflushed = false;
            match io.flush() {
                Ok(()) => {}
                Err(error) if self.must_wait(&error) => self.unflushed = true,
                Err(error) => {
                    self.fail(&error);
                    go_on = true;
                }
            }
        }
        self.touched |= go_on;
        go_on || unblocked || (wrote && self.stalled)
    }

    /// Whether an error only means to try again when the stream is ready.
    fn must_wait(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::WouldBlock => true,
            // So some systems call a socket that is still being connected.
            io::ErrorKind::NotConnected => !self.established,
            _ => false,
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let cause = if self.established { Cause::io(error) } else { Cause::connect(error) };
        self.http2.failed(cause, error);
    }

    /// Ends the connection, as politely as can be without waiting.
    pub(crate) fn close(self, io: &mut impl Write) {
        let wire = self.http2.close();
        let mut buffers = wire.buffers();
        while !buffers.unwritten().is_empty() {
            match io.write(buffers.unwritten()) {
                Ok(len) if len > 0 => buffers.wrote(len),
                _ => return,
            };
        }
        // What the stream keeps back is lost, which costs no more than the politeness.
        let _ = io.flush();
    }
}
