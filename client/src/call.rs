//! One unary call, from the caller's side: how it is set up, and the future that carries it.

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{Address, CallOptions, Core, EndpointKey, Error, InvalidRequest, Op, Reply};
use etcdium_proto::UnaryRequest;

use crate::client::{Client, Handle};
use crate::driver::Bell;
use crate::shared::Shared;

/// Settings of one call, collected by builders; see [`call_option_methods`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) core: CallOptions,
    pub(crate) endpoint: Option<Result<Address, Error>>,
}

impl Options {
    /// The settings as the core takes them.
    pub(crate) fn resolve(self, shared: &Shared) -> Result<CallOptions, Error> {
        let Some(address) = self.endpoint.transpose()? else { return Ok(self.core) };
        Ok(self.core.endpoint(endpoint_key(shared, &address)?))
    }
}

/// The endpoint with this address.
pub(crate) fn endpoint_key(shared: &Shared, address: &Address) -> Result<EndpointKey, InvalidRequest> {
    shared.lock().core.endpoint_key(address).ok_or(InvalidRequest::UnknownEndpoint)
}

/// Writes the methods that every call builder has, for a `#[must_use]` type with a field `options: Options`.
macro_rules! call_option_methods {
    () => {
        /// How long the call may take in all, waiting for a connection and retries included. Default: the client's.
        pub fn timeout(mut self, timeout: core::time::Duration) -> Self {
            self.options.core = self.options.core.timeout(Some(timeout));
            self
        }

        /// Lets the call take as long as it takes.
        pub fn no_timeout(mut self) -> Self {
            self.options.core = self.options.core.timeout(None);
            self
        }

        /// Asks this endpoint and no other: the address of one of the client's endpoints. If it is none of them, the
        /// call fails with [`InvalidRequest::UnknownEndpoint`](crate::InvalidRequest::UnknownEndpoint).
        pub fn endpoint(mut self, address: impl AsRef<str>) -> Self {
            let address = $crate::Address::try_from(address.as_ref());
            self.options.endpoint = Some(address.map_err(Into::into));
            self
        }

        /// Whether a member without a leader shall refuse at once, so that the call moves to another member. Default:
        /// yes for linearizable reads and for writes, no for calls a member answers by itself.
        pub fn require_leader(mut self, require: bool) -> Self {
            self.options.core = self.options.core.require_leader(require);
            self
        }

        /// Metadata sent with this call besides the client's. Default none.
        pub fn metadata(mut self, metadata: $crate::Metadata) -> Self {
            self.options.core = self.options.core.metadata(metadata);
            self
        }
    };
}

/// A call of any unary method, by its request message: from [`Client::rpc`]. Awaiting it makes the call.
///
/// # Errors
/// Awaiting it fails with any [`ErrorKind`](crate::ErrorKind); [`Error::outcome`] says whether a write may have been
/// applied nevertheless.
///
/// # Cancel safety
/// Nothing happens before the first poll. Dropping the future afterwards gives the call up and leaves nothing behind;
/// a write may have been applied.
#[must_use = "a call is made when it is awaited"]
pub struct Call<R: UnaryRequest> {
    client: Client,
    request: R,
    options: Options,
}

impl<R: UnaryRequest> Call<R> {
    pub(crate) fn new(client: Client, request: R) -> Self {
        Self { client, request, options: Options::default() }
    }

    call_option_methods!();
}

impl<R: UnaryRequest> IntoFuture for Call<R> {
    type Output = Result<R::Response, Error>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        self.client.call(self.request, self.options)
    }
}

impl<R: UnaryRequest> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The future of a unary call. Dropping it gives the call up; a write may have been applied then.
#[must_use = "futures do nothing unless polled"]
pub struct CallFuture<R: UnaryRequest> {
    stage: Stage<R>,
}

/// How far a call is.
enum Stage<R: UnaryRequest> {
    Unstarted { handle: Arc<Handle>, request: R, options: Options },
    Started(Started<R::Response>),
    Over,
}

// Nothing in it is ever pinned.
impl<R: UnaryRequest> Unpin for CallFuture<R> {}

impl<R: UnaryRequest> CallFuture<R> {
    pub(crate) fn new(handle: Arc<Handle>, request: R, options: Options) -> Self {
        Self { stage: Stage::Unstarted { handle, request, options } }
    }
}

impl<R: UnaryRequest> Future for CallFuture<R> {
    type Output = Result<R::Response, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &mut self.get_mut().stage;
        if let Stage::Started(started) = stage {
            let reply = ready!(started.poll(cx));
            *stage = Stage::Over;
            return Poll::Ready(reply.and_then(Reply::decode));
        }
        if let Stage::Unstarted { handle, request, options } = core::mem::replace(stage, Stage::Over) {
            let settings = options.resolve(handle.shared())?;
            let start = |core: &mut Core, now| core.start(now, &request, &settings);
            *stage = Stage::Started(Started::new(handle, cx, start));
        }
        // Also when it is polled after its end.
        Poll::Pending
    }
}

impl<R: UnaryRequest> fmt::Debug for CallFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Unstarted { .. } => "unstarted",
            Stage::Started { .. } => "started",
            Stage::Over => "over",
        };
        f.debug_struct("CallFuture").field("method", &R::METHOD.name()).field("stage", &stage).finish()
    }
}

/// A started operation that is given up when it is dropped.
pub(crate) struct Started<T> {
    handle: Arc<Handle>,
    op: Op<T>,
    taken: bool,
}

impl<T> Started<T> {
    /// Starts an operation, and remembers whom to wake at its end.
    pub(crate) fn new(
        handle: Arc<Handle>,
        cx: &Context<'_>,
        start: impl FnOnce(&mut Core, Instant) -> Op<T>,
    ) -> Self {
        let shared = handle.shared();
        let mut state = shared.lock();
        // Read under the lock, so that the core sees time in order.
        let now = shared.runtime.now();
        let op = start(&mut state.core, now);
        state.wait(op.key(), cx.waker());
        let abandoned = state.discard_outputs();
        drop(state);
        if abandoned {
            // It ended at once, and nobody else will say so.
            cx.waker().wake_by_ref();
        } else {
            shared.bell.ring(Bell::CALLER);
        }
        Self { handle, op, taken: false }
    }

    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Reply<T>, Error>> {
        let mut state = self.handle.shared().lock();
        match state.core.take_reply(&self.op) {
            Some(reply) => {
                self.taken = true;
                Poll::Ready(reply)
            }
            None => {
                state.wait(self.op.key(), cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if !self.taken {
            self.handle.shared().cancel(self.op.key());
        }
    }
}
