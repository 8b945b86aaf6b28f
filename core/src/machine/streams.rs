//! Streams: opened, sent on, read, ended. A stream lives on one connection and is never opened again by itself: whoever
//! opened it knows what to ask for the next time.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use etcdium_proto::{MethodKind, StreamMethod, methods};

use super::dispatch::{attempt_error, observe_header};
use super::{Core, Timer};
use crate::call::{Call, Inbox, Owner};
use crate::frame::{self, MessageTooLarge};
use crate::metadata::{CallHeaders, Metadata};
use crate::op::{Answer, Request};
use crate::retry::{Failure, judge};
use crate::revision::peek_header;
use crate::stream::{Reader, StreamPhase, StreamState};
use crate::transmit::Open;
use crate::{
    CallKey, CallOptions, ConnectionKey, Error, ErrorKind, InvalidRequest, Outcome, Reply, Stream,
    StreamItem, StreamKey, Transmit,
};

/// Settings of a stream of the core's own.
#[derive(Clone, Debug)]
pub(super) struct OwnSettings {
    pub(super) require_leader: bool,
    pub(super) metadata: Option<Arc<Metadata>>,
}

impl Core {
    /// Opens a stream with its first message: the only one if the method takes no more, and then the request is
    /// finished with it.
    ///
    /// The stream waits for a connection like an operation, at most for [`CallOptions::timeout`], by default for ever; no
    /// deadline is told to the server. It counts towards no limit. Once open it lives on that connection: when that
    /// breaks, the stream ends with an error that says so. A server that goes away, or an endpoint that is removed,
    /// keeps it until it ends. Everything that goes wrong is told by its end, also when it cannot be opened at all.
    ///
    /// A connection is taken for silent, as [`Config::silence`](crate::Config::silence) says, when a message was sent on a
    /// stream and nothing came on it since. An idle stream is owed nothing: HTTP/2 pings guard its connection.
    pub fn open<S: StreamMethod>(
        &mut self,
        now: Instant,
        request: &S::Request,
        options: &CallOptions,
    ) -> Stream<S> {
        self.advance(now);
        let encoded = frame::encode(request, self.config.max_request, &mut self.arena);
        let (message, refusal) = match encoded {
            Ok(message) => (message, None),
            Err(large) => (Bytes::new(), Some(too_large(large))),
        };
        let timeout = options.timeout.flatten();
        let key = self.streams.insert(StreamState {
            request: Request {
                method: S::METHOD,
                class: S::METHOD.retry(),
                message,
                require_leader: options.require_leader.unwrap_or_else(|| S::needs_leader(request)),
                idempotent: false,
                metadata: options.metadata.clone(),
            },
            reader: Reader::Application,
            phase: StreamPhase::Waiting,
            queued: Vec::new(),
            finished: S::METHOD.kind() != MethodKind::Bidi,
            timeout,
            pinned: options.endpoint,
            endpoint: None,
            inbox: Inbox::default(),
            hinted: false,
        });
        if let Some(kind) = refusal.or_else(|| self.refusal(options, timeout)) {
            let error = Error::new(kind, Outcome::NotApplied).with_method(S::METHOD);
            self.end_stream(key, Err(error));
            return Stream::new(key);
        }
        self.wake();
        match self.pick(options.endpoint, None) {
            Some(connection) => self.open_stream_call(key, connection),
            None => {
                self.waiting_streams.insert(key);
                // A time-out beyond the clock's range is none.
                if let Some(deadline) = timeout.and_then(|timeout| self.now.checked_add(timeout)) {
                    self.timers.arm(deadline, Timer::Opening(key));
                }
            }
        }
        Stream::new(key)
    }

    /// Takes what a stream received: message by message, then its end. `None` when there is nothing more now;
    /// [`Event::StreamReadable`](crate::Event::StreamReadable) tells when there is. After the end, and after
    /// [`cancel_stream`](Self::cancel_stream), there is never more.
    ///
    /// What is not taken is kept, however much the server sends: see [`buffered_bytes`](Self::buffered_bytes).
    ///
    /// A message that cannot be decoded ends the stream with
    /// [`ProtocolError::Message`](crate::ProtocolError::Message).
    pub fn next<S: StreamMethod>(&mut self, stream: &Stream<S>) -> Option<StreamItem<S::Response>> {
        Some(match self.next_reply(stream)? {
            StreamItem::Message(reply) => match reply.decode() {
                Ok(message) => StreamItem::Message(message),
                Err(error) => {
                    self.drop_stream(stream.key());
                    StreamItem::End(Err(error))
                }
            },
            StreamItem::End(result) => StreamItem::End(result),
        })
    }

