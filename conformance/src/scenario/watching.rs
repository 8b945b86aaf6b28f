//! Watches as bodies write them: of the typed client, or of the core on an event loop.

use std::future::IntoFuture;
use std::time::Duration;

use etcdium_client::{Key, KeyRange, Metadata, ProgressError, Revision, WatchError, WatchItem, Watcher};
use etcdium_core::WatchRequest;

use super::event_loop::LoopWatcher;
use super::subject::BoxFuture;
use super::{EventLoop, Failure, Subject, pause};

/// A watch to be made. Awaiting it gives a [`Watching`]. The settings are those of [`etcdium_client::Watch`].
#[derive(Clone, Debug)]
#[must_use = "a watch is made when it is awaited"]
pub struct Watch(Builder);

#[derive(Clone, Debug)]
enum Builder {
    Client(etcdium_client::Watch),
    Loop { event_loop: EventLoop, key: Key, request: WatchRequest, endpoint: Option<String> },
}

impl Subject {
    /// Watches one key, or with the settings of [`Watch`] several.
    pub fn watch(&self, key: impl Into<Key>) -> Watch {
        let key = key.into();
        Watch(match self {
            Self::Client(client) => Builder::Client(client.watch(key)),
            Self::Loop(event_loop) => {
                let request = WatchRequest::new(KeyRange::single(key.clone()));
                Builder::Loop { event_loop: event_loop.clone(), key, request, endpoint: None }
            }
        })
    }
}

/// Settings that the client and the core have alike.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*)
        => |$watch:ident| $client:expr, |$request:ident, $key:ident| $core:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(self, $($argument: $type),*) -> Self {
            Self(match self.0 {
                Builder::Client($watch) => Builder::Client($client),
                Builder::Loop { event_loop, key: $key, request: $request, endpoint } => {
                    let request = $core;
                    Builder::Loop { event_loop, key: $key, request, endpoint }
                }
            })
        }
    )*};
}

impl Watch {
    settings! {
        /// All keys that begin with it.
        prefix() => |watch| watch.prefix(), |request, key| request.range(KeyRange::prefix(key.clone()));
        /// All keys from it on.
        from_key() => |watch| watch.from_key(), |request, key| request.range(KeyRange::from_key(key.clone()));
        /// All keys from it up to another, which does not belong to them.
        range(end: &str) => |watch| watch.range(end),
            |request, key| request.range(KeyRange::range(key.clone(), end));
        /// From this revision on.
        from_revision(revision: Revision) => |watch| watch.from_revision(revision),
            |request, key| request.from_revision(revision);
        /// With the pairs of before.
        prev_kv() => |watch| watch.prev_kv(), |request, key| request.prev_kv();
        /// The server tells the progress.
        progress_notify() => |watch| watch.progress_notify(), |request, key| request.progress_notify();
        /// Its creation is an item.
        created() => |watch| watch.created(), |request, key| request.created();
        /// Lost connections are items.
        connection_notices() => |watch| watch.connection_notices(),
            |request, key| request.connection_notices(true);
        /// Without puts.
        no_puts() => |watch| watch.no_puts(), |request, key| request.puts(false);
        /// Without deletions.
        no_deletes() => |watch| watch.no_deletes(), |request, key| request.deletes(false);
        /// Whether large responses may be split.
        fragment(split: bool) => |watch| watch.fragment(split), |request, key| request.fragment(split);
        /// With this metadata, and on a stream with others that have the same.
        metadata(metadata: Metadata) => |watch| watch.metadata(metadata),
            |request, key| request.metadata(metadata);
        /// What is buffered for a slow reader, in bytes.
        max_buffer(bytes: usize) => |watch| watch.max_buffer(bytes), |request, key| request.max_buffer(bytes);
    }

    /// Through this endpoint alone.
    pub fn endpoint(self, endpoint: &str) -> Self {
        Self(match self.0 {
            Builder::Client(watch) => Builder::Client(watch.endpoint(endpoint)),
            Builder::Loop { event_loop, key, request, .. } => {
                Builder::Loop { event_loop, key, request, endpoint: Some(endpoint.to_owned()) }
            }
        })
    }
}

impl IntoFuture for Watch {
    type Output = Result<Watching, WatchError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.0 {
                Builder::Client(watch) => watch.await.map(|watcher| Watching(Reader::Client(watcher))),
                Builder::Loop { event_loop, request, endpoint, .. } => {
                    let watcher = event_loop.watch(request, endpoint.as_deref()).await?;
                    Ok(Watching(Reader::Loop(watcher)))
                }
            }
        })
    }
}

/// A watch under way. Dropping it cancels it. See [`etcdium_client::Watcher`].
#[derive(Debug)]
#[must_use = "a watch that is dropped is cancelled"]
pub struct Watching(Reader);

#[derive(Debug)]
enum Reader {
    Client(Watcher),
    Loop(LoopWatcher),
}

impl Watching {
    /// The next item, however long it takes.
    pub async fn next(&mut self) -> Option<Result<WatchItem, WatchError>> {
        match &mut self.0 {
            Reader::Client(watcher) => watcher.next().await,
            Reader::Loop(watcher) => watcher.next().await,
        }
    }

    /// The first revision of which nothing was read.
    pub fn next_revision(&self) -> Option<Revision> {
        match &self.0 {
            Reader::Client(watcher) => watcher.next_revision(),
            Reader::Loop(watcher) => watcher.next_revision(),
        }
    }

    /// How many events were dropped since they had been given before.
    pub fn repeated_events(&self) -> u64 {
        match &self.0 {
            Reader::Client(watcher) => watcher.repeated_events(),
            Reader::Loop(watcher) => watcher.repeated_events(),
        }
    }

    /// Asks how far it has come.
    ///
    /// # Errors
    /// The server cannot tell, or the watch is parked or over.
    pub async fn request_progress(&self) -> Result<Revision, ProgressError> {
        match &self.0 {
            Reader::Client(watcher) => watcher.request_progress().await,
            Reader::Loop(watcher) => watcher.request_progress().await,
        }
    }

    /// Cancels it and waits until the server has confirmed.
    pub async fn cancel(self) {
        match self.0 {
            Reader::Client(watcher) => watcher.cancel().await,
            Reader::Loop(watcher) => watcher.cancel().await,
        }
    }

    /// Demands that nothing is told in this time: kept short, since it passes whenever all is well.
    ///
    /// # Errors
    /// Something is.
    pub async fn silent(&mut self, time: Duration) -> Result<(), Failure> {
        match pause::within(time, self.next()).await {
            None => Ok(()),
            Some(told) => Err(Failure::new(format!("expected nothing more, got {told:?}"))),
        }
    }
}

impl From<WatchError> for Failure {
    /// An error the case did not expect, at the place of its `?`.
    #[track_caller]
    fn from(error: WatchError) -> Self {
        Self::new(format!("unexpected end of a watch: {error}"))
    }
}

impl From<ProgressError> for Failure {
    #[track_caller]
    fn from(error: ProgressError) -> Self {
        Self::new(format!("no progress: {error}"))
    }
}
