//! [`Watcher`]: the reader's end of a watch.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use etcdium_core::{
    ProgressError, Revision, WatchError, WatchErrorKind, WatchKey, WatchNext, WatchRequest, WatchRun,
};
use futures_core::Stream;

use super::{Event, WatchItem};
use crate::client::Handle;

/// A watch under way: a [`Stream`] of items, from awaiting a [`Watch`](crate::Watch).
///
/// A watch is a subscription that outlives connections. Whatever happens to connections and members, it goes on elsewhere:
///
/// * revisions strictly increase, and one item carries all matching events of a revision;
/// * nothing is lost, repeated or reordered;
/// * it ends only by [`cancel`](Self::cancel) or the client's [`close`](crate::Client::close), which give `None`, or with a
///   [`WatchError`], after everything that was received before: [`Compacted`](WatchErrorKind::Compacted),
///   [`ClusterReset`](WatchErrorKind::ClusterReset), [`Unauthorized`](WatchErrorKind::Unauthorized),
///   [`Refused`](WatchErrorKind::Refused), [`Inconsistent`](WatchErrorKind::Inconsistent). `None` follows that.
///
/// A reader that is slow costs its buffer and nobody else anything: see [`Watch::max_buffer`](crate::Watch::max_buffer).
///
/// Dropping it cancels the watch on the server. It keeps going when the last [`Client`](crate::Client) is dropped.
#[must_use = "a watch that is dropped is cancelled"]
pub struct Watcher {
    handle: Arc<Handle>,
    watch: WatchKey,
    /// Events that were taken from the core together.
    run: WatchRun<Event>,
    /// The first revision of which nothing was read, in the middle of a run.
    position: Option<Revision>,
    /// Its end was taken.
    over: bool,
}

impl Watcher {
    /// Asks for a watch.
    pub(super) fn start(handle: Arc<Handle>, request: WatchRequest) -> Self {
        let watch = handle.shared().act(|state, now| state.core.watch(now, request));
        Self { handle, watch, run: WatchRun::default(), position: None, over: false }
    }

    /// Waits for the server's confirmation.
    pub(super) fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<(), WatchError>> {
        let open = self.handle.shared().act(|state, _| {
            let open = state.core.is_watch_open(self.watch);
            if open == Some(false) {
                state.wait_for_watch(self.watch, cx.waker());
            }
            open
        });
        match open {
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Pending,
            // It is over: the error is all there is to read.
            None => {
                let closed = || WatchError::new(WatchErrorKind::Closed, None);
                self.poll_item(cx).map(|item| Err(item.and_then(Result::err).unwrap_or_else(closed)))
            }
        }
    }

    /// The next item. After an error, and after the end, `None`.
    ///
    /// # Errors
    /// See [`Watcher`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the item is there the next time.
    pub async fn next(&mut self) -> Option<Result<WatchItem, WatchError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    // Where most items come from is inlined, so that they are made where they are wanted.
    #[inline]
    fn poll_item(&mut self, cx: &Context<'_>) -> Poll<Option<Result<WatchItem, WatchError>>> {
        match self.next_of_run() {
            Some(item) => Poll::Ready(Some(Ok(item))),
            None => self.poll_core(cx),
        }
    }

    #[inline(never)]
    fn poll_core(&mut self, cx: &Context<'_>) -> Poll<Option<Result<WatchItem, WatchError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // A parked watch goes on when everything was read.
        let (run, next) = self.handle.shared().act(|state, now| {
            let run = state.core.watch_next_run(now, self.watch);
            if run.is_some() {
                return (run, None);
            }
            let next = state.core.watch_next(now, self.watch);
            if next.is_none() {
                state.wait_for_watch(self.watch, cx.waker());
            }
            (None, next)
        });
        if let Some(run) = run {
            self.run = run.convert(Event::from);
        }
        match next {
            Some(WatchNext::Item(item)) => Poll::Ready(Some(Ok(item.map(Event::from)))),
            Some(WatchNext::End(result)) => {
                self.over = true;
                Poll::Ready(result.err().map(Err))
            }
            None => self.next_of_run().map_or(Poll::Pending, |item| Poll::Ready(Some(Ok(item)))),
        }
    }

    #[inline]
    fn next_of_run(&mut self) -> Option<WatchItem> {
        let (revision, events) = self.run.take_revision(Event::revision)?;
        if !self.run.is_empty() {
            self.position = Some(revision.next());
        } else if self.position.take().is_some() {
            self.run_read();
        }
        Some(WatchItem::Events { revision, events })
    }

    /// A run of several revisions counted for the buffer until now.
    #[cold]
    fn run_read(&self) {
        self.handle.shared().act(|state, now| state.core.watch_run_read(now, self.watch));
    }

    /// The first revision of which nothing was read: from where another watch would go on without a gap. `None` before the
    /// watch has begun, which is when the server has not told at which revision.
    pub fn next_revision(&self) -> Option<Revision> {
        self.position.or_else(|| self.handle.shared().lock().core.watch_position(self.watch))
    }

    /// Asks how far the watch has come: the answer is a revision up to which every event is in what was or can be read from
    /// here, at least the highest revision the client knew when it asked. The same is given in-band, as
    /// [`WatchItem::Progress`](crate::WatchItem::Progress), unless the watch begins with what has not happened yet.
    ///
    /// A server says nothing as long as any watch of the stream is behind, so it is asked until it answers. What comes
    /// meanwhile is buffered; a watch whose buffer is full cannot come forward, and says so.
    ///
    /// # Errors
    /// [`ProgressError::Unsupported`] behind etcd's grpc-proxy and on servers before 3.4.25 and 3.5.8,
    /// [`ProgressError::Behind`] when the buffer is full, [`ProgressError::Ended`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the question up.
    pub async fn request_progress(&self) -> Result<Revision, ProgressError> {
        let shared = self.handle.shared();
        shared.act(|state, now| state.core.request_progress(now, self.watch));
        poll_fn(|cx| {
            let answer = shared.act(|state, _| {
                let answer = state.core.watch_progress(self.watch);
                if answer.is_none() {
                    state.wait_for_watch(self.watch, cx.waker());
                }
                answer
            });
            answer.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Cancels the watch and waits until the server has confirmed, or the stream is gone. What was not read is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the watch all the same.
    pub async fn cancel(mut self) {
        self.handle.shared().act(|state, now| state.core.cancel_watch(now, self.watch));
        self.run = WatchRun::default();
        while self.next().await.is_some() {}
    }

    /// How many events were dropped since they had been given before, or are older than what was asked for.
    pub fn repeated_events(&self) -> u64 {
        self.handle.shared().lock().core.watch_repeated(self.watch)
    }
}

impl Stream for Watcher {
    type Item = Result<WatchItem, WatchError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.over {
            self.handle.shared().drop_watch(self.watch);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("watch", &self.watch)
            .field("next_revision", &self.next_revision())
            .finish()
    }
}
