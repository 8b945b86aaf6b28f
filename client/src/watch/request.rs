//! [`Watch`]: what to watch and how.

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll};

use etcdium_core::{
    Address, Error, ErrorKind, InvalidRequest, Key, Metadata, Revision, WatchError, WatchErrorKind,
    WatchRequest,
};

use super::Watcher;
use crate::Client;
use crate::call::endpoint_key;
use crate::kv::selection::{Selection, selection_options};

/// A watch of one key or of a range of keys: from [`Client::watch`]. Awaiting it gives a [`Watcher`] as soon as the server
/// has confirmed the watch, so that a change made after that is never missed.
///
/// | setting | default |
/// |---|---|
/// | [`prefix`](Self::prefix), [`range`](Self::range), [`from_key`](Self::from_key) | the one key |
/// | [`from_revision`](Self::from_revision) | from now on |
/// | [`prev_kv`](Self::prev_kv), [`progress_notify`](Self::progress_notify), [`created`](Self::created), [`connection_notices`](Self::connection_notices) | no |
/// | [`no_puts`](Self::no_puts), [`no_deletes`](Self::no_deletes) | both are reported |
/// | [`fragment`](Self::fragment) | yes |
/// | [`max_buffer`](Self::max_buffer) | 16 MiB |
/// | [`require_leader`](Self::require_leader) | yes |
/// | time-out | none: it waits for a server as long as it takes |
///
/// # Errors
/// Awaiting it fails with a [`WatchError`]: [`Invalid`](WatchErrorKind::Invalid) and [`TooLarge`](WatchErrorKind::TooLarge)
/// before anything is sent, [`Unauthorized`](WatchErrorKind::Unauthorized), [`Refused`](WatchErrorKind::Refused),
/// [`Closed`](WatchErrorKind::Closed). Trouble with connections and members is no error: the watch waits and goes on
/// elsewhere.
///
/// # Cancel safety
/// Nothing happens before the first poll. Dropping the future afterwards leaves no watch behind.
#[derive(Clone)]
#[must_use = "a watch is made when it is awaited"]
pub struct Watch {
    client: Client,
    keys: Selection,
    endpoint: Option<Result<Address, Error>>,
    /// Its range is set at last.
    request: WatchRequest,
}

impl Client {
    /// Watches one key, or with the options of [`Watch`] a range of keys.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use etcdium_client::WatchItem;
    ///
    /// let mut watcher = client.watch("app/").prefix().await?;
    /// while let Some(item) = watcher.next().await {
    ///     if let WatchItem::Events { revision, events } = item? {
    ///         for event in events {
    ///             println!("{revision}: {:?} {}", event.kind, event.kv.key_str()?);
    ///         }
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch(&self, key: impl Into<Key>) -> Watch {
        Watch {
            client: self.clone(),
            keys: Selection::single(key.into()),
            endpoint: None,
            request: WatchRequest::new(etcdium_core::KeyRange::single("")),
        }
    }
}

impl Watch {
    selection_options!();

    /// Events from this revision on, past or future. [`Revision::ZERO`] means from now on, the default: then the watch
    /// begins behind the revision at which the server confirms it.
    ///
    /// To watch from where a read ended, give the revision of its header, [`next`](Revision::next).
    pub fn from_revision(self, revision: impl Into<Revision>) -> Self {
        let revision = revision.into();
        self.set(|request| request.from_revision(revision))
    }

    /// Events carry the pair as it was before, in [`Event::prev_kv`](crate::Event::prev_kv).
    ///
    /// etcd itself may leave it out of the first events of a watch that begins in the past, or goes on after a broken
    /// connection: it registers the watch before it notes what was asked for (`recvLoop`, `sendLoop` in
    /// server/etcdserver/api/v3rpc/watch.go, 3.5 to 3.7).
    pub fn prev_kv(self) -> Self {
        self.set(WatchRequest::prev_kv)
    }

    /// Leaves out puts.
    pub fn no_puts(self) -> Self {
        self.set(|request| request.puts(false))
    }

    /// Leaves out deletions.
    pub fn no_deletes(self) -> Self {
        self.set(|request| request.deletes(false))
    }

    /// The server tells by itself how far an idle watch has come, about every ten minutes
    /// (`--watch-progress-notify-interval`), as [`WatchItem::Progress`](crate::WatchItem::Progress).
    pub fn progress_notify(self) -> Self {
        self.set(WatchRequest::progress_notify)
    }

