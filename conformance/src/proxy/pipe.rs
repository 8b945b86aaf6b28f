//! One direction of one connection: bytes taken in, delayed, and given out.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::rules::{Flow, Rule};

/// How much may be on its way; then the sender is made to wait.
const LIMIT: usize = 4 << 20;
/// How much is read at a time.
const READ: usize = 64 << 10;
/// How often a pipe goes round before the others get their turn.
const ROUNDS: usize = 32;
/// A limited pipe gives out what fits into this time at once.
const SLICE: Duration = Duration::from_millis(5);

/// Bytes that have been sent and not arrived.
#[derive(Debug)]
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    /// How many of them have been given out.
    given: usize,
}

/// Where the sender is.
#[derive(Clone, Copy, Debug)]
enum Source {
    Open,
    /// It has sent its last byte; the receiver is to hear of it then.
    Ended(Instant),
    /// The receiver has heard of it.
    Told,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Pipe {
    chunks: VecDeque<Chunk>,
    held: usize,
    source: Source,
    /// Before then nothing is given out, for the sake of the bandwidth.
    free: Option<Instant>,
    /// Something that was sent will never arrive.
    pub(super) lossy: bool,
    /// The receiver is gone and the sender must not learn of it: everything vanishes.
    pub(super) sink: bool,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing to do before then, or before a socket says so.
    Wait(Option<Instant>),
    /// The receiver does not take any more: it is gone.
    ReceiverGone,
    /// The sender is gone without an orderly end, or the budget is used up.
    Reset,
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) delivered: u64,
    pub(super) swallowed: u64,
}

impl Pipe {
    pub(super) fn new() -> Self {
        Self { chunks: VecDeque::new(), held: 0, source: Source::Open, free: None, lossy: false, sink: false }
    }

    /// Whether the receiver has got everything, and has been told that this is all.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.source, Source::Told)
    }

    /// Moves what can be moved now. Without a receiver bytes only wait.
    pub(super) fn turn(
        &mut self,
        from: &mut TcpStream,
        to: Option<&mut TcpStream>,
        rule: &mut Rule,
        now: Instant,
        done: &mut Done,
    ) -> Turn {
        let flow = if self.sink { Flow::Swallow } else { rule.flow };
        match flow {
            Flow::Hold => Turn::Wait(None),
            Flow::Swallow => self.swallow(from, done),
            Flow::Pass => self.pass(from, to, rule, now, done),
        }
    }

    fn swallow(&mut self, from: &mut TcpStream, done: &mut Done) -> Turn {
        if self.held > 0 {
            done.swallowed += self.held as u64;
            self.lossy = true;
            self.held = 0;
            self.chunks.clear();
        }
        // Also of an end the other side does not hear.
        self.lossy |= matches!(self.source, Source::Ended(_));
        let mut buffer = [0; READ];
        while let Source::Open = self.source {
            match from.read(&mut buffer) {
                Ok(0) => self.source = Source::Told,
                Ok(count) => done.swallowed += count as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait(None),
                Err(_) => self.source = Source::Told,
            }
            self.lossy = true;
        }
        Turn::Wait(None)
    }

    fn pass(
        &mut self,
        from: &mut TcpStream,
        mut to: Option<&mut TcpStream>,
        rule: &mut Rule,
        now: Instant,
        done: &mut Done,
    ) -> Turn {
        for _ in 0..ROUNDS {
            let read = match self.take_in(from, now + rule.latency) {
                Ok(read) => read,
                Err(turn) => return turn,
            };
            let Some(to) = to.as_deref_mut() else { if read { continue } else { return Turn::Wait(None) } };
            match self.give_out(to, rule, now, done) {
                Ok(true) => {}
                Ok(false) if read => {}
                Ok(false) => return Turn::Wait(self.next(now)),
                Err(turn) => return turn,
            }
        }
        // There is more to do, after the others have had their turn.
        Turn::Wait(Some(now))
    }

    /// Reads once; true if that brought something.
    fn take_in(&mut self, from: &mut TcpStream, due: Instant) -> Result<bool, Turn> {
        if self.held >= LIMIT || !matches!(self.source, Source::Open) {
            return Ok(false);
        }
        let mut buffer = [0; READ];
        match from.read(&mut buffer) {
            Ok(0) => self.source = Source::Ended(due),
            Ok(count) => {
                self.held += count;
                self.chunks.push_back(Chunk { due, bytes: buffer[..count].to_vec(), given: 0 });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Turn::Reset),
        }
        Ok(true)
    }

    /// Writes once; true if that moved something.
    fn give_out(
        &mut self,
        to: &mut TcpStream,
        rule: &mut Rule,
        now: Instant,
        done: &mut Done,
    ) -> Result<bool, Turn> {
        let Some(chunk) = self.chunks.front_mut() else {
            let Source::Ended(due) = self.source else { return Ok(false) };
            if due > now {
                return Ok(false);
            }
            self.source = Source::Told;
            // One that is gone already needs not be told.
            let _ = to.shutdown(Shutdown::Write);
            return Ok(true);
        };
        if chunk.due > now || self.free.is_some_and(|free| free > now) {
            return Ok(false);
        }
        let mut count = chunk.bytes.len() - chunk.given;
        if let Some(bandwidth) = rule.bandwidth {
            let slice = bandwidth.get().saturating_mul(SLICE.as_millis() as u64) / 1000;
            count = count.min(usize::try_from(slice).unwrap_or(usize::MAX).max(1));
        }
        if let Some(budget) = rule.budget {
            count = count.min(usize::try_from(budget).unwrap_or(usize::MAX));
        }
        if count > 0 {
            match to.write(&chunk.bytes[chunk.given..chunk.given + count]) {
                Ok(written) => count = written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
                Err(_) => return Err(Turn::ReceiverGone),
            }
        }
        chunk.given += count;
        if chunk.given == chunk.bytes.len() {
            self.chunks.pop_front();
        }
        self.held -= count;
        done.delivered += count as u64;
        if let Some(bandwidth) = rule.bandwidth {
            self.free = Some(now + Duration::from_secs_f64(count as f64 / bandwidth.get() as f64));
        }
        if let Some(budget) = &mut rule.budget {
            *budget -= count as u64;
            if *budget == 0 {
                rule.budget = None;
                return Err(Turn::Reset);
            }
        }
        Ok(true)
    }

    /// When something falls due.
    fn next(&self, now: Instant) -> Option<Instant> {
        let due = match (self.chunks.front(), self.source) {
            (Some(chunk), _) => self.free.map_or(chunk.due, |free| free.max(chunk.due)),
            (None, Source::Ended(due)) => due,
            (None, _) => return None,
        };
        // One that is due already waits for its receiver.
        (due > now).then_some(due)
    }
}