    /// As [`next`](Self::next), leaving the decoding to [`Reply::decode`]: for drivers that guard the core with a lock
    /// and do not want to hold it for that long. If it fails, the stream is to be cancelled.
    pub fn next_reply<S: StreamMethod>(
        &mut self,
        stream: &Stream<S>,
    ) -> Option<StreamItem<Reply<S::Response>>> {
        let state = self.streams.get_mut(stream.key())?;
        if let Some(message) = state.inbox.pop() {
            let answer = Answer { message, endpoint: state.endpoint.clone() };
            return Some(StreamItem::Message(Reply::new(Some(&state.request), answer)));
        }
        state.hinted = false;
        if !state.is_over() {
            return None;
        }
        match self.streams.remove(stream.key())?.phase {
            StreamPhase::Over(result) => Some(StreamItem::End(result)),
            StreamPhase::Waiting | StreamPhase::Running(_) => None,
        }
    }

    /// Sends a further message. It is kept while the stream waits for a connection. On a stream that is over it goes
    /// nowhere, for a reason the end tells.
    ///
    /// # Errors
    /// [`ErrorKind::RequestTooLarge`], and [`InvalidRequest::Finished`] after [`finish`](Self::finish) or when the
    /// method takes one message only. The message was not sent then; the stream goes on.
    pub fn send<S: StreamMethod>(
        &mut self,
        now: Instant,
        stream: &Stream<S>,
        message: &S::Request,
    ) -> Result<(), Error> {
        self.advance(now);
        let Some(state) = self.streams.get_mut(stream.key()) else { return Ok(()) };
        if state.finished {
            return Err(Error::from(InvalidRequest::Finished).with_method(S::METHOD));
        }
        let encoded = frame::encode(message, self.config.max_request, &mut self.arena);
        let message = encoded
            .map_err(|large| Error::new(too_large(large), Outcome::NotApplied).with_method(S::METHOD))?;
        match state.phase {
            StreamPhase::Waiting => state.queued.push(message),
            StreamPhase::Running(call) => {
                self.transmits.push_back(Transmit::Send { call, message });
                self.stream_asked(call);
            }
            StreamPhase::Over(_) => {}
        }
        Ok(())
    }

    /// Says that no further message will be sent; the server's may go on. Finishing twice is harmless.
    ///
    /// No answer is due to that: etcd ends a stream of renewals then, but a watch goes on until it is cancelled
    /// (`watchServer.Watch`, etcdserver/api/v3rpc/watch.go: its receiving loop ends silently).
    pub fn finish(&mut self, now: Instant, stream: StreamKey) {
        self.advance(now);
        let Some(state) = self.streams.get_mut(stream) else { return };
        if core::mem::replace(&mut state.finished, true) {
            return;
        }
        if let StreamPhase::Running(call) = state.phase {
            self.transmits.push_back(Transmit::Finish(call));
        }
    }

    /// Gives a stream up, with all it holds. Its call is reset if it is open.
    pub fn cancel_stream(&mut self, now: Instant, stream: StreamKey) {
        self.advance(now);
        self.drop_stream(stream);
    }

    /// How many bytes of messages the core keeps for a stream: those received and not taken, and what came of the next.
    pub fn buffered_bytes(&self, stream: StreamKey) -> usize {
        let Some(state) = self.streams.get(stream) else { return 0 };
        let partial = match state.phase {
            StreamPhase::Running(call) => self.calls.get(call).map_or(0, Call::partial_bytes),
            StreamPhase::Waiting | StreamPhase::Over(_) => 0,
        };
        state.inbox.bytes() + partial
    }

