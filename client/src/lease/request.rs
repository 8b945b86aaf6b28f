//! What begins to keep leases alive: builders, and the futures that awaiting them gives.

use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use etcdium_core::{CallOptions, Error, Kept, LeaseId, OnDrop};

use super::handle::{Lease, LeaseKeeper};
use super::held::Held;
use super::response::KeepAliveResponse;
use crate::Client;
use crate::call::Options;
use crate::client::Handle;

/// The grant of a lease that keeps itself alive: from [`Client::lease`]. Awaiting it gives a [`Lease`].
///
/// The client chooses the lease's id, so that a grant is repeated safely when nobody knows what became of it: it never makes
/// two leases.
///
/// # Errors
/// [`InvalidRequest`](crate::InvalidRequest) before anything is sent for a time to live of zero or of more than
/// 9,000,000,000 s. From etcd ([`EtcdError`](crate::EtcdError)): `LeaseExist` for an [`id`](Self::id) that is taken.
/// `LeaseNotFound` when the grant took so long that the lease was over before it could be renewed.
///
/// # Cancel safety
/// Dropping the future leaves no lease behind: one that may have been made is revoked in the background. Only one of a chosen
/// [`id`](Self::id) of which it is not known whether it was made is left to expire.
#[must_use = "a lease is granted when this is awaited"]
pub struct NewLease {
    client: Client,
    ttl: Duration,
    id: Option<LeaseId>,
    on_drop: OnDrop,
    options: Options,
}

/// The beginning of keeping a lease alive: from [`Client::keep_alive`]. Awaiting it gives a [`LeaseKeeper`] with the first
/// answer to a renewal.
///
/// # Errors
/// From etcd ([`EtcdError`](crate::EtcdError)): `LeaseNotFound`. Anything else that goes wrong is tried again, until the
/// [`Timeout`](crate::ErrorKind::Timeout).
///
/// # Cancel safety
/// Dropping the future ends the renewals.
#[must_use = "a lease is kept alive when this is awaited"]
pub struct KeepAlive {
    client: Client,
    id: LeaseId,
    options: CallOptions,
}

/// One renewal of a lease: from [`Client::keep_alive_once`].
///
/// # Errors
/// As [`KeepAlive`].
///
/// # Cancel safety
/// Dropping the future gives the renewal up; it may have been done.
#[must_use = "a lease is renewed when this is awaited"]
pub struct KeepAliveOnce {
    client: Client,
    id: LeaseId,
    options: CallOptions,
}

impl Client {
    /// Grants a lease that keeps itself alive until it is dropped or revoked, or the client is closed. `ttl` is the time it
    /// lives on when nobody renews it any more, in whole seconds, rounded up. [`NewLease`] says more about options, errors and
    /// cancelling; [`grant`](Self::grant) is the plain call.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let lease = client.lease(Duration::from_secs(10)).await?;
    /// client.put("alive", "yes").lease(lease.id()).await?;
    /// println!("lost: {:?}", lease.lost().await);
    /// # Ok(()) }
    /// ```
    pub fn lease(&self, ttl: Duration) -> NewLease {
        NewLease { client: self.clone(), ttl, id: None, on_drop: OnDrop::Expire, options: Options::default() }
    }

    /// Keeps a lease alive that was granted elsewhere, until what this gives is dropped. [`KeepAlive`] says more about errors
    /// and cancelling.
    pub fn keep_alive(&self, lease: LeaseId) -> KeepAlive {
        KeepAlive { client: self.clone(), id: lease, options: CallOptions::new() }
    }

    /// Renews a lease once. [`KeepAliveOnce`] says more about errors and cancelling.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client, id: etcdium_client::LeaseId) -> Result<(), etcdium_client::Error> {
    /// println!("lives for {:?}", client.keep_alive_once(id).await?.ttl);
    /// # Ok(()) }
    /// ```
    pub fn keep_alive_once(&self, lease: LeaseId) -> KeepAliveOnce {
        KeepAliveOnce { client: self.clone(), id: lease, options: CallOptions::new() }
    }
}

impl NewLease {
    /// The lease's id. Default: the client chooses one.
    pub fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    /// What becomes of the lease when it is dropped. Default: it is renewed no more and expires.
    pub fn on_drop(mut self, then: OnDrop) -> Self {
        self.on_drop = then;
        self
    }

    call_option_methods!();
}

