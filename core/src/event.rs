//! What the core tells the application: small hints that name a key. The data is pulled.

use crate::{Cause, ClusterId, EndpointKey, KeeperKey, OpKey, Revision, StreamKey, WatchKey};

/// A hint from [`Core::poll_event`](crate::Core::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The operation ended: redeem it with [`Core::take`](crate::Core::take). Given exactly once per operation that
    /// was not cancelled.
    OpDone(OpKey),
    /// The stream has a message or its end to take with [`Core::next`](crate::Core::next). Given once, however much
    /// comes, until `next` has said that there is nothing more.
    StreamReadable(StreamKey),
    /// The watch has something to tell: that the server has confirmed it ([`Core::is_watch_open`]), an item or its end
    /// ([`Core::watch_next`]), or how far it has come ([`Core::watch_progress`]). Given once, however much comes, until one
    /// of these was called and had nothing to tell.
    ///
    /// [`Core::is_watch_open`]: crate::Core::is_watch_open
    /// [`Core::watch_next`]: crate::Core::watch_next
    /// [`Core::watch_progress`]: crate::Core::watch_progress
    WatchReadable(WatchKey),
    /// A lease began to be kept alive, or failed to ([`Core::started`](crate::Core::started)); afterwards, its state changed
    /// ([`Core::keeper_state`](crate::Core::keeper_state)). The beginning is always told, what follows once for each
    /// [`Core::await_keeper`](crate::Core::await_keeper).
    KeeperChanged(KeeperKey),
    /// An endpoint changed its state.
    Endpoint {
        /// Which endpoint.
        endpoint: EndpointKey,
        /// What it is now.
        status: EndpointStatus,
    },
    /// Responses now come from another cluster than before: the endpoints lead somewhere else, or the cluster behind
    /// them was replaced. Revisions of the two do not compare.
    ClusterChanged {
        /// The cluster of the responses so far.
        from: ClusterId,
        /// The cluster of the latest response.
        to: ClusterId,
    },
    /// The history of the cluster was replaced: a linearizable read was answered below a revision that had been seen before
    /// it was sent, so a backup was restored. Watches that had begun end, and the highest revision starts anew.
    ClusterReset {
        /// The cluster, zero if it does not say.
        cluster: ClusterId,
        /// Its revision now.
        revision: Revision,
    },
    /// The core was closed and has let go of every connection.
    Drained,
}

/// Whether an endpoint can take calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointStatus {
    /// A connection is being made.
    Connecting,
    /// Connected: the server's first SETTINGS frame was seen.
    Ready,
    /// Not usable until the next attempt.
    Down(Cause),
    /// No longer one of the configured endpoints.
    Removed,
}
