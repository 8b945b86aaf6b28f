//! Answers on their way back: whole, in pieces, hidden by a proxy, reset, or garbled.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use etcdium_core::{CallInput, EndpointInput, ResetCause};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::World;
use super::network::Happening;
use super::records::Said;
use super::script::Fault;
use crate::framing::framed;
use crate::model::{Output, Status};

/// What the client gets of an answer at one time.
#[derive(Debug)]
pub(crate) enum Piece {
    /// All of a good one.
    Whole(Bytes),
    /// Its head.
    Head,
    /// Some of its body.
    Data(Bytes),
    /// Its trailers.
    End(u32, Cow<'static, str>),
    /// A status and nothing else.
    Only(u32, Cow<'static, str>),
    /// A page of a proxy.
    Http(u16),
    /// The stream is reset, or given back.
    Reset(ResetCause),
    /// A head that is no gRPC response's.
    WrongType,
    /// A head that is also the end, without a status.
    NoStatus,
    /// The end without trailers.
    Bare,
    /// Trailers with a status that is no number.
    BadStatus,
}

/// What hides an answer from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Veil {
    None,
    Http(u16),
    Reset,
    Garbage,
}

/// The header maps that most answers have.
#[derive(Debug)]
pub(crate) struct Heads {
    good: HeaderMap,
    wrong: HeaderMap,
    bad: HeaderMap,
    /// Trailers of a success.
    ok: HeaderMap,
}

impl Default for Heads {
    fn default() -> Self {
        let map = |name, value| {
            let mut map = HeaderMap::new();
            map.insert(name, HeaderValue::from_static(value));
            map
        };
        Self {
            good: map("content-type", "application/grpc"),
            wrong: map("content-type", "text/html"),
            bad: map("grpc-status", "fine"),
            ok: map("grpc-status", "0"),
        }
    }
}

impl Heads {
    fn status(code: u32, text: &str, headers: HeaderMap) -> HeaderMap {
        let mut headers = headers;
        headers.insert("grpc-status", code.into());
        if let Ok(text) = HeaderValue::from_str(text) {
            headers.insert("grpc-message", text);
        }
        headers
    }
}

impl World {
    /// Takes what the cluster has to say and sends it on its way.
    pub(crate) fn collect(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            if let Output::Message { call, message } = &output {
                self.hear_of_leases(*call, message);
            }
            match output {
                Output::Message { call, message } if self.is_stream(call) => {
                    self.stream_said(call.0 as usize, &message);
                }
                Output::End { call, status } if self.is_stream(call) => {
                    self.stream_ended(call.0 as usize, &status);
                }
                Output::Message { call, message } => {
                    if let Some(stream) = self.streams.get_mut(call.0 as usize) {
                        stream.body = Some(message);
                    }
                }
                Output::End { call, status } => self.answered(call.0 as usize, &status),
            }
        }
        if self.is_leasing() {
            self.learn_leases();
        }
    }

    fn answered(&mut self, call: usize, status: &Status) {
        let Some(record) = self.calls.get_mut(call) else { return };
        record.answered = Some(judge(status));
        if record.over || !self.lines[record.connection].served {
            return;
        }
        let place = self.connections[record.connection].place;
        if let Some(Fault::Slow(by)) = self.slow(place) {
            let stream = &mut self.streams[call];
            stream.back_at = stream.back_at.max(self.now + stream.rng.between(by / 2, by));
        }
        let stream = &mut self.streams[call];
        let body = stream.body.take();
        let pieces = stream.rng.chance(self.script.setup.pieces);
        match stream.veil {
            Veil::Http(code) => self.send_back(call, Piece::Http(code)),
            Veil::Reset => {
                let headed = self.streams[call].rng.chance(500);
                let code = *self.streams[call].rng.pick(&[2, 8, 11]);
                if headed {
                    self.send_back(call, Piece::Head);
                }
                self.send_back(call, Piece::Reset(ResetCause::Stream(code)));
            }
            Veil::Garbage => self.send_garbage(call, &body.unwrap_or_default()),
            Veil::None => match (status.is_ok(), body) {
                (true, Some(body)) if !pieces => self.send_back(call, Piece::Whole(framed(0, &body))),
                (true, Some(body)) => self.send_pieces(call, &framed(0, &body)),
                _ if pieces => {
                    self.send_back(call, Piece::Head);
                    self.send_back(call, Piece::End(status.code, status.message.clone()));
                }
                _ => self.send_back(call, Piece::Only(status.code, status.message.clone())),
            },
        }
    }

    fn slow(&self, place: usize) -> Option<Fault> {
        let mut faults = self.faults.iter();
        faults
            .find(|(fault, at, _)| *at == place && matches!(fault, Fault::Slow(_)))
            .map(|(fault, ..)| *fault)
    }

    pub(crate) fn send_pieces(&mut self, call: usize, message: &Bytes) {
        self.send_back(call, Piece::Head);
        let mut rest = message.clone();
        while !rest.is_empty() {
            let rng = &mut self.streams[call].rng;
            let most = if rng.chance(300) { 3 } else { rest.len() };
            let cut = 1 + rng.index(most.min(rest.len()));
            self.send_back(call, Piece::Data(rest.split_to(cut)));
        }
        self.send_back(call, Piece::End(0, Cow::Borrowed("")));
    }

