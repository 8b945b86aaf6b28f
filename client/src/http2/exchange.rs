//! One request and its response on a connection.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use etcdium_core::{CallInput, CallKey, Cause, CauseKind, ConnectionKey, Core, EndpointInput, ResetCause};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use super::cause::reset_cause;
use super::cell::Cell;
use super::message::Outbox;
use super::ready::Token;

/// What hyper answers to a request.
pub(crate) type Answer = hyper::Result<Response<Incoming>>;

/// Something to tell the core.
#[derive(Debug)]
pub(crate) enum News {
    Connection(EndpointInput),
    Head { call: CallKey, status: StatusCode, headers: HeaderMap, end: bool },
    Data { call: CallKey, data: Bytes },
    End { call: CallKey, trailers: Option<HeaderMap> },
    Reset { call: CallKey, cause: ResetCause },
}

impl News {
    /// Tells it. Header maps stay behind, to be freed after whatever lock guards the core.
    pub(crate) fn tell(&mut self, now: Instant, connection: ConnectionKey, core: &mut Core) {
        match self {
            Self::Connection(input) => core.handle_endpoint(now, connection, input.clone()),
            Self::Head { call, status, headers, end } => {
                core.handle_call(now, *call, CallInput::Head { status: *status, headers, end: *end });
            }
            Self::Data { call, data } => core.handle_call(now, *call, CallInput::Data(core::mem::take(data))),
            Self::End { call, trailers } => core.handle_call(now, *call, CallInput::End(trailers.as_ref())),
            Self::Reset { call, cause } => core.handle_call(now, *call, CallInput::Reset(cause.clone())),
        }
    }
}

/// A place for exchanges, one after the other.
pub(crate) struct Exchange {
    token: Arc<Token>,
    /// `token` as a waker.
    waker: Waker,
    stage: Stage,
    /// The request's end, if it may take more messages.
    outbox: Option<Arc<Outbox>>,
}

enum Stage {
    Vacant,
    /// The response has not begun.
    Asked {
        call: CallKey,
        answer: Box<dyn Cell<Answer>>,
    },
    /// The body is being read.
    Body {
        call: CallKey,
        body: Incoming,
    },
    /// The connection ended under it, and will say why.
    Lost {
        call: CallKey,
    },
}

impl Exchange {
    pub(crate) fn new(token: Arc<Token>) -> Self {
        Self { waker: Waker::from(token.clone()), token, stage: Stage::Vacant, outbox: None }
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// Waits for the answer to the request of `call`, which was just sent.
    pub(crate) fn begin(
        &mut self,
        call: CallKey,
        answer: Box<dyn Cell<Answer>>,
        outbox: Option<Arc<Outbox>>,
    ) {
        self.stage = Stage::Asked { call, answer };
        self.outbox = outbox;
    }

    /// Where the further messages of `call` go, if the exchange is its.
    pub(crate) fn outbox(&self, call: CallKey) -> Option<&Outbox> {
        self.outbox.as_deref().filter(|_| self.call() == Some(call))
    }

    /// Gives the exchange up if it is that of `call`: hyper resets a stream when its response is dropped.
    pub(crate) fn cancel(&mut self, call: CallKey) -> Option<Box<dyn Cell<Answer>>> {
        if self.call() != Some(call) {
            return None;
        }
        if let Some(outbox) = self.outbox.take() {
            outbox.abort();
        }
        match core::mem::replace(&mut self.stage, Stage::Vacant) {
            Stage::Asked { mut answer, .. } => {
                answer.clear();
                Some(answer)
            }
            Stage::Vacant | Stage::Body { .. } | Stage::Lost { .. } => None,
        }
    }

    pub(crate) fn call(&self) -> Option<CallKey> {
        match &self.stage {
            Stage::Vacant => None,
            Stage::Asked { call, .. } | Stage::Body { call, .. } | Stage::Lost { call } => Some(*call),
        }
    }

    /// Whether it waits for the connection to tell its end.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.stage, Stage::Lost { .. })
    }

    /// Ends what the end of the connection left open. What is provably unsent is told; the core knows what becomes
    /// of the rest.
    pub(crate) fn abandon(&mut self, news: &mut Vec<News>) {
        if let Some(call) = self.call() {
            if !self.token.was_handed_over(call.serial()) {
                news.push(News::Reset { call, cause: ResetCause::NotSent });
            }
        }
        self.stage = Stage::Vacant;
        self.outbox = None;
    }

    /// Tells what is left of an exchange whose connection lives on, against what its error said.
    pub(crate) fn settle(&mut self, news: &mut Vec<News>) {
        if let Stage::Lost { call } = self.stage {
            let cause = Cause::new(CauseKind::Http2(0), "the stream failed");
            news.push(News::Reset { call, cause: ResetCause::Connection(cause) });
            self.stage = Stage::Vacant;
        }
    }

    /// Goes on as far as it can. Gives back the cell of an answer that came.
    pub(crate) fn poll(&mut self, news: &mut Vec<News>) -> Option<Box<dyn Cell<Answer>>> {
        let Self { token, waker, stage, outbox } = self;
        let mut cx = Context::from_waker(waker);
        let spent = match core::mem::replace(stage, Stage::Vacant) {
            Stage::Asked { call, mut answer } => {
                match answer.poll(&mut cx) {
                    Poll::Pending => {
                        *stage = Stage::Asked { call, answer };
                        return None;
                    }
                    Poll::Ready(Ok(response)) => {
                        let (head, body) = response.into_parts();
                        *stage = read(call, Some(head), body, token, &mut cx, news);
                    }
                    Poll::Ready(Err(error)) => *stage = failed(call, token, &error, news),
                }
                Some(answer)
            }
            Stage::Body { call, body } => {
                *stage = read(call, None, body, token, &mut cx, news);
                None
            }
            other => {
                *stage = other;
                None
            }
        };
        if matches!(stage, Stage::Vacant | Stage::Lost { .. }) {
            // The end of the response is that of the request.
            if let Some(outbox) = outbox.take() {
                outbox.finish();
            }
        }
        spent
    }
}

/// Reads a body as far as it came, after the head if that is news. That the response ends with its head shows in the
/// body's being over at once.
fn read(
    call: CallKey,
    mut head: Option<Parts>,
    mut body: Incoming,
    token: &Token,
    cx: &mut Context<'_>,
    news: &mut Vec<News>,
) -> Stage {
    loop {
        let frame = Pin::new(&mut body).poll_frame(cx);
        let over = matches!(frame, Poll::Ready(None));
        let alone = head.is_some() && over;
        if let Some(Parts { status, headers, .. }) = head.take() {
            news.push(News::Head { call, status, headers, end: over });
        }
        match frame {
            Poll::Pending => return Stage::Body { call, body },
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => news.push(News::Data { call, data }),
                Err(frame) => {
                    news.push(News::End { call, trailers: frame.into_trailers().ok() });
                    return Stage::Vacant;
                }
            },
            Poll::Ready(Some(Err(error))) => return failed(call, token, &error, news),
            Poll::Ready(None) => {
                if !alone {
                    news.push(News::End { call, trailers: None });
                }
                return Stage::Vacant;
            }
        }
    }
}

/// Tells why a call ended, as far as its own error knows it.
fn failed(call: CallKey, token: &Token, error: &hyper::Error, news: &mut Vec<News>) -> Stage {
    let cause =
        if token.was_handed_over(call.serial()) { reset_cause(error) } else { Some(ResetCause::NotSent) };
    match cause {
        Some(cause) => {
            news.push(News::Reset { call, cause });
            Stage::Vacant
        }
        None => Stage::Lost { call },
    }
}
