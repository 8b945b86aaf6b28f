//! Watches and renewals on bare hyper: messages are cut from a body, decoded, and handed on.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use http::{StatusCode, Uri};
use http_body::Body;
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Bare, Outgoing, framed, request};
use crate::Error;
use crate::client::{Batch, Reader, StreamClient, Watcher};
use crate::spawn::Spawn;

/// Bytes of a message's prefix.
const PREFIX: usize = 5;

/// The answers of a stream.
pub(super) struct Messages {
    body: Incoming,
    /// What is read and not yet handed on.
    read: Bytes,
}

impl Messages {
    /// The next message, in one piece: sliced from a DATA frame, or joined from several.
    async fn next(&mut self) -> Result<Bytes, Error> {
        if self.read.is_empty() {
            self.read = self.frame().await?;
        }
        let whole = self.whole()?;
        if whole.is_some_and(|len| len <= self.read.len()) {
            return Ok(self.cut(whole.unwrap_or_default()));
        }
        let mut joined = BytesMut::with_capacity(whole.unwrap_or_default());
        joined.extend_from_slice(&self.read);
        loop {
            let mut frame = self.frame().await?;
            let missing = match joined.first_chunk::<PREFIX>() {
                Some(prefix) => PREFIX + declared(prefix)? - joined.len(),
                None => PREFIX - joined.len(),
            };
            joined.extend_from_slice(&frame.split_to(missing.min(frame.len())));
            self.read = frame;
            if let Some(prefix) = joined.first_chunk::<PREFIX>() {
                if joined.len() == PREFIX + declared(prefix)? {
                    joined.advance(PREFIX);
                    return Ok(joined.freeze());
                }
            }
        }
    }

    /// Length of the message that `read` begins with, if that much is there.
    fn whole(&self) -> Result<Option<usize>, Error> {
        self.read.first_chunk().map(|prefix| Ok(PREFIX + declared(prefix)?)).transpose()
    }

    fn cut(&mut self, len: usize) -> Bytes {
        let mut message = self.read.split_to(len);
        message.advance(PREFIX);
        message
    }

    async fn frame(&mut self) -> Result<Bytes, Error> {
        loop {
            let frame =
                poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await.ok_or("the stream ended")??;
            let data = frame.into_data().map_err(|_| "the stream ended with a status")?;
            if !data.is_empty() {
                return Ok(data);
            }
        }
    }
}

fn declared(prefix: &[u8; PREFIX]) -> Result<usize, Error> {
    if prefix[0] != 0 {
        return Err("a compressed message".into());
    }
    Ok(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize)
}

/// One watch on a stream of its own. The sender keeps the stream open.
pub(super) enum BareWatcher {
    Direct(Messages, #[expect(dead_code)] UnboundedSender<Bytes>),
    /// A task reads and decodes whatever comes, however slow the reader is: `h2` ends the connection over many small
    /// frames that nobody reads.
    Drained(UnboundedReceiver<Result<Batch, Error>>),
}

impl Watcher for BareWatcher {
    async fn next(&mut self) -> Result<Batch, Error> {
        match self {
            Self::Direct(messages, _) => batch(messages).await,
            Self::Drained(batches) => batches.recv().await.ok_or("the reading task ended")?,
        }
    }
}

async fn batch(messages: &mut Messages) -> Result<Batch, Error> {
    let response = WatchResponse::decode(messages.next().await?)?;
    if response.canceled {
        return Err(format!("canceled: {}", response.cancel_reason).into());
    }
    let kvs = response.events.iter().filter_map(|event| event.kv.as_ref());
    Batch::of(kvs.map(|kv| (kv.mod_revision, kv.value.len())))
}

async fn drain(
    mut messages: Messages,
    requests: UnboundedSender<Bytes>,
    batches: UnboundedSender<Result<Batch, Error>>,
) {
    loop {
        let batch = batch(&mut messages).await;
        let over = batch.is_err();
        if batches.send(batch).is_err() || over {
            break;
        }
    }
    drop(requests);
}

impl Bare {
    /// Opens a stream with its first request.
    async fn open(
        &mut self,
        uri: Uri,
        first: &impl Message,
    ) -> Result<(UnboundedSender<Bytes>, Messages), Error> {
        let (requests, body) = unbounded_channel();
        requests.send(framed(first)?)?;
        let response = self.send.send_request(request(uri, Outgoing::Many(body))).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP status {}", response.status()).into());
        }
        Ok((requests, Messages { body: response.into_body(), read: Bytes::new() }))
    }
}

impl StreamClient for Bare {
    type Watcher = BareWatcher;
    type Lease = i64;

    async fn watch(&mut self, key: Bytes, reader: Reader) -> Result<BareWatcher, Error> {
        let create = WatchCreateRequest { key, ..WatchCreateRequest::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let (requests, mut messages) = self.open(self.watch.clone(), &create).await?;
        if !WatchResponse::decode(messages.next().await?)?.created {
            return Err("the watch was not created".into());
        }
        if reader == Reader::Prompt {
            return Ok(BareWatcher::Direct(messages, requests));
        }
        let (sender, batches) = unbounded_channel();
        tokio::spawn(drain(messages, requests, sender));
        Ok(BareWatcher::Drained(batches))
    }

    async fn lease(&mut self, ttl: i64) -> Result<i64, Error> {
        let response: LeaseGrantResponse =
            self.unary(self.grant.clone(), &LeaseGrantRequest { ttl, id: 0 }).await?;
        Ok(response.id)
    }

    /// One stream for all leases.
    async fn keep<S: Spawn>(
        &mut self,
        leases: &mut Vec<i64>,
        ttl: i64,
        time: Duration,
        spawn: &S,
    ) -> Result<usize, Error> {
        let (start, pause) = (Instant::now(), Duration::from_secs(ttl.unsigned_abs()) / 3);
        let mut stream = None;
        let mut lost = 0;
        for round in 1.. {
            let until = pause * round;
            spawn.sleep(until.min(time).saturating_sub(start.elapsed())).await;
            if until > time {
                break;
            }
            let mut rest = leases.as_slice();
            if stream.is_none() {
                let Some((first, others)) = rest.split_first() else { break };
                stream =
                    Some(self.open(self.keep_alive.clone(), &LeaseKeepAliveRequest { id: *first }).await?);
                rest = others;
            }
            let Some((requests, messages)) = &mut stream else { break };
            for id in rest {
                requests.send(framed(&LeaseKeepAliveRequest { id: *id })?)?;
            }
            for _ in &*leases {
                let answer = LeaseKeepAliveResponse::decode(messages.next().await?)?;
                lost += usize::from(answer.ttl <= 0);
            }
        }
        Ok(lost)
    }
}
