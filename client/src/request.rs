//! What all request builders share: being bound to a client or not, the settings of one call, and the future.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use etcdium_core::{Address, CallOptions, Error, InvalidRequest};
use etcdium_proto::UnaryRequest;

use crate::call::Options;
use crate::{CallFuture, Client};

/// Marks a builder that stands for itself: a part of a transaction, or the way to a request message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbound;

/// Marks a builder that belongs to a client: it has per-call settings and can be awaited.
#[derive(Clone, Debug)]
pub struct Bound {
    client: Client,
    // What `call_option_methods` sets, as this stands in the field `options` of every builder.
    pub(crate) core: CallOptions,
    pub(crate) endpoint: Option<Result<Address, Error>>,
}

impl Bound {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), core: CallOptions::new(), endpoint: None }
    }

    /// The call of this request, unless there is something wrong with it.
    pub(crate) fn call<R: UnaryRequest, T>(self, request: Result<R, InvalidRequest>) -> ResponseFuture<R, T> {
        let Self { client, core, endpoint } = self;
        let state = match request {
            Ok(request) => State::Call(client.call(request, Options { core, endpoint })),
            Err(invalid) => State::Invalid(invalid.into()),
        };
        ResponseFuture { state, response: PhantomData }
    }
}

/// A call on its way to a typed response: what awaiting any request builder gives.
///
/// `R` is the request message, `T` the response. The call starts when the future is first polled. It holds no lock and
/// no boxed future, is `Unpin`, and may be dropped at any time: see *Cancel safety* of the builder.
#[must_use = "futures do nothing unless awaited"]
pub struct ResponseFuture<R: UnaryRequest, T> {
    state: State<R>,
    response: PhantomData<fn() -> T>,
}

enum State<R: UnaryRequest> {
    Call(CallFuture<R>),
    /// Refused before anything was sent.
    Invalid(Error),
}

impl<R, T> Future for ResponseFuture<R, T>
where
    R: UnaryRequest,
    T: TryFrom<R::Response, Error = Error>,
{
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Call(call) => Pin::new(call).poll(cx).map(|response| T::try_from(response?)),
            State::Invalid(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

impl<R: UnaryRequest, T> fmt::Debug for ResponseFuture<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ResponseFuture");
        debug.field("method", &R::METHOD.name());
        if let State::Invalid(error) = &self.state {
            debug.field("invalid", error);
        }
        debug.finish_non_exhaustive()
    }
}

/// Completes a builder that has `fn build(self) -> (Result<Request, InvalidRequest>, C)`: the request message when it
/// stands for itself; per-call settings and awaiting when it is bound.
macro_rules! request_builder {
    ($builder:ident: $request:ident -> $response:ident) => {
        impl $builder {
            /// The request message, for a caller that sends it otherwise.
            ///
            /// # Errors
            /// [`InvalidRequest`](crate::InvalidRequest) when options exclude each other or a value is out of its
            /// range.
            pub fn into_request(self) -> Result<$request, etcdium_core::Error> {
                Ok(self.build().0?)
            }
        }

        impl $builder<crate::Bound> {
            call_option_methods!();
        }

        impl IntoFuture for $builder<crate::Bound> {
            type Output = Result<$response, etcdium_core::Error>;
            type IntoFuture = crate::ResponseFuture<$request, $response>;

            fn into_future(self) -> Self::IntoFuture {
                let (request, options) = self.build();
                options.call(request)
            }
        }
    };
}

pub(crate) use request_builder;

#[cfg(test)]
mod tests;