    /// Gives [`WatchItem::Created`](crate::WatchItem::Created) as the first item.
    pub fn created(self) -> Self {
        self.set(WatchRequest::created)
    }

    /// Tells in-band when the connection is lost and when the watch goes on:
    /// [`WatchItem::Disconnected`](crate::WatchItem::Disconnected), [`WatchItem::Resumed`](crate::WatchItem::Resumed).
    /// Nothing is missed in between.
    pub fn connection_notices(self) -> Self {
        self.set(|request| request.connection_notices(true))
    }

    /// Whether the server may split large responses; they are joined again before anybody sees them. Default yes.
    pub fn fragment(self, split: bool) -> Self {
        self.set(|request| request.fragment(split))
    }

    /// How many bytes are buffered for a slow reader. Past that the watch is parked: cancelled on the server, and made
    /// again from where it stopped when everything was read. Nothing is lost by that unless the revisions in between are
    /// compacted meanwhile, which is told. What is larger in one revision is given whole. Default 16 MiB.
    pub fn max_buffer(self, bytes: usize) -> Self {
        self.set(|request| request.max_buffer(bytes))
    }

    /// Whether the watch leaves a member that has lost its leader. Default yes.
    pub fn require_leader(self, require: bool) -> Self {
        self.set(|request| request.require_leader(require))
    }

    /// Watches through this endpoint and no other: the address of one of the client's endpoints.
    pub fn endpoint(mut self, address: impl AsRef<str>) -> Self {
        self.endpoint = Some(Address::try_from(address.as_ref()).map_err(Into::into));
        self
    }

    /// Metadata sent with the stream besides the client's. Watches with equal metadata share a stream. Default none.
    pub fn metadata(self, metadata: Metadata) -> Self {
        self.set(|request| request.metadata(metadata))
    }

    pub(super) fn with_keys(mut self, keys: Selection) -> Self {
        self.keys = keys;
        self
    }

    fn set(mut self, set: impl FnOnce(WatchRequest) -> WatchRequest) -> Self {
        self.request = set(self.request);
        self
    }

    /// The request, as the core takes it.
    fn build(self) -> Result<(Client, WatchRequest), WatchError> {
        let Self { client, keys, endpoint, mut request } = self;
        let invalid = |invalid| WatchError::new(WatchErrorKind::Invalid(invalid), None);
        request = request.range(keys.build().map_err(invalid)?);
        match endpoint.transpose() {
            Ok(None) => {}
            Ok(Some(address)) => {
                let key = endpoint_key(client.handle().shared(), &address).map_err(invalid)?;
                request = request.endpoint(key);
            }
            Err(error) => {
                return Err(invalid(match error.kind() {
                    ErrorKind::InvalidRequest(what) => what.clone(),
                    _ => InvalidRequest::UnknownEndpoint,
                }));
            }
        }
        Ok((client, request))
    }
}

impl IntoFuture for Watch {
    type Output = Result<Watcher, WatchError>;
    type IntoFuture = WatchFuture;

    fn into_future(self) -> WatchFuture {
        WatchFuture { stage: Stage::Unstarted(Box::new(self)) }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("keys", &self.keys)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// A watch that the server has yet to confirm: what awaiting a [`Watch`] waits for. Dropping it leaves no watch behind.
#[must_use = "futures do nothing unless polled"]
pub struct WatchFuture {
    stage: Stage,
}

enum Stage {
    Unstarted(Box<Watch>),
    Opening(Watcher),
    Over,
}

impl Future for WatchFuture {
    type Output = Result<Watcher, WatchError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &mut self.get_mut().stage;
        let mut watcher = match core::mem::replace(stage, Stage::Over) {
            Stage::Unstarted(watch) => {
                let (client, request) = watch.build()?;
                Watcher::start(client.handle().clone(), request)
            }
            Stage::Opening(watcher) => watcher,
            // Also when it is polled after its end.
            Stage::Over => return Poll::Pending,
        };
        match watcher.poll_open(cx) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| watcher)),
            Poll::Pending => {
                *stage = Stage::Opening(watcher);
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for WatchFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Unstarted(_) => "unstarted",
            Stage::Opening(_) => "opening",
            Stage::Over => "over",
        };
        f.debug_struct("WatchFuture").field("stage", &stage).finish()
    }
}
