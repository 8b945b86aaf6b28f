//! [`Client`]: what programs hold.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::sync::Arc;

use etcdium_core::{Address, CallOptions, ClusterId, Core, EndpointStatus, Error, Revision, Stats};
use etcdium_proto::UnaryRequest;

use crate::call::{Options, Started};
use crate::shared::Shared;
use crate::{Call, CallFuture, ClientBuilder, Endpoints, Runtime};

/// A client of one etcd cluster. Cheap to clone; all clones are the same client.
///
/// Every call is a future that starts on its first poll; dropping it gives the call up. When the last clone and the last
/// call are dropped, the client closes, as soon as leases are revoked that were dropped to be.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What keeps a client open: it closes when the last handle is dropped.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.retire();
    }
}

/// One of a client's endpoints, from [`Client::endpoints`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointState {
    /// The endpoint.
    pub address: Address,
    /// What it is doing; `None` before the first call.
    pub status: Option<EndpointStatus>,
}

impl Client {
    /// Begins to set up a client that runs on `runtime`. Adapters have a function of the same name that knows it.
    pub fn builder(runtime: impl Runtime) -> ClientBuilder {
        ClientBuilder::new(Arc::new(runtime))
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Calls any unary method by its request message from [`proto`](crate::proto).
    ///
    /// ```no_run
    /// # async fn f(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// use etcdium_client::proto::etcdserverpb::MemberListRequest;
    ///
    /// let members = client.rpc(MemberListRequest { linearizable: true }).await?.members;
    /// # Ok(()) }
    /// ```
    pub fn rpc<R: UnaryRequest>(&self, request: R) -> Call<R> {
        Call::new(self.clone(), request)
    }

    pub(crate) fn call<R: UnaryRequest>(&self, request: R, options: Options) -> CallFuture<R> {
        CallFuture::new(self.handle.clone(), request, options)
    }

    /// Waits until one endpoint is connected.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut started: Option<Started<()>> = None;
        poll_fn(|cx| match &mut started {
            Some(started) => started.poll(cx).map_ok(|_| ()),
            none => {
                let start = |core: &mut Core, now| core.connect(now, &CallOptions::new());
                *none = Some(Started::new(self.handle.clone(), cx, start));
                Poll::Pending
            }
        })
        .await
    }

    /// Ends every call with [`ErrorKind::Closed`](crate::ErrorKind::Closed) and drops every connection, for all clones
    /// of this client. Further calls fail. Closing twice is harmless.
    pub fn close(&self) {
        self.handle.shared.close();
    }

    /// Whether the client was closed, or the runtime under it is gone.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.lock().core.is_closed()
    }

    /// Replaces the endpoints. Connections to endpoints that stay are kept; calls that run on others finish there.
    ///
    /// # Errors
    /// See [`Endpoints::addresses`]. The endpoints are unchanged then.
    pub fn set_endpoints(&self, endpoints: impl Endpoints) -> Result<(), Error> {
        let addresses = endpoints.addresses()?;
        self.handle.shared.set_endpoints(addresses);
        Ok(())
    }

    /// The endpoints in configured order, and what each is doing now.
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let state = self.handle.shared.lock();
        let endpoints = state.core.endpoints();
        endpoints.map(|(_, address, status)| EndpointState { address: address.clone(), status }).collect()
    }

    /// The highest revision seen in any response, [`Revision::ZERO`] before the first.
    pub fn revision(&self) -> Revision {
        self.handle.shared.lock().core.revision()
    }

    /// The cluster of the latest response that named one.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.handle.shared.lock().core.cluster()
    }

    /// Counters of this client.
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().core.stats()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}
