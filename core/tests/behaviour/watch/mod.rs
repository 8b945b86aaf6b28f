//! Watches: how they are created, what they give, how they outlive streams, how they end.

mod cancel;
mod creation;
mod delivery;
mod ends;
mod history;
mod honest;
mod hostile;
mod park;
mod progress;
mod resume;
mod run;
#[cfg(feature = "tracing")]
mod warning;

use std::time::Duration;

use bytes::Bytes;
use etcdium_core::{
    CallKey, Config, EndpointInput, Event, KeyRange, ProgressError, Revision, WatchErrorKind, WatchItem,
    WatchKey, WatchNext, WatchRequest, WatchRun,
};
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::{
    StatusResponse, WatchCreateRequest, WatchRequest as WatchMessage, WatchResponse,
};
use etcdium_proto::mvccpb;
use prost::Message;

use crate::support::*;

/// A watch of the key `key`.
pub(super) fn of(key: &str) -> WatchRequest {
    WatchRequest::new(KeyRange::single(key.to_owned()))
}

pub(super) fn from(key: &str, revision: i64) -> WatchRequest {
    of(key).from_revision(Revision::new(revision))
}

pub(super) fn rev(revision: i64) -> Revision {
    Revision::new(revision)
}

/// A put of this revision.
pub(super) fn event(revision: i64) -> mvccpb::Event {
    valued(revision, "v")
}

pub(super) fn valued(revision: i64, value: &str) -> mvccpb::Event {
    let kv = mvccpb::KeyValue {
        key: Bytes::from_static(b"k"),
        value: value.to_owned().into(),
        create_revision: 1,
        mod_revision: revision,
        version: 2,
        lease: 0,
    };
    mvccpb::Event { kv: Some(kv), ..Default::default() }
}

/// A response that says nothing.
pub(super) fn response(id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(CLUSTER, revision), watch_id: id, ..Default::default() }
}

pub(super) fn created(id: i64, revision: i64) -> WatchResponse {
    WatchResponse { created: true, ..response(id, revision) }
}

/// A creation that is refused.
pub(super) fn refused_creation(reason: &str) -> WatchResponse {
    WatchResponse { canceled: true, cancel_reason: reason.to_owned(), ..created(-1, 5) }
}

pub(super) fn canceled(id: i64) -> WatchResponse {
    WatchResponse { canceled: true, ..response(id, 5) }
}

pub(super) fn compacted(id: i64, oldest: i64) -> WatchResponse {
    WatchResponse { compact_revision: oldest, header: header(CLUSTER, 0), ..canceled(id) }
}

/// Puts of these revisions; the header is at the last of them.
pub(super) fn events(id: i64, revisions: impl IntoIterator<Item = i64>) -> WatchResponse {
    let events: Vec<_> = revisions.into_iter().map(event).collect();
    let last = events.last().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
    WatchResponse { events, ..response(id, last) }
}

/// The same, and more of the response follows.
pub(super) fn part(id: i64, revisions: impl IntoIterator<Item = i64>) -> WatchResponse {
    WatchResponse { fragment: true, ..events(id, revisions) }
}

/// The server's side of one stream of watches.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) call: CallKey,
    read: usize,
}

impl Line {
    /// The only stream of watches that is open; its head is sent.
    #[track_caller]
    pub(super) fn accept(world: &mut World) -> Self {
        let calls = world.watch_calls();
        assert_eq!(calls.len(), 1, "streams of watches: {calls:?}");
        Self::on(world, calls[0])
    }

    pub(super) fn on(world: &mut World, call: CallKey) -> Self {
        world.head(call);
        Self { call, read: 0 }
    }