macro_rules! wait_methods {
    ($($name:ident)*) => {$(
        impl $name {
            /// How long the first answer may take. Default: the client's.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.options = self.options.timeout(Some(timeout));
                self
            }

            /// Lets it take as long as it takes.
            pub fn no_timeout(mut self) -> Self {
                self.options = self.options.timeout(None);
                self
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    )*};
}

wait_methods!(KeepAlive KeepAliveOnce);

impl fmt::Debug for NewLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLease")
            .field("ttl", &self.ttl)
            .field("id", &self.id)
            .field("on_drop", &self.on_drop)
            .finish_non_exhaustive()
    }
}

/// What awaiting a [`NewLease`], [`KeepAlive`] or [`KeepAliveOnce`] waits for.
#[must_use = "futures do nothing unless polled"]
pub struct KeepFuture<T> {
    stage: Stage,
    output: PhantomData<fn() -> T>,
}

enum Stage {
    Unstarted(Arc<Handle>, OnDrop, Begin),
    Started(Held),
    Over,
}

/// What the core is asked for.
enum Begin {
    Grant { ttl: Duration, id: Option<LeaseId>, options: Options },
    Keep(LeaseId, CallOptions),
    Once(LeaseId, CallOptions),
}

impl<T> KeepFuture<T> {
    fn new(client: &Client, on_drop: OnDrop, begin: Begin) -> Self {
        Self { stage: Stage::Unstarted(client.handle().clone(), on_drop, begin), output: PhantomData }
    }
}

fn start(handle: Arc<Handle>, on_drop: OnDrop, begin: Begin) -> Result<Held, Error> {
    Ok(match begin {
        Begin::Grant { ttl, id, options } => {
            let options = options.resolve(handle.shared())?;
            Held::start(handle, on_drop, |core, now| core.lease(now, ttl, id, &options))
        }
        Begin::Keep(id, options) => {
            Held::start(handle, on_drop, |core, now| core.keep_alive(now, id, &options))
        }
        Begin::Once(id, options) => {
            Held::start(handle, on_drop, |core, now| core.keep_alive_once(now, id, &options))
        }
    })
}

/// What a beginning gives.
pub(super) trait Begun {
    fn begun(held: Held, kept: Kept) -> Self;
}

impl Begun for Lease {
    fn begun(held: Held, kept: Kept) -> Self {
        Self::new(held, &kept)
    }
}

impl Begun for LeaseKeeper {
    fn begun(held: Held, kept: Kept) -> Self {
        Self::new(held, &kept)
    }
}

impl Begun for KeepAliveResponse {
    fn begun(_held: Held, kept: Kept) -> Self {
        kept.into()
    }
}

impl<T: Begun> Future for KeepFuture<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &mut self.get_mut().stage;
        if let Stage::Unstarted(..) = stage {
            if let Stage::Unstarted(handle, on_drop, begin) = core::mem::replace(stage, Stage::Over) {
                *stage = Stage::Started(start(handle, on_drop, begin)?);
            }
        }
        // Also when it is polled after its end.
        let Stage::Started(held) = stage else { return Poll::Pending };
        let result = ready!(held.poll_started(cx));
        let Stage::Started(held) = core::mem::replace(stage, Stage::Over) else { return Poll::Pending };
        Poll::Ready(result.map(|kept| T::begun(held, kept)))
    }
}

impl<T> fmt::Debug for KeepFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Unstarted(..) => "unstarted",
            Stage::Started(_) => "started",
            Stage::Over => "over",
        };
        f.debug_struct("KeepFuture").field("stage", &stage).finish()
    }
}

impl IntoFuture for NewLease {
    type Output = Result<Lease, Error>;
    type IntoFuture = KeepFuture<Lease>;

    fn into_future(self) -> KeepFuture<Lease> {
        let Self { client, ttl, id, on_drop, options } = self;
        KeepFuture::new(&client, on_drop, Begin::Grant { ttl, id, options })
    }
}

impl IntoFuture for KeepAlive {
    type Output = Result<LeaseKeeper, Error>;
    type IntoFuture = KeepFuture<LeaseKeeper>;

    fn into_future(self) -> KeepFuture<LeaseKeeper> {
        KeepFuture::new(&self.client, OnDrop::Expire, Begin::Keep(self.id, self.options))
    }
}

impl IntoFuture for KeepAliveOnce {
    type Output = Result<KeepAliveResponse, Error>;
    type IntoFuture = KeepFuture<KeepAliveResponse>;

    fn into_future(self) -> KeepFuture<KeepAliveResponse> {
        KeepFuture::new(&self.client, OnDrop::Expire, Begin::Once(self.id, self.options))
    }
}
