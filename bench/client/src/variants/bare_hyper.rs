//! The floor: bare hyper and prost with the least gRPC framing that is correct, on tokio. Its I/O type does not
//! report vectored writes, without which `h2` would write once per request.

mod streams;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use etcdium_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use http::header::{CONTENT_TYPE, HeaderName, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Error;
use crate::client::{Answer, KvClient};
use crate::load;
use crate::measure::Report;

use crate::plan::Plan;
use crate::spawn::Tokio;

const API_VERSION: HeaderName = HeaderName::from_static("client-api-version");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// On tokio `current_thread`.
pub(super) fn run(plan: &Plan) -> Result<Report, Error> {
    Builder::new_current_thread().enable_all().build()?.block_on(load::run(Bare::connect(plan), Tokio, plan))
}

/// On tokio `multi_thread` with two workers.
pub(super) fn run_multi(plan: &Plan) -> Result<Report, Error> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(load::run(Bare::connect(plan), Tokio, plan))
}

#[derive(Clone)]
struct Bare {
    send: SendRequest<Outgoing>,
    put: Uri,
    range: Uri,
    watch: Uri,
    grant: Uri,
    keep_alive: Uri,
}

impl Bare {
    async fn connect(plan: &Plan) -> Result<Self, Error> {
        let stream = TcpStream::connect(plan.addr).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(NotVectored(TokioIo::new(stream)))
            .await?;
        tokio::spawn(connection);
        let uri = |path: &str| format!("http://{}/{path}", plan.addr).parse::<Uri>();
        Ok(Self {
            send,
            put: uri("etcdserverpb.KV/Put")?,
            range: uri("etcdserverpb.KV/Range")?,
            watch: uri("etcdserverpb.Watch/Watch")?,
            grant: uri("etcdserverpb.Lease/LeaseGrant")?,
            keep_alive: uri("etcdserverpb.Lease/LeaseKeepAlive")?,
        })
    }

    async fn unary<R: Message + Default>(&mut self, uri: Uri, message: &impl Message) -> Result<R, Error> {
        let mut request = request(uri, Outgoing::One(Some(framed(message)?)));
        request.headers_mut().insert(TIMEOUT, HeaderValue::from_static("10S"));
        let response = self.send.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP status {}", response.status()).into());
        }
        let (head, body) = response.into_parts();
        let (message, trailers) = collect(body).await?;
        // An answer without a message has its status in the headers.
        status(trailers.as_ref().unwrap_or(&head.headers))?;
        if message.len() < 5 || message[0] != 0 {
            return Err("no gRPC message, or a compressed one".into());
        }
        Ok(R::decode(message.slice(5..))?)
    }
}

/// A message with its prefix.
fn framed(message: &impl Message) -> Result<Bytes, Error> {
    let len = message.encoded_len();
    let mut framed = BytesMut::with_capacity(5 + len);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(len)?);
    message.encode_raw(&mut framed);
    Ok(framed.freeze())
}

/// What any client of etcd says that leaves a member without a leader.
fn request(uri: Uri, body: Outgoing) -> Request<Outgoing> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(API_VERSION, HeaderValue::from_static("3.7"));
    headers.insert(HAS_LEADER, HeaderValue::from_static("true"));
    request
}

/// Reads a body to its end. One DATA frame is handed on as it is; more are joined in a buffer that is allocated once,
/// at the length that the gRPC prefix declares.
async fn collect(mut body: Incoming) -> Result<(Bytes, Option<HeaderMap>), Error> {
    let (mut first, mut joined, mut trailers) = (Bytes::new(), BytesMut::new(), None);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) if first.is_empty() => first = data,
            Ok(data) => {
                if joined.is_empty() {
                    let declared =
                        first.get(1..5).map_or(0, |len| u32::from_be_bytes([len[0], len[1], len[2], len[3]]));
                    joined.reserve(5 + declared as usize);
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((if joined.is_empty() { first } else { joined.freeze() }, trailers))
}

fn status(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get("grpc-status").map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(code) => Err(format!("grpc-status {}", String::from_utf8_lossy(code)).into()),
        None => Err("no grpc-status".into()),
    }
}

impl KvClient for Bare {
    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<Answer, Error> {
        let request = PutRequest { key, value, ..PutRequest::default() };
        let response: PutResponse = self.unary(self.put.clone(), &request).await?;
        Ok(Answer { kvs: 0, connection: response.header.map_or(0, |header| header.raft_term) })
    }

    async fn get(&mut self, key: Bytes) -> Result<Answer, Error> {
        self.range(key, Bytes::new(), 0).await
    }

    async fn range(&mut self, key: Bytes, range_end: Bytes, limit: i64) -> Result<Answer, Error> {
        let request = RangeRequest { key, range_end, limit, ..RangeRequest::default() };
        let response: RangeResponse = self.unary(self.range.clone(), &request).await?;
        let connection = response.header.map_or(0, |header| header.raft_term);
        Ok(Answer { kvs: response.kvs.len(), connection })
    }
}

/// A request's body. With the one chunk of a unary call rides `END_STREAM`; the size hint stays inexact, so there is no
/// `content-length`.
enum Outgoing {
    One(Option<Bytes>),
    /// The requests of a stream.
    Many(UnboundedReceiver<Bytes>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut *self {
            Self::One(chunk) => Poll::Ready(chunk.take()),
            Self::Many(chunks) => chunks.poll_recv(cx),
        };
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::One(None))
    }
}

/// A byte stream that takes one buffer per write.
struct NotVectored(TokioIo<TcpStream>);

impl hyper::rt::Read for NotVectored {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for NotVectored {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