    /// The requests not read yet.
    pub(super) fn requests(&mut self, world: &World) -> Vec<RequestUnion> {
        let first = world.opened.iter().find(|open| open.call == self.call).expect("a call").message.clone();
        let further = world.sent.get(&self.call).into_iter().flatten().cloned();
        let all: Vec<Bytes> = core::iter::once(first).chain(further).collect();
        let new = all[self.read..].iter().map(|message| {
            WatchMessage::decode(message.slice(5..)).expect("a request").request_union.expect("some union")
        });
        self.read = all.len();
        new.collect()
    }

    /// The only request not read yet, which creates a watch.
    #[track_caller]
    pub(super) fn creation(&mut self, world: &World) -> WatchCreateRequest {
        let mut all = self.creations(world);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// The requests not read yet, all of which create watches.
    #[track_caller]
    pub(super) fn creations(&mut self, world: &World) -> Vec<WatchCreateRequest> {
        let creation = |request| match request {
            RequestUnion::CreateRequest(create) => create,
            other => panic!("{other:?}"),
        };
        self.requests(world).into_iter().map(creation).collect()
    }

    /// The ids of the only requests not read yet, which cancel watches.
    #[track_caller]
    pub(super) fn cancels(&mut self, world: &World) -> Vec<i64> {
        let cancel = |request| match request {
            RequestUnion::CancelRequest(cancel) => cancel.watch_id,
            other => panic!("{other:?}"),
        };
        self.requests(world).into_iter().map(cancel).collect()
    }

    /// How many requests not read yet ask for progress; there are no others.
    #[track_caller]
    pub(super) fn asks(&mut self, world: &World) -> usize {
        let requests = self.requests(world);
        assert!(requests.iter().all(|one| matches!(one, RequestUnion::ProgressRequest(_))), "{requests:?}");
        requests.len()
    }

    pub(super) fn tell(&self, world: &mut World, response: &WatchResponse) {
        world.data(self.call, framed(response));
    }

    /// Confirms every watch that is to be created, those that follow from that too. The ids.
    #[track_caller]
    pub(super) fn confirm(&mut self, world: &mut World, revision: i64) -> Vec<i64> {
        let mut ids = Vec::new();
        loop {
            let creations = self.creations(world);
            if creations.is_empty() {
                return ids;
            }
            for creation in creations {
                self.tell(world, &created(creation.watch_id, revision));
                ids.push(creation.watch_id);
            }
        }
    }

    /// The same for the only watch there is to create.
    #[track_caller]
    pub(super) fn confirm_one(&mut self, world: &mut World, revision: i64) -> i64 {
        let ids = self.confirm(world, revision);
        assert_eq!(ids.len(), 1, "{ids:?}");
        ids[0]
    }
}

impl World {
    pub(crate) fn watch(&mut self, request: WatchRequest) -> WatchKey {
        let watch = self.core.watch(self.now, request);
        self.drain();
        watch
    }

    /// A world with one endpoint and one watch, confirmed at `revision`; its id is 1.
    #[track_caller]
    pub(crate) fn watching(request: WatchRequest, revision: i64) -> (Self, WatchKey, Line) {
        let mut world = Self::connected_with(Config::new(addresses(1)));
        let watch = world.watch(request);
        let mut line = Line::accept(&mut world);
        assert_eq!(line.confirm(&mut world, revision), [1]);
        (world, watch, line)
    }

    /// Streams of watches that are open, oldest first.
    pub(crate) fn watch_calls(&self) -> Vec<CallKey> {
        self.calls_of("/etcdserverpb.Watch/Watch")
    }

    /// The next item or the end; `None` if there is neither.
    pub(crate) fn watch_next(&mut self, watch: WatchKey) -> Option<WatchNext> {
        let next = self.core.watch_next(self.now, watch);
        self.drain();
        next
    }

    /// The events that are next, if such are.
    pub(crate) fn watch_next_run(&mut self, watch: WatchKey) -> Option<WatchRun> {
        let run = self.core.watch_next_run(self.now, watch);
        self.drain();
        run
    }

