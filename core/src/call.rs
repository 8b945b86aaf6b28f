//! One gRPC call: from the response's pieces to its messages, its end or its failure.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::frame::{FrameDecoder, FrameError, Spares};
use crate::grpc::{self, GrpcCode, Head, InvalidHead, Status};
use crate::retry::Failure;
use crate::{CallInput, ConnectionKey, EtcdError, OpKey, ProtocolError, StreamKey};

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An operation's.
    Op(OpKey),
    /// A stream's.
    Stream(StreamKey),
    /// The health probe of its connection.
    Probe,
    /// Nobody's: the core asks for the server's version.
    Version,
    /// Nobody's: the core asks where the history stands.
    History,
}

/// How far the response came.
#[derive(Debug)]
enum Stage {
    /// Nothing came yet.
    Head,
    /// The head came; the message may come, of a stream any number of them.
    Message,
    /// The message is whole; the status has to follow.
    Status(Bytes),
}

/// An open call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) owner: Owner,
    pub(crate) connection: ConnectionKey,
    /// Whether an answer is due: always that of an operation, that of a stream since its last message was sent until
    /// something comes.
    pub(crate) awaiting: bool,
    stage: Stage,
    decoder: FrameDecoder,
}

/// Messages of a stream that were received and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    messages: VecDeque<Bytes>,
    /// What they hold in all.
    bytes: usize,
    /// How many of them, the latest, nobody has looked at.
    fresh: usize,
}

/// The room an empty inbox keeps: a burst gives its memory back.
const ROOM: usize = 256;

impl Inbox {
    fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.fresh += 1;
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        if self.messages.is_empty() && self.messages.capacity() > ROOM {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The messages that came since the last look.
    pub(crate) fn look(&mut self) -> impl Iterator<Item = &Bytes> {
        let known = self.messages.len() - core::mem::take(&mut self.fresh).min(self.messages.len());
        self.messages.range(known..)
    }
}

/// What an input made of a call.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It goes on.
    Open,
    /// It ended well, with this message if it is unary.
    Done(Bytes),
    /// It failed. `open` tells that the stream has to be reset, since its end was not seen.
    Failed { failure: Failure, open: bool },
}

impl Call {
    pub(crate) fn new(owner: Owner, connection: ConnectionKey, max_response: usize) -> Self {
        let decoder = FrameDecoder::new(max_response);
        Self { owner, connection, awaiting: true, stage: Stage::Head, decoder }
    }

    /// Whether any of the response came.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.stage, Stage::Head)
    }

    /// Bytes of a message that is not yet whole.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.decoder.buffered()
    }

    /// Bytes of a message that is not yet whole, or not yet known to be the answer.
    pub(crate) fn kept_bytes(&self) -> usize {
        let whole = if let Stage::Status(message) = &self.stage { message.len() } else { 0 };
        whole + self.partial_bytes()
    }

    /// Takes one input. The messages of a stream go into its inbox.
    pub(crate) fn handle(
        &mut self,
        input: CallInput<'_>,
        inbox: Option<&mut Inbox>,
        spares: &mut Spares,
    ) -> Progress {
        match input {
            CallInput::Head { status, headers, end } => self.head(status, headers, end),
            CallInput::Data(chunk) => self.data(chunk, inbox, spares),
            CallInput::End(trailers) => self.end(trailers),
            CallInput::Reset(cause) => {
                let failure = Failure::Reset { cause, answered: self.is_answered() };
                Progress::Failed { failure, open: false }
            }
        }
    }

    fn head(&mut self, status: StatusCode, headers: &HeaderMap, end: bool) -> Progress {
        if !matches!(self.stage, Stage::Head) {
            // Trailers, as some drivers may see them; else no event of HTTP/2, and nothing depends on it.
            return if end { self.end(Some(headers)) } else { Progress::Open };
        }
        match grpc::read_head(status, headers, end) {
            Head::Message => {
                self.stage = Stage::Message;
                Progress::Open
            }
            Head::Status(status) => self.status(status, !end),
            Head::Invalid(error) => {
                let failure = match error {
                    // A gateway's refusal: the code says what to do, the text what came.
                    InvalidHead::HttpStatus(_) => Failure::Status(error.grpc_code(), error.to_string()),
                    error => Failure::Protocol(ProtocolError::Head(error)),
                };
                Progress::Failed { failure, open: !end }
            }
        }
    }

    fn data(&mut self, chunk: Bytes, mut inbox: Option<&mut Inbox>, spares: &mut Spares) -> Progress {
        if matches!(self.stage, Stage::Head) {
            return protocol(ProtocolError::MissingHead, true);
        }
        self.decoder.push(chunk);
        loop {
            match self.decoder.next_in(spares) {
                Ok(None) => return Progress::Open,
                Ok(Some(message)) => match (&mut inbox, &self.stage) {
                    (Some(inbox), _) => inbox.push(message),
                    (None, Stage::Status(_)) => return protocol(ProtocolError::ExtraMessage, true),
                    (None, Stage::Head | Stage::Message) => self.stage = Stage::Status(message),
                },
                Err(FrameError::TooLarge { size, limit }) => {
                    return Progress::Failed { failure: Failure::TooLarge { size, limit }, open: true };
                }
                Err(error) => return protocol(ProtocolError::Frame(error), true),
            }
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Progress {
        if matches!(self.stage, Stage::Head) {
            return protocol(ProtocolError::MissingHead, false);
        }
        match grpc::read_trailers(trailers) {
            Ok(status) => self.status(status, false),
            Err(error) => protocol(ProtocolError::Head(error), false),
        }
    }

    /// The call's status is known. Any error status wins over what was wrong with the messages before it.
    fn status(&mut self, status: Status, open: bool) -> Progress {
        if status.code != GrpcCode::Ok {
            // etcd 3.4 sends the texts of Go's contexts with the code Unknown.
            let code = match (status.code, status.message.as_str()) {
                (GrpcCode::Unknown, "context deadline exceeded") => GrpcCode::DeadlineExceeded,
                (GrpcCode::Unknown, "context canceled") => GrpcCode::Canceled,
                (code, _) => code,
            };
            let failure = match EtcdError::from_text(&status.message) {
                Some(error) => Failure::Etcd(error, status.message),
                None => Failure::Status(code, status.message),
            };
            return Progress::Failed { failure, open };
        }
        if !self.decoder.is_idle() {
            return protocol(ProtocolError::Truncated, open);
        }
        match core::mem::replace(&mut self.stage, Stage::Message) {
            Stage::Status(message) => Progress::Done(message),
            _ if matches!(self.owner, Owner::Stream(_)) => Progress::Done(Bytes::new()),
            Stage::Head | Stage::Message => protocol(ProtocolError::MissingMessage, open),
        }
    }
}

fn protocol(error: ProtocolError, open: bool) -> Progress {
    Progress::Failed { failure: Failure::Protocol(error), open }
}