    /// Opens a stream of the core's own on this connection. What it receives, and its end, go to `reader`.
    pub(super) fn open_own<S: StreamMethod>(
        &mut self,
        connection: ConnectionKey,
        request: &S::Request,
        reader: Reader,
        settings: OwnSettings,
    ) -> Result<StreamKey, MessageTooLarge> {
        let message = frame::encode(request, self.config.max_request, &mut self.arena)?;
        let key = self.streams.insert(StreamState {
            request: Request {
                method: S::METHOD,
                class: S::METHOD.retry(),
                message,
                require_leader: settings.require_leader,
                idempotent: false,
                metadata: settings.metadata,
            },
            reader,
            phase: StreamPhase::Waiting,
            queued: Vec::new(),
            finished: S::METHOD.kind() != MethodKind::Bidi,
            timeout: None,
            pinned: None,
            endpoint: None,
            inbox: Inbox::default(),
            hinted: false,
        });
        self.open_stream_call(key, connection);
        Ok(key)
    }

    /// Sends on an open stream of the core's own. `due` tells whether the server owes an answer, so that its silence
    /// means something.
    pub(super) fn send_own<S: StreamMethod>(
        &mut self,
        stream: StreamKey,
        message: &S::Request,
        due: bool,
    ) -> Result<(), MessageTooLarge> {
        self.send_own_all::<S>(stream, core::slice::from_ref(message), due)
    }

    /// As [`send_own`](Self::send_own) with each of the messages, which go out as one piece.
    pub(super) fn send_own_all<S: StreamMethod>(
        &mut self,
        stream: StreamKey,
        messages: &[S::Request],
        due: bool,
    ) -> Result<(), MessageTooLarge> {
        let message = frame::encode_all(messages, self.config.max_request, &mut self.arena)?;
        let Some(StreamPhase::Running(call)) = self.streams.get(stream).map(|state| &state.phase) else {
            return Ok(());
        };
        let call = *call;
        self.transmits.push_back(Transmit::Send { call, message });
        if due {
            self.stream_asked(call);
        }
        Ok(())
    }

    /// Takes the next message of a stream of the core's own.
    pub(super) fn next_own(&mut self, stream: StreamKey) -> Option<Bytes> {
        self.streams.get_mut(stream)?.inbox.pop()
    }

    fn open_stream_call(&mut self, key: StreamKey, connection: ConnectionKey) {
        let Some(state) = self.streams.get_mut(key) else { return };
        let Some(place) = self.connections.get(connection) else { return };
        let call = self.calls.insert(Call::new(Owner::Stream(key), connection, self.config.max_response));
        state.phase = StreamPhase::Running(call);
        state.endpoint = Some(place.address.clone());
        let queued = core::mem::take(&mut state.queued);
        let more = !state.finished || !queued.is_empty();
        self.transmits.push_back(Transmit::Open(Open {
            call,
            connection,
            method: state.request.method,
            message: core::mem::take(&mut state.request.message),
            more,
            headers: CallHeaders {
                shared: self.headers.clone(),
                own: state.request.metadata.clone(),
                require_leader: state.request.require_leader,
                timeout: None,
            },
        }));
        self.transmits.extend(queued.into_iter().map(|message| Transmit::Send { call, message }));
        if more && state.finished {
            self.transmits.push_back(Transmit::Finish(call));
        }
        self.call_opened(connection);
    }

    /// Opens the calls of streams that wait, as far as endpoints allow.
    pub(super) fn open_waiting_streams(&mut self) {
        for key in self.waiting_streams.clone() {
            let Some(state) = self.streams.get(key) else { continue };
            if let Some(connection) = self.pick(state.pinned, None) {
                self.waiting_streams.remove(&key);
                self.open_stream_call(key, connection);
            }
        }
    }