    /// All items there are now; the watch has not ended.
    #[track_caller]
    pub(crate) fn items(&mut self, watch: WatchKey) -> Vec<WatchItem> {
        let mut all = Vec::new();
        while let Some(next) = self.watch_next(watch) {
            let WatchNext::Item(item) = next else { panic!("{next:?} after {all:?}") };
            all.push(item);
        }
        all
    }

    /// The revisions of all items there are now, which are events and nothing else.
    #[track_caller]
    pub(crate) fn revisions(&mut self, watch: WatchKey) -> Vec<i64> {
        self.items(watch).iter().map(revision_of).collect()
    }

    /// The end of a watch that has nothing else to give; `None` if its user ended it.
    #[track_caller]
    pub(crate) fn end_of_watch(&mut self, watch: WatchKey) -> Option<WatchErrorKind> {
        let next = self.watch_next(watch);
        let Some(WatchNext::End(end)) = next else { panic!("no end but {next:?}") };
        assert_eq!(self.watch_next(watch), None, "an end is given once");
        assert_eq!(self.core.is_watch_open(watch), None);
        end.err().map(|error| error.kind().clone())
    }

    pub(crate) fn cancel_watch(&mut self, watch: WatchKey) {
        self.core.cancel_watch(self.now, watch);
        self.drain();
    }

    pub(crate) fn drop_watch(&mut self, watch: WatchKey) {
        self.core.drop_watch(self.now, watch);
        self.drain();
    }

    pub(crate) fn request_progress(&mut self, watch: WatchKey) {
        self.core.request_progress(self.now, watch);
        self.drain();
    }

    pub(crate) fn progress_of(&mut self, watch: WatchKey) -> Option<Result<Revision, ProgressError>> {
        self.core.watch_progress(watch)
    }

    /// Answers the only open call that asks for the version of its server.
    #[track_caller]
    pub(crate) fn tell_version(&mut self, version: &str) {
        let calls = self.calls_of("/etcdserverpb.Maintenance/Status");
        assert_eq!(calls.len(), 1, "questions for the version: {calls:?}");
        let status = StatusResponse { version: version.to_owned(), ..Default::default() };
        self.answer(calls[0], &status);
    }

    /// Lets time pass until a stream of watches is open.
    #[track_caller]
    pub(crate) fn await_line(&mut self) -> Line {
        self.advance_until(|world| !world.watch_calls().is_empty());
        Line::accept(self)
    }

    /// Lets time pass in which servers send something now and then, but no answers, until the core has done what is waited
    /// for; how long that took.
    #[track_caller]
    pub(crate) fn idle_until(&mut self, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < s(60), "it does not happen");
            let at = self.core.poll_timeout().expect("something to wait for");
            self.idle((at - self.now).min(ms(100)));
        }
        self.now - start
    }

    /// The same for a while.
    pub(crate) fn idle(&mut self, by: Duration) {
        let end = self.now + by;
        while self.now < end {
            self.advance((end - self.now).min(ms(100)));
            for key in self.connections.keys().copied().collect::<Vec<_>>() {
                self.endpoint(key, EndpointInput::Received);
            }
        }
    }

    /// Whether the application was told to look at a watch since this was asked last.
    pub(crate) fn was_hinted(&mut self, watch: WatchKey) -> bool {
        let before = self.events.len();
        self.events.retain(|event| *event != Event::WatchReadable(watch));
        self.events.len() < before
    }

    /// Nothing is left of any watch.
    #[track_caller]
    pub(crate) fn assert_no_watch(&self) {
        let stats = self.core.stats();
        assert_eq!((stats.watches, stats.watch_streams, stats.streams), (0, 0, 0), "{stats:?}");
        assert_eq!(self.watch_calls(), []);
    }
}

#[track_caller]
pub(super) fn revision_of(item: &WatchItem) -> i64 {
    let WatchItem::Events { revision, .. } = item else { panic!("{item:?}") };
    revision.get()
}
