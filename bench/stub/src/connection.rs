//! One connection, on a thread of its own: read what there is, answer every complete call, write once, repeat.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use crate::Error;
use crate::answers::{Answers, Method, is_held};
use crate::frame::{self, ACK, END_HEADERS, END_STREAM, Frame, PREFACE};
use crate::hpack::Decoder;
use crate::sending::Sending;
use crate::store::Store;
use crate::streams::Streams;

const READ: usize = 512 * 1024;
/// Collected output after which it is written before more is answered.
const FULL: usize = 1024 * 1024;
/// Collected output after which events wait for what the peer has to say.
const TURN: usize = 128 * 1024;
/// What is sent in place of HTTP/2 by who wants to know how many renewals the stub has seen.
const RENEWALS: &[u8] = b"RENEWALS";

/// Window of each stream and of the connection, towards us.
const STREAM_WINDOW: u32 = 16 << 20;
const WINDOW: u32 = 1 << 30;

/// SETTINGS_HEADER_TABLE_SIZE, _MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE.
const TABLE_SIZE: u16 = 1;
const MAX_STREAMS: u16 = 3;
const INITIAL_WINDOW: u16 = 4;

/// Serves one connection until the peer closes it.
///
/// # Errors
/// Whatever the socket says, and frames that break the protocol.
pub(crate) fn serve(mut stream: TcpStream, ordinal: u64, store: Arc<Store>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(ordinal, store);
    let mut input = vec![0; READ];
    let mut filled = 0;
    let mut preface = false;
    loop {
        let more = connection.pump();
        stream.write_all(&connection.out)?;
        connection.out.clear();
        match read(&mut stream, &mut input[filled..], more)? {
            Some(0) => return Ok(()),
            Some(n) => filled += n,
            None => continue,
        }
        let mut rest = &input[..filled];
        if !preface {
            if rest == RENEWALS {
                return Ok(stream.write_all(connection.store.renewals().to_string().as_bytes())?);
            }
            if rest.len() < PREFACE.len() {
                continue;
            }
            rest = rest.strip_prefix(PREFACE).ok_or("not an HTTP/2 client")?;
            preface = true;
        }
        while let Some((frame, after)) = Frame::cut(rest) {
            rest = after;
            connection.handle(frame)?;
            if connection.out.len() > FULL {
                stream.write_all(&connection.out)?;
                connection.out.clear();
            }
        }
        let used = filled - rest.len();
        input.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// Reads what there is. While there is more to send, it does not wait: `None`.
fn read(stream: &mut TcpStream, input: &mut [u8], more: bool) -> Result<Option<usize>, Error> {
    if !more {
        return Ok(Some(stream.read(input)?));
    }
    stream.set_nonblocking(true)?;
    let outcome = stream.read(input);
    stream.set_nonblocking(false)?;
    match outcome {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Connection {
    ordinal: u64,
    store: Arc<Store>,
    decoder: Decoder,
    answers: Answers,
    sending: Sending,
    streams: Streams,
    calls: Calls,
    /// A header block that CONTINUATION frames complete, and whether its stream ends with it.
    block: Vec<u8>,
    block_ends_stream: bool,
    /// Bytes received since the last WINDOW_UPDATE of the connection.
    received: u32,
    out: Vec<u8>,
}

impl Connection {
    fn new(ordinal: u64, store: Arc<Store>) -> Self {
        let mut settings = Vec::new();
        for (id, value) in [(MAX_STREAMS, u32::MAX), (INITIAL_WINDOW, STREAM_WINDOW)] {
            settings.extend_from_slice(&id.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        let mut out = Vec::with_capacity(2 * FULL);
        frame::write(&mut out, frame::SETTINGS, 0, 0, &settings);
        frame::write(&mut out, frame::WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Self {
            ordinal,
            store,
            decoder: Decoder::new(),
            answers: Answers::new(ordinal),
            sending: Sending::new(),
            streams: Streams::default(),
            calls: Calls::default(),
            block: Vec::new(),
            block_ends_stream: false,
            received: 0,
            out,
        }
    }

    /// Collects what the open streams have to send; says whether there is more.
    fn pump(&mut self) -> bool {
        self.streams.pump(&mut self.out, TURN, &mut self.sending, &self.store)
    }

    fn answer(&mut self, stream: u32, method: Method, request: &[u8]) {
        let answer = self.answers.to(method, request, &self.store);
        self.sending.answer(&mut self.out, stream, answer);
    }

    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        match frame.kind {
            frame::HEADERS => {
                let block = frame.content().ok_or("HEADERS do not fit")?;
                let ends_stream = frame.flags & END_STREAM != 0;
                if frame.flags & END_HEADERS != 0 {
                    self.opened(frame.stream, block, ends_stream)?;
                } else {
                    self.block = block.to_vec();
                    self.block_ends_stream = ends_stream;
                }
            }
            frame::CONTINUATION => {
                self.block.extend_from_slice(frame.payload);
                if frame.flags & END_HEADERS != 0 {
                    let block = std::mem::take(&mut self.block);
                    self.opened(frame.stream, &block, self.block_ends_stream)?;
                }
            }
            frame::DATA => self.data(frame)?,
            frame::SETTINGS if frame.flags & ACK == 0 => {
                for setting in frame.payload.chunks_exact(6) {
                    let value = Frame::number(&setting[2..]);
                    match u16::from_be_bytes([setting[0], setting[1]]) {
                        TABLE_SIZE => self.sending.set_table_size(value),
                        INITIAL_WINDOW => {
                            let change = self.sending.set_stream_window(&mut self.out, value);
                            self.streams.shift(change);
                        }
                        _ => {}
                    }
                }
                frame::write(&mut self.out, frame::SETTINGS, ACK, 0, &[]);
            }
            frame::PING if frame.flags & ACK == 0 => {
                frame::write(&mut self.out, frame::PING, ACK, 0, frame.payload);
            }
            frame::WINDOW_UPDATE => {
                let by = Frame::number(frame.payload);
                if !self.streams.widen(frame.stream, by) {
                    self.sending.widen(&mut self.out, frame.stream, by);
                }
            }
            frame::RST_STREAM => {
                self.sending.forget(frame.stream);
                self.streams.forget(frame.stream);
                if let Some(Call { held: true, method, .. }) = self.calls.take(frame.stream) {
                    self.answer(frame.stream, method, &[]);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn opened(&mut self, stream: u32, block: &[u8], ends_stream: bool) -> Result<(), Error> {
        let method = self.decoder.method(block)?;
        if let (Method::Stream(kind), false) = (method, ends_stream) {
            self.streams.open(stream, kind, self.sending.stream_window());
            return Ok(());
        }
        if ends_stream {
            self.answer(stream, method, &[]);
            return Ok(());
        }
        self.calls.put(stream, Call { method, request: Vec::new(), held: false })
    }

    fn data(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.received += frame.payload.len() as u32;
        if self.received > WINDOW / 2 {
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        let content = frame.content().ok_or("DATA do not fit")?;
        let ends = frame.flags & END_STREAM != 0;
        let Some(call) = self.calls.get(frame.stream) else {
            let (out, store) = (&mut self.out, &self.store);
            return self.streams.receive(frame.stream, content, ends, out, store, self.ordinal);
        };
        let whole = ends && call.request.is_empty();
        if !whole {
            call.request.extend_from_slice(content);
        }
        if !ends {
            return Ok(());
        }
        let request = if whole { content } else { &call.request };
        if is_held(call.method, request) {
            call.held = true;
            return Ok(());
        }
        let answer = self.answers.to(call.method, request, &self.store);
        self.sending.answer(&mut self.out, frame.stream, answer);
        self.calls.take(frame.stream);
        Ok(())
    }
}

/// A call that is not answered yet.
struct Call {
    method: Method,
    /// What came of the request in DATA frames that did not end it.
    request: Vec<u8>,
    /// The request is complete, the answer waits for a reset.
    held: bool,
}

/// Calls by stream id. Ids only rise and calls are answered soon, so a short window over the ids holds all.
#[derive(Default)]
struct Calls {
    first: u32,
    slots: VecDeque<Option<Call>>,
}

impl Calls {
    fn put(&mut self, stream: u32, call: Call) -> Result<(), Error> {
        if self.slots.is_empty() {
            self.first = stream;
        }
        let slot = stream.checked_sub(self.first).ok_or("stream ids must rise")? as usize / 2;
        if slot > 1 << 20 {
            return Err("a call was left incomplete for a million others".into());
        }
        while self.slots.len() <= slot {
            self.slots.push_back(None);
        }
        self.slots[slot] = Some(call);
        Ok(())
    }

    fn get(&mut self, stream: u32) -> Option<&mut Call> {
        let slot = stream.checked_sub(self.first)? as usize / 2;
        self.slots.get_mut(slot)?.as_mut()
    }

    fn take(&mut self, stream: u32) -> Option<Call> {
        let slot = stream.checked_sub(self.first)? as usize / 2;
        let call = self.slots.get_mut(slot)?.take();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 2;
        }
        call
    }
}
