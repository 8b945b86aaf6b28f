//! [`Lease`] and [`LeaseKeeper`]: what a program holds of a lease that is kept alive.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use etcdium_core::{CallOptions, Error, EtcdError, Kept, LeaseId, LeaseLost, LeaseState, OnDrop};
use etcdium_proto::etcdserverpb::LeaseRevokeRequest;
use futures_core::Stream;

use super::held::{Held, Sight};
use crate::CallFuture;
use crate::call::Options;

/// A lease of one's own that keeps itself alive: from [`Client::lease`](crate::Client::lease).
///
/// Nothing has to be called for that. [`state`](Self::state) tells how it stands, [`changed`](Self::changed) and the
/// [`Stream`] of states when that changes, [`lost`](Self::lost) when it is over. Guarantees stand on [`LeaseState`].
///
/// # Ends
///
/// * [`revoke`](Self::revoke) ends it and deletes the keys tied to it.
/// * Dropping it ends the renewals, and the lease expires by itself within its time to live; with
///   [`OnDrop::Revoke`] it is revoked in the background. Expiry is the default since a drop cannot wait or tell of a failure,
///   and since deleting keys is nothing to be done in passing.
/// * [`Client::close`](crate::Client::close) ends the renewals. The last clone of the client may go: the lease keeps what it
///   needs.
///
/// ```no_run
/// use std::time::Duration;
///
/// use etcdium_client::{Client, Error};
///
/// # async fn work() {}
/// # async fn example(client: Client) -> Result<(), Error> {
/// let lease = client.lease(Duration::from_secs(10)).await?;
/// client.put("service/a", "10.0.0.1:80").lease(lease.id()).await?;
/// // Work for as long as the lease lives ...
/// work().await;
/// lease.revoke().await?; // ... and leave at once.
/// # Ok(()) }
/// ```
pub struct Lease {
    held: Held,
    id: LeaseId,
    ttl: Duration,
    seen: Option<Sight>,
}

/// Keeps a lease alive that was granted elsewhere: from [`Client::keep_alive`](crate::Client::keep_alive).
///
/// As [`Lease`], but the lease is somebody else's: dropping this ends the renewals and nothing more.
pub struct LeaseKeeper {
    held: Held,
    id: LeaseId,
    ttl: Duration,
    seen: Option<Sight>,
}

macro_rules! holder {
    ($name:ident) => {
        impl $name {
            pub(super) fn new(held: Held, kept: &Kept) -> Self {
                Self { held, id: kept.id, ttl: kept.ttl, seen: None }
            }

            /// The lease.
            pub fn id(&self) -> LeaseId {
                self.id
            }

            /// The time to live that the server told at the beginning, in whole seconds.
            pub fn ttl(&self) -> Duration {
                self.ttl
            }

            /// How the lease stands now. It is judged against the clock: a program that was stopped for longer than the lease
            /// lives reads [`LeaseState::Lost`] first of all, also when its machine was suspended (on Linux; elsewhere if
            /// [`Instant`](std::time::Instant) goes on meanwhile). `until` is by the clock of
            /// [`Instant::now`](std::time::Instant::now), as if the machine stays awake.
            pub fn state(&self) -> LeaseState {
                self.held.state()
            }

            /// Whether the lease is not lost.
            pub fn is_alive(&self) -> bool {
                !matches!(self.state(), LeaseState::Lost { .. })
            }

            /// Waits for another state than was given last, by this or by the [`Stream`]; the first call gives the state at
            /// once. Each renewal makes another state: it moves the time until which the lease lives. A lost lease changes no
            /// more, and its state is given at once.
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn changed(&mut self) -> LeaseState {
                let Self { held, seen, .. } = self;
                poll_fn(|cx| {
                    // What is lost stays so.
                    let known = seen.filter(|seen| *seen != Sight::Lost);
                    let (sight, state) = ready!(held.poll_changed(cx, known));
                    *seen = Some(sight);
                    Poll::Ready(state)
                })
                .await
            }

            /// Waits until the lease is lost, and says why. Any number may wait.
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn lost(&self) -> LeaseLost {
                poll_fn(|cx| self.held.poll_lost(cx)).await
            }
        }

        /// The state at first, then each other one. Ends after [`LeaseState::Lost`].
        impl Stream for $name {
            type Item = LeaseState;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LeaseState>> {
                let this = self.get_mut();
                if this.seen == Some(Sight::Lost) {
                    return Poll::Ready(None);
                }
                let (sight, state) = ready!(this.held.poll_changed(cx, this.seen));
                this.seen = Some(sight);
                Poll::Ready(Some(state))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("id", &self.id)
                    .field("state", &self.state())
                    .finish_non_exhaustive()
            }
        }
    };
}

holder!(Lease);
holder!(LeaseKeeper);

impl Lease {
    /// Ends the lease and deletes the keys tied to it. That it has ended already is a success. The revocation is repeated
    /// until it is answered, within the client's time-out.
    ///
    /// # Errors
    /// From etcd ([`EtcdError`](crate::EtcdError)): `PermissionDenied`; others when there is no answer in time. The lease is
    /// renewed no more then, and expires.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the revocation to be done in the background.
    pub async fn revoke(mut self) -> Result<(), Error> {
        self.held.on_drop = OnDrop::Revoke;
        let request = LeaseRevokeRequest { id: self.id.get() };
        let options = Options { core: CallOptions::new().idempotent(true), endpoint: None };
        let result = CallFuture::new(self.held.handle().clone(), request, options).await;
        self.held.on_drop = OnDrop::Expire;
        match result {
            Err(error) if error.etcd() != Some(EtcdError::LeaseNotFound) => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives the lease up without revoking it, whatever was said of drops: it is renewed no more, unless somebody else does.
    pub fn leave(mut self) -> LeaseId {
        self.held.on_drop = OnDrop::Expire;
        self.id
    }
}
