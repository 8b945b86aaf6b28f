//! A gRPC client that knows nothing of etcd: raw messages over one plain HTTP/2 connection.
//!
//! It is not the client under test on purpose. Calls block; between them streams make no progress, which is why
//! [`Connection::wait_until`] exists.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcdium_sim::model::Status;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

/// No answer takes so long on a sound server.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing is looked at again when no news comes.
const IDLE: Duration = Duration::from_millis(20);
/// Larger than any answer here, so that no stream ever waits for another one to be read.
const WINDOW: u32 = 1 << 30;

/// The connection failed or the server did not speak gRPC.
#[derive(Debug)]
pub(super) struct Trouble(String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

fn trouble(what: &'static str) -> impl Fn(&dyn fmt::Display) -> Trouble {
    move |error| Trouble(format!("{what}: {error}"))
}

/// One HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Connection {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    authority: String,
    news: Arc<Notify>,
}

/// A call with any number of messages either way. Dropping it cancels the call.
#[derive(Debug)]
pub(super) struct Stream {
    sending: SendStream<Bytes>,
    received: Arc<Mutex<Received>>,
}

#[derive(Debug, Default)]
struct Received {
    messages: Vec<Bytes>,
    end: Option<Result<Status, String>>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Trouble> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| trouble("runtime")(&error))?;
        let requests = runtime.block_on(async {
            let socket = TcpStream::connect(address).await.map_err(|error| trouble("connect")(&error))?;
            socket.set_nodelay(true).map_err(|error| trouble("connect")(&error))?;
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
            let (requests, connection) =
                builder.handshake(socket).await.map_err(|error| trouble("handshake")(&error))?;
            // Its end shows in the calls on it.
            tokio::spawn(async { drop(connection.await) });
            Ok::<_, Trouble>(requests)
        })?;
        Ok(Self { runtime, requests, authority: address.to_string(), news: Arc::default() })
    }

    /// Opens a call and sends nothing yet.
    pub(super) fn stream(&self, path: &str) -> Result<Stream, Trouble> {
        let request = Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| trouble("request")(&error))?;
        let news = Arc::clone(&self.news);
        let requests = self.requests.clone();
        self.runtime.block_on(async {
            let mut requests = requests.ready().await.map_err(|error| trouble("connection")(&error))?;
            let (response, sending) =
                requests.send_request(request, false).map_err(|error| trouble("send")(&error))?;
            let received = Arc::new(Mutex::new(Received::default()));
            let sink = Arc::clone(&received);
            tokio::spawn(async move {
                let end = read(response, &sink, &news).await.map_err(|error| error.to_string());
                locked(&sink).end = Some(end);
                news.notify_one();
            });
            Ok(Stream { sending, received })
        })
    }

    /// A whole call of one message there and all that comes back, which is nothing but the status if it is refused.
    pub(super) fn unary(&self, path: &str, message: &Bytes) -> Result<Result<Vec<Bytes>, Status>, Trouble> {
        let mut stream = self.stream(path)?;
        stream.send(message)?;
        stream.finish()?;
        if !self.wait_until(PATIENCE, || stream.ended()) {
            return Err(Trouble(format!("{path}: no answer in {PATIENCE:?}")));
        }
        let messages = stream.take();
        match (stream.end(), &messages[..]) {
            (Some(Ok(status)), [_, ..]) if status.is_ok() => Ok(Ok(messages)),
            (Some(Ok(status)), []) if !status.is_ok() => Ok(Err(status)),
            (end, _) => Err(Trouble(format!("{path}: {messages:?}, then {end:?}"))),
        }
    }

    /// Lets streams receive until the condition holds; false when it does not in this time.
    pub(super) fn wait_until(&self, time: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        self.runtime.block_on(async {
            loop {
                if holds() {
                    return true;
                }
                if begin.elapsed() >= time {
                    return false;
                }
                // Whether it was news or the time: look again.
                let _ = timeout(IDLE.min(time), self.news.notified()).await;
            }
        })
    }
}

impl Stream {
    pub(super) fn send(&mut self, message: &Bytes) -> Result<(), Trouble> {
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).map_err(|error| trouble("message")(&error))?);
        framed.put_slice(message);
        self.sending.send_data(framed.freeze(), false).map_err(|error| trouble("send")(&error))
    }

    /// The client's half is over.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        self.sending.send_data(Bytes::new(), true).map_err(|error| trouble("send")(&error))
    }

    pub(super) fn cancel(mut self) {
        self.sending.send_reset(h2::Reason::CANCEL);
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut locked(&self.received).messages)
    }

    pub(super) fn ended(&self) -> bool {
        locked(&self.received).end.is_some()
    }

    /// How the call ended, once it has; a text is a reason outside of gRPC.
    pub(super) fn end(&self) -> Option<Result<Status, String>> {
        locked(&self.received).end.clone()
    }
}

fn locked(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a response to its end.
async fn read(
    response: h2::client::ResponseFuture,
    sink: &Mutex<Received>,
    news: &Notify,
) -> Result<Status, Box<dyn std::error::Error + Send + Sync>> {
    let response = response.await?;
    if response.headers().contains_key("grpc-status") {
        return status(response.headers());
    }
    let mut body: RecvStream = response.into_body();
    let mut buffer = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        buffer.extend_from_slice(&data);
        while let Some(message) = cut(&mut buffer)? {
            locked(sink).messages.push(message);
            news.notify_one();
        }
    }
    status(&body.trailers().await?.ok_or("a response without trailers")?)
}

/// The next whole message.
fn cut(buffer: &mut BytesMut) -> Result<Option<Bytes>, &'static str> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<5>() else { return Ok(None) };
    let [compressed, length @ ..] = prefix;
    if *compressed != 0 {
        return Err("a compressed message");
    }
    let length = u32::from_be_bytes(*length) as usize;
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(length).freeze()))
}

fn status(headers: &HeaderMap) -> Result<Status, Box<dyn std::error::Error + Send + Sync>> {
    let code = headers.get("grpc-status").ok_or("trailers without grpc-status")?.to_str()?.parse()?;
    let message = headers.get("grpc-message").map_or(&[][..], |value| value.as_bytes());
    Ok(Status { code, message: decode(message).into() })
}

/// Undoes gRPC's percent-encoding.
fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(*first));
        rest = if hex.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