    /// Looks at the messages that came for a stream, if any did.
    pub(super) fn stream_received(&mut self, key: StreamKey, call: CallKey, connection: ConnectionKey) {
        let Some(state) = self.streams.get_mut(key) else { return };
        let is = |method| core::ptr::eq(state.request.method, method);
        // The messages of a streamed range hold a whole response each, whose header is not where others have theirs.
        let headed = !is(&methods::KV_RANGE_STREAM) && self.history.speaks_of(call);
        // A grpc-proxy makes up headers of watches: without a cluster, and with the revision that was asked for.
        let made_up = is(&methods::WATCH);
        let mut any = false;
        for message in state.inbox.look() {
            any = true;
            if !headed {
                continue;
            }
            if let Some(header) = peek_header(message).filter(|header| !made_up || header.cluster_id != 0) {
                observe_header(&mut self.revisions, &mut self.events, header);
            }
        }
        if any {
            let reader = state.reader;
            self.proved(connection);
            self.watch_spares();
            match reader {
                Reader::Application => self.hint(key),
                Reader::Watch(hub) => self.hub_received(hub, key),
                Reader::Leases => self.leases_received(key),
            }
        }
    }

    fn hint(&mut self, key: StreamKey) {
        let Some(state) = self.streams.get_mut(key) else { return };
        if !core::mem::replace(&mut state.hinted, true) {
            self.events.push_back(crate::Event::StreamReadable(key));
        }
    }

    /// The stream's call failed.
    pub(super) fn stream_failed(&mut self, key: StreamKey, failure: Failure) {
        let Some(state) = self.streams.get(key) else { return };
        let verdict = judge(state.request.class, false, &failure);
        let error = state.describe(attempt_error(failure, verdict.applied));
        self.end_stream(key, Err(error));
    }

    /// Ends a stream that has no call open any more.
    pub(super) fn end_stream(&mut self, key: StreamKey, result: Result<(), Error>) {
        let Some(state) = self.streams.get_mut(key) else { return };
        match state.reader {
            Reader::Application => {
                state.phase = StreamPhase::Over(result);
                state.queued = Vec::new();
                self.waiting_streams.remove(&key);
                self.hint(key);
            }
            Reader::Watch(hub) => {
                self.streams.remove(key);
                self.hub_lost(hub, key, result);
            }
            Reader::Leases => {
                self.streams.remove(key);
                self.leases_lost(key, result);
            }
        }
        self.sweep_timers();
    }

    /// Gives a stream up, with all it holds.
    pub(super) fn drop_stream(&mut self, key: StreamKey) {
        let Some(state) = self.streams.remove(key) else { return };
        self.waiting_streams.remove(&key);
        if let StreamPhase::Running(call) = state.phase {
            self.reset_call(call);
        }
        self.sweep_timers();
    }

    fn reset_call(&mut self, call: CallKey) {
        self.transmits.push_back(Transmit::Reset(call));
        self.forget_call(call);
    }

    /// A stream has waited for a connection for as long as it may.
    pub(super) fn opening_timeout(&mut self, key: StreamKey) {
        let Some(state) = self.streams.get(key) else { return };
        let kind = ErrorKind::Timeout { after: state.timeout.unwrap_or_default() };
        let error = state.describe(Error::new(kind, Outcome::NotApplied));
        let error = error.with_causes(self.causes(state.pinned, None));
        self.end_stream(key, Err(error));
    }

    /// After the set of endpoints was replaced: streams that can never be opened now end.
    pub(super) fn streams_after_replacement(&mut self) {
        for key in self.waiting_streams.clone() {
            let Some(state) = self.streams.get(key) else { continue };
            let invalid = match state.pinned {
                Some(endpoint) if !self.endpoints.contains(endpoint) => InvalidRequest::UnknownEndpoint,
                _ if self.order.is_empty() => InvalidRequest::NoEndpoints,
                _ => continue,
            };
            let error = state.describe(Error::from(invalid));
            self.end_stream(key, Err(error));
        }
    }

    /// The core closes: every stream ends.
    pub(super) fn close_streams(&mut self) {
        for key in self.streams.keys().collect::<Vec<_>>() {
            let Some(state) = self.streams.get(key).filter(|state| !state.is_over()) else { continue };
            let error = state.describe(Error::new(ErrorKind::Closed, state.outcome_if_ended()));
            if let StreamPhase::Running(call) = state.phase {
                self.reset_call(call);
            }
            self.end_stream(key, Err(error));
        }
    }
}

fn too_large(large: MessageTooLarge) -> ErrorKind {
    ErrorKind::RequestTooLarge { size: large.size, limit: large.limit }
}
