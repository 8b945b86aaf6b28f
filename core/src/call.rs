//! One unary gRPC call: from the response's pieces to its message or its failure.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::frame::{FrameDecoder, FrameError, Spares};
use crate::grpc::{self, GrpcCode, Head, InvalidHead, Status};
use crate::retry::Failure;
use crate::{CallInput, ConnectionKey, EtcdError, OpKey, ProtocolError};

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An operation's.
    Op(OpKey),
    /// The health probe of its connection.
    Probe,
}

/// How far the response came.
#[derive(Debug)]
enum Stage {
    /// Nothing came yet.
    Head,
    /// The head came; the message may come.
    Message,
    /// The message is whole; the status has to follow.
    Status(Bytes),
}

/// An open call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) owner: Owner,
    pub(crate) connection: ConnectionKey,
    stage: Stage,
    decoder: FrameDecoder,
}

/// What an input made of a call.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It goes on.
    Open,
    /// It ended with this message.
    Done(Bytes),
    /// It failed. `open` tells that the stream has to be reset, since its end was not seen.
    Failed { failure: Failure, open: bool },
}

impl Call {
    pub(crate) fn new(owner: Owner, connection: ConnectionKey, max_response: usize) -> Self {
        Self { owner, connection, stage: Stage::Head, decoder: FrameDecoder::new(max_response) }
    }

    /// Whether any of the response came.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.stage, Stage::Head)
    }

    /// Takes one input.
    pub(crate) fn handle(&mut self, input: CallInput<'_>, spares: &mut Spares) -> Progress {
        match input {
            CallInput::Head { status, headers, end } => self.head(status, headers, end),
            CallInput::Data(chunk) => self.data(chunk, spares),
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

    fn data(&mut self, chunk: Bytes, spares: &mut Spares) -> Progress {
        if matches!(self.stage, Stage::Head) {
            return protocol(ProtocolError::MissingHead, true);
        }
        self.decoder.push(chunk);
        loop {
            match self.decoder.next_in(spares) {
                Ok(None) => return Progress::Open,
                Ok(Some(message)) => match self.stage {
                    Stage::Status(_) => return protocol(ProtocolError::ExtraMessage, true),
                    Stage::Head | Stage::Message => self.stage = Stage::Status(message),
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
            Stage::Head | Stage::Message => protocol(ProtocolError::MissingMessage, open),
        }
    }
}

fn protocol(error: ProtocolError, open: bool) -> Progress {
    Progress::Failed { failure: Failure::Protocol(error), open }
}
