//! One call: the request's frames become messages for the cluster, its outputs become the response.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::head::{Asked, Refusal, answer, put_status};
use super::host::Host;
use crate::framing::{Wrong, framed, unframe};
use crate::model::{CallId, Output, Status};

const UNKNOWN: u32 = 2;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// A call on its way. Dropping it cancels the call.
pub(super) struct Exchange {
    host: Host,
    call: CallId,
    /// Not there once it ended.
    request: Option<Incoming>,
    received: BytesMut,
    over: bool,
}

impl Exchange {
    /// Opens a call on a member.
    pub(super) fn open(host: &Host, member: usize, asked: &Asked, request: Incoming) -> Self {
        let call = host.open(member, &asked.path, asked.require_leader, asked.timeout);
        Self { host: host.clone(), call, request: Some(request), received: BytesMut::new(), over: false }
    }

    /// Waits for what to answer first.
    pub(super) async fn answer(mut self) -> Response<Answer> {
        let first = std::future::poll_fn(|cx| self.poll_output(cx)).await;
        match first {
            // Without a message all is said in the head.
            Output::End { status, .. } => bare(StatusCode::OK, &status),
            Output::Message { .. } => {
                let mut response = Response::new(Answer { exchange: Some(self), next: Some(first) });
                *response.headers_mut() = answer();
                response
            }
        }
    }

    /// Takes the request in as far as it came, then gives the next output.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Output> {
        if let Err(status) = self.receive(cx) {
            self.host.cancel(self.call);
            self.over = true;
            return Poll::Ready(Output::End { call: self.call, status });
        }
        let output = ready!(self.host.poll_output(self.call, cx));
        if matches!(output, Output::End { .. }) {
            self.host.ended(self.call);
            self.over = true;
        }
        Poll::Ready(output)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        while let Some(request) = &mut self.request {
            match Pin::new(request).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.extend_from_slice(&data);
                        while let Some(message) = self.next_message()? {
                            self.host.message(self.call, message);
                        }
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    // Reset, or the connection is gone. Nobody hears the answer.
                    self.request = None;
                    return Err(Status { code: UNKNOWN, message: "the client is gone".into() });
                }
                Poll::Ready(None) => {
                    self.request = None;
                    if !self.received.is_empty() {
                        return Err(Status { code: INTERNAL, message: "unexpected EOF".into() });
                    }
                    self.host.finish(self.call);
                }
            }
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Bytes>, Status> {
        let max = self.host.max_request();
        unframe(&mut self.received, max).map_err(|wrong| match wrong {
            Wrong::Compressed => Status {
                code: UNIMPLEMENTED,
                message: "grpc: Decompressor is not installed for grpc-encoding \"\"".into(),
            },
            Wrong::TooLarge(length) => Status {
                code: RESOURCE_EXHAUSTED,
                message: format!("grpc: received message larger than max ({length} vs. {max})").into(),
            },
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.over {
            self.host.cancel(self.call);
        }
    }
}

/// The body of a response.
pub(super) struct Answer {
    exchange: Option<Exchange>,
    next: Option<Output>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
        let output = match this.next.take() {
            Some(output) => output,
            None => ready!(exchange.poll_output(cx)),
        };
        let frame = match output {
            Output::Message { message, .. } => Frame::data(framed(0, &message)),
            Output::End { status, .. } => {
                this.exchange = None;
                let mut trailers = http::HeaderMap::new();
                put_status(&status, &mut trailers);
                Frame::trailers(trailers)
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A response that is nothing but a head.
fn bare(http: StatusCode, status: &Status) -> Response<Answer> {
    let mut response = Response::new(Answer { exchange: None, next: None });
    *response.status_mut() = http;
    *response.headers_mut() = answer();
    put_status(status, response.headers_mut());
    response
}

/// The response to a request whose head is no good.
pub(super) fn refuse(refusal: &Refusal) -> Response<Answer> {
    bare(refusal.http, &refusal.status)
}
