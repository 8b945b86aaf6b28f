//! Watches on the event loop.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use etcdium_client::{
    ErrorKind, Event, InvalidRequest, ProgressError, Revision, WatchError, WatchErrorKind, WatchItem,
};
use etcdium_core::{WatchKey, WatchNext, WatchRequest};

use super::{EventLoop, State};

/// A watch under way. Dropping it cancels it.
#[derive(Debug)]
pub(in crate::scenario) struct LoopWatcher {
    event_loop: EventLoop,
    watch: WatchKey,
    /// Its end was taken.
    over: bool,
}

impl EventLoop {
    /// Makes a watch, and waits until a server has confirmed it.
    pub(in crate::scenario) async fn watch(
        &self,
        request: WatchRequest,
        endpoint: Option<&str>,
    ) -> Result<LoopWatcher, WatchError> {
        let invalid = |invalid| WatchError::new(WatchErrorKind::Invalid(invalid), None);
        let watch = {
            let mut state = self.handle.0.lock();
            let request = match endpoint.map(str::parse) {
                None => request,
                Some(Ok(address)) => {
                    let key = state.core.endpoint_key(&address);
                    request.endpoint(key.ok_or_else(|| invalid(InvalidRequest::UnknownEndpoint))?)
                }
                Some(Err(error)) => {
                    let error = etcdium_client::Error::from(error);
                    return Err(invalid(match error.kind() {
                        ErrorKind::InvalidRequest(what) => what.clone(),
                        _ => InvalidRequest::UnknownEndpoint,
                    }));
                }
            };
            state.core.watch(Instant::now(), request)
        };
        self.handle.0.ring();
        let mut watcher = LoopWatcher { event_loop: self.clone(), watch, over: false };
        let open = poll_fn(|cx| {
            watcher.poll(cx, |state, watch| match state.core.is_watch_open(watch) {
                Some(false) => None,
                Some(true) => Some(true),
                None => Some(false),
            })
        });
        if open.await {
            return Ok(watcher);
        }
        // It is over: the error is all there is to read.
        let end = watcher.next().await.and_then(Result::err);
        Err(end.unwrap_or_else(|| WatchError::new(WatchErrorKind::Closed, None)))
    }
}

impl LoopWatcher {
    /// Asks the core, and to be woken when it has no answer.
    fn poll<T>(&self, cx: &Context<'_>, ask: impl FnOnce(&mut State, WatchKey) -> Option<T>) -> Poll<T> {
        let shared = &self.event_loop.handle.0;
        let mut state = shared.lock();
        let answer = ask(&mut state, self.watch);
        if answer.is_none() {
            state.watching.insert(self.watch, cx.waker().clone());
        }
        drop(state);
        // A parked watch goes on when everything was read.
        shared.ring();
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    pub(in crate::scenario) async fn next(&mut self) -> Option<Result<WatchItem, WatchError>> {
        if self.over {
            return None;
        }
        let next = poll_fn(|cx| self.poll(cx, |state, watch| state.core.watch_next(Instant::now(), watch)));
        match next.await {
            WatchNext::Item(item) => Some(Ok(item.map(Event::from))),
            WatchNext::End(result) => {
                self.over = true;
                result.err().map(Err)
            }
        }
    }

    pub(in crate::scenario) fn next_revision(&self) -> Option<Revision> {
        self.event_loop.handle.0.lock().core.watch_position(self.watch)
    }

    pub(in crate::scenario) fn repeated_events(&self) -> u64 {
        self.event_loop.handle.0.lock().core.watch_repeated(self.watch)
    }

    pub(in crate::scenario) async fn request_progress(&self) -> Result<Revision, ProgressError> {
        self.event_loop.handle.0.lock().core.request_progress(Instant::now(), self.watch);
        self.event_loop.handle.0.ring();
        poll_fn(|cx| self.poll(cx, |state, watch| state.core.watch_progress(watch))).await
    }

    pub(in crate::scenario) async fn cancel(mut self) {
        self.event_loop.handle.0.lock().core.cancel_watch(Instant::now(), self.watch);
        self.event_loop.handle.0.ring();
        while self.next().await.is_some() {}
    }
}

impl Drop for LoopWatcher {
    fn drop(&mut self) {
        let shared = &self.event_loop.handle.0;
        let mut state = shared.lock();
        state.watching.remove(&self.watch);
        if !self.over {
            state.core.drop_watch(Instant::now(), self.watch);
        }
        drop(state);
        shared.ring();
    }
}