    pub(crate) fn send_garbage(&mut self, call: usize, body: &[u8]) {
        let whole = framed(0, body);
        let ok = || Piece::End(0, Cow::Borrowed(""));
        // A field 1 that is longer than the message: no response of etcd can be read from it.
        const BROKEN: &[u8] = &[0x0a, 0xff, 0xff, 0xff, 0x07];
        // A renewal is answered once, whatever is broken: an answer says only which lease it is about, so a further one would
        // be the answer to a renewal asked for since, and a lie that no client sees through.
        let again = if self.is_renewing(call) { framed(0, BROKEN) } else { whole.clone() };
        let pieces = match self.streams[call].rng.index(10) {
            0 => vec![Piece::WrongType],
            1 => vec![Piece::NoStatus],
            2 => vec![Piece::Head, Piece::Data(framed(1, body)), ok()],
            3 => vec![Piece::Head, Piece::Data(framed(0, BROKEN).slice(..7)), ok()],
            4 => vec![Piece::Head, Piece::Data(whole), Piece::Data(again), ok()],
            5 => vec![Piece::Head, ok()],
            6 => vec![Piece::Head, Piece::Data(framed(0, BROKEN)), ok()],
            7 => vec![Piece::Data(whole)],
            8 => vec![Piece::Head, Piece::Data(whole), Piece::Bare],
            _ => vec![Piece::Head, Piece::Data(whole), Piece::BadStatus],
        };
        for piece in pieces {
            self.send_back(call, piece);
        }
    }

    /// Sends a piece back: it arrives after those before it.
    pub(crate) fn send_back(&mut self, call: usize, piece: Piece) {
        let (least, most) = self.script.setup.latency;
        let stream = &mut self.streams[call];
        // What follows a piece follows it closely.
        let wait = if stream.back_at > self.now {
            stream.rng.between(Duration::ZERO, most.saturating_sub(least) / 4)
        } else {
            stream.rng.between(least, most)
        };
        stream.back_at = stream.back_at.max(self.now) + wait;
        self.queue.push(stream.back_at, Happening::Piece(call, piece));
    }

    /// A piece arrives at the client.
    pub(crate) fn piece(&mut self, call: usize, piece: Piece) {
        let record = &self.calls[call];
        // What the connection itself says is heard whatever the server can still send.
        let local = matches!(piece, Piece::Reset(ResetCause::NotSent | ResetCause::GoAway));
        if record.over || (self.lines[record.connection].mute && !local) {
            return;
        }
        let connection = record.connection;
        if self.script.setup.tells_received && !local {
            self.tell(connection, EndpointInput::Received);
        }
        self.trace.add(self.since_start(), &(self.calls[call].key, &piece));
        if let Piece::Whole(data) | Piece::Data(data) = &piece {
            self.gets(call, data.len());
        }
        let over = !matches!(piece, Piece::Head | Piece::Data(_));
        if over {
            self.over(call);
        }
        if !local || self.calls[call].op.is_none() {
            self.connections[connection].heard = Some(self.now);
        }
        if let Piece::Reset(cause) = &piece {
            // A core whose time is up has ended the operation, and may not have told yet.
            let deadline = self.calls[call].op.and_then(|op| self.ops[op].deadline);
            self.calls[call].given_back = deadline.is_none_or(|deadline| deadline > self.now)
                && matches!(cause, ResetCause::NotSent | ResetCause::GoAway | ResetCause::Refused);
        }
        self.woken = None;
        let (core, heads) = (&mut self.core, &self.heads);
        let (key, now) = (self.calls[call].key, self.now);
        let head = |headers, end| CallInput::Head { status: StatusCode::OK, headers, end };
        match piece {
            Piece::Whole(message) => {
                core.handle_call(now, key, head(&heads.good, false));
                core.handle_call(now, key, CallInput::Data(message));
                core.handle_call(now, key, CallInput::End(Some(&heads.ok)));
            }
            Piece::Head => core.handle_call(now, key, head(&heads.good, false)),
            Piece::Data(data) => core.handle_call(now, key, CallInput::Data(data)),
            Piece::End(0, _) => core.handle_call(now, key, CallInput::End(Some(&heads.ok))),
            Piece::End(code, text) => {
                let trailers = Heads::status(code, &text, HeaderMap::new());
                core.handle_call(now, key, CallInput::End(Some(&trailers)));
            }
            Piece::Only(code, text) => {
                let headers = Heads::status(code, &text, heads.good.clone());
                core.handle_call(now, key, head(&headers, true));
            }
            Piece::Http(status) => {
                let status = StatusCode::from_u16(status).unwrap_or_default();
                let input = CallInput::Head { status, headers: &heads.wrong, end: true };
                core.handle_call(now, key, input);
            }
            Piece::Reset(cause) => core.handle_call(now, key, CallInput::Reset(cause)),
            Piece::WrongType => core.handle_call(now, key, head(&heads.wrong, true)),
            Piece::NoStatus => core.handle_call(now, key, head(&heads.good, true)),
            Piece::Bare => core.handle_call(now, key, CallInput::End(None)),
            Piece::BadStatus => core.handle_call(now, key, CallInput::End(Some(&heads.bad))),
        }
        self.touched();
    }
}

/// What an answer proves about a write. The texts are those of etcd's errors that come after a request may have entered
/// the log; said here a second time, so that the core's table is not judged by itself.
pub(crate) fn judge(status: &Status) -> Said {
    const DOUBTS: [&str; 6] = [
        "error reading from server",
        "etcdserver: request timed out",
        "etcdserver: leader changed",
        "etcdserver: server stopped",
        "context ",
        "etcdserver: mvcc: database space exceeded",
    ];
    if status.is_ok() {
        Said::Success
    } else if DOUBTS.iter().any(|doubt| status.message.starts_with(doubt)) {
        Said::Doubt
    } else {
        Said::Refusal
    }
}
