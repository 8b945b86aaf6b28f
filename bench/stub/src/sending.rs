//! Answers on their way out: header blocks, flow-control windows, and what waits for them.

use std::collections::VecDeque;

use crate::answers::{Answer, REVISION_AT};
use crate::frame::{self, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, MAX_FRAME};
use crate::store::varint;

/// The window that streams and connections begin with.
const DEFAULT_WINDOW: i64 = 65_535;

/// `:status: 200` and `content-type: application/grpc`, the latter put into the peer's dynamic table.
const HEAD_INSERT: &[u8] = b"\x88\x5f\x10application/grpc";
/// The same without the dynamic table.
const HEAD_PLAIN: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0` and an empty `grpc-message`, as etcd sends both, put into the peer's dynamic table.
const TRAILERS_INSERT: &[u8] = b"\x40\x0bgrpc-status\x010\x40\x0cgrpc-message\x00";
/// The same without the dynamic table.
const TRAILERS_PLAIN: &[u8] = b"\x00\x0bgrpc-status\x010\x00\x0cgrpc-message\x00";
/// An answer without a message: `grpc-status: 12`, not implemented.
const UNIMPLEMENTED: &[u8] = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0212";
/// What the two blocks that insert leave in the table: message, status, content type from the newest on.
const TRAILERS_INDEXED: &[u8] = &[0x80 | 63, 0x80 | 62];

/// How far the peer's dynamic table is filled.
#[derive(Clone, Copy)]
enum Table {
    /// The peer wants no table of the default size.
    Unused,
    Empty,
    ContentType,
    Full,
}

/// A message that the windows do not let out yet.
struct Queued {
    stream: u32,
    window: i64,
    answer: Answer,
    sent: usize,
}

/// The sending half of a connection; it only appends to a buffer.
pub(crate) struct Sending {
    window: i64,
    stream_window: i64,
    queue: VecDeque<Queued>,
    table: Table,
}

impl Sending {
    pub(crate) fn new() -> Self {
        let queue = VecDeque::new();
        Self { window: DEFAULT_WINDOW, stream_window: DEFAULT_WINDOW, queue, table: Table::Empty }
    }

    /// What the connection's window still holds.
    pub(crate) fn window(&self) -> i64 {
        self.window
    }

    /// Takes this much off the connection's window.
    pub(crate) fn use_window(&mut self, len: i64) {
        self.window -= len;
    }

    /// The window that a stream begins with.
    pub(crate) fn stream_window(&self) -> i64 {
        self.stream_window
    }

    /// The peer's setting for new streams, which changes those that wait as well. Says by how much it changed.
    pub(crate) fn set_stream_window(&mut self, out: &mut Vec<u8>, size: u32) -> i64 {
        let change = i64::from(size) - self.stream_window;
        self.stream_window += change;
        for queued in &mut self.queue {
            queued.window += change;
        }
        self.pump(out);
        change
    }

    /// The peer's setting for the dynamic table. It comes before any answer, since a peer's first frame has it.
    pub(crate) fn set_table_size(&mut self, size: u32) {
        if size < 4096 {
            self.table = Table::Unused;
        }
    }

    /// A WINDOW_UPDATE; stream 0 is the connection.
    pub(crate) fn widen(&mut self, out: &mut Vec<u8>, stream: u32, by: u32) {
        if stream == 0 {
            self.window += i64::from(by);
        } else if let Some(queued) = self.queue.iter_mut().find(|queued| queued.stream == stream) {
            queued.window += i64::from(by);
        } else {
            return;
        }
        self.pump(out);
    }

    /// Forgets a stream that the peer has reset.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.queue.retain(|queued| queued.stream != stream);
    }

    /// Answers a call; `None` says that the method is unknown.
    pub(crate) fn answer(&mut self, out: &mut Vec<u8>, stream: u32, answer: Option<Answer>) {
        let Some(answer) = answer else {
            return frame::write(out, HEADERS, END_HEADERS | END_STREAM, stream, UNIMPLEMENTED);
        };
        self.head(out, stream);
        let len = answer.message.len() as i64;
        if len <= MAX_FRAME as i64 && len <= self.window.min(self.stream_window) {
            self.window -= len;
            data(out, stream, &answer, 0, answer.message.len());
            self.trailers(out, stream);
        } else {
            self.queue.push_back(Queued { stream, window: self.stream_window, answer, sent: 0 });
            self.pump(out);
        }
    }

    /// Begins an answer.
    pub(crate) fn head(&mut self, out: &mut Vec<u8>, stream: u32) {
        let head = match self.table {
            Table::Unused => HEAD_PLAIN,
            Table::Empty => {
                self.table = Table::ContentType;
                HEAD_INSERT
            }
            Table::ContentType => &[0x88, 0x80 | 62],
            Table::Full => &[0x88, 0x80 | 64],
        };
        frame::write(out, HEADERS, END_HEADERS, stream, head);
    }

    /// Ends an answer.
    pub(crate) fn trailers(&mut self, out: &mut Vec<u8>, stream: u32) {
        let block = match self.table {
            Table::Unused => TRAILERS_PLAIN,
            Table::Empty | Table::ContentType => {
                self.table = Table::Full;
                TRAILERS_INSERT
            }
            Table::Full => TRAILERS_INDEXED,
        };
        frame::write(out, HEADERS, END_HEADERS | END_STREAM, stream, block);
    }

    /// Sends of what waits as much as the windows allow.
    fn pump(&mut self, out: &mut Vec<u8>) {
        for mut queued in std::mem::take(&mut self.queue) {
            let total = queued.answer.message.len();
            while queued.sent < total {
                let room = self.window.min(queued.window).clamp(0, MAX_FRAME as i64);
                let len = (room as usize).min(total - queued.sent);
                if len == 0 {
                    break;
                }
                data(out, queued.stream, &queued.answer, queued.sent, len);
                queued.sent += len;
                queued.window -= len as i64;
                self.window -= len as i64;
            }
            if queued.sent < total {
                self.queue.push_back(queued);
            } else {
                self.trailers(out, queued.stream);
            }
        }
    }
}

/// Writes one frame of an answer, with its revision.
fn data(out: &mut Vec<u8>, stream: u32, answer: &Answer, sent: usize, len: usize) {
    let start = out.len() + HEAD;
    frame::write(out, DATA, 0, stream, &answer.message[sent..sent + len]);
    let Some(revision) = answer.revision.filter(|_| sent <= REVISION_AT) else { return };
    // A small window may have cut the revision in two: then the second part has the placeholder's bytes.
    let place = out[start..].get_mut(REVISION_AT - sent..).unwrap_or_default();
    for (byte, wire) in place.iter_mut().zip(varint(revision)) {
        *byte = wire;
    }
}
