//! Calls in, outputs out, timers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::{etcdserverpb::WatchRequest, mvccpb::Event};
use prost::Message;

use super::group::Group;
use super::progress;
use super::stream::Stream;
use super::sync::{SYNC_PERIOD, VICTIM_PERIOD};
use super::watcher::{Batch, Watcher, WatcherKey};
use super::{Refusal, WatchConfig, WatchStore};
use crate::model::{CallId, Output, Status};
use crate::rng::Rng;

/// All watches of one member. The caller says what happened, then takes outputs until there is none.
#[derive(Debug)]
pub(crate) struct WatchEngine {
    pub(super) config: WatchConfig,
    pub(super) rng: Rng,
    pub(super) streams: BTreeMap<CallId, Stream>,
    pub(super) watchers: BTreeMap<WatcherKey, Watcher>,
    pub(super) next_watcher: u64,
    pub(super) synced: Group,
    pub(super) unsynced: BTreeSet<WatcherKey>,
    pub(super) victims: BTreeMap<WatcherKey, Batch>,
    /// Victims nobody has tried to move yet.
    pub(super) new_victims: bool,
    victims_at: Option<Instant>,
    pub(super) sync_at: Option<Instant>,
    /// Some tick of the sync loop.
    pub(super) sync_phase: Instant,
    pub(super) refusal: Option<Refusal>,
    /// Streams with something to do now.
    pub(super) busy: BTreeSet<CallId>,
    outputs: VecDeque<Output>,
}

impl WatchEngine {
    pub(crate) fn new(config: WatchConfig, now: Instant, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let sync_phase = now + rng.between(Duration::ZERO, SYNC_PERIOD);
        Self {
            config,
            rng,
            streams: BTreeMap::new(),
            watchers: BTreeMap::new(),
            next_watcher: 0,
            synced: Group::default(),
            unsynced: BTreeSet::new(),
            victims: BTreeMap::new(),
            new_victims: false,
            victims_at: None,
            sync_at: None,
            sync_phase,
            refusal: None,
            busy: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A stream begins. Whether it may is the caller's business.
    pub(crate) fn open(&mut self, now: Instant, call: CallId) {
        let period = progress::period(&self.config, &mut self.rng);
        self.streams.insert(call, Stream::new(now, period));
    }

    /// A request arrives. One that cannot be read ends the stream.
    pub(crate) fn message(&mut self, now: Instant, store: &dyn WatchStore, call: CallId, message: Bytes) {
        let Some(stream) = self.streams.get_mut(&call) else { return };
        match WatchRequest::decode(message) {
            Ok(request) => stream.inbox.push_back(request),
            Err(error) => {
                let text = format!("grpc: failed to unmarshal the received message: proto: {error}");
                self.end(call, Status::internal(text));
            }
        }
        self.busy.insert(call);
        self.run(now, store);
    }

    /// The stream is gone: reset by the client, or lost with its connection. A half-closed stream is not over: etcd goes
    /// on sending on it.
    pub(crate) fn cancel(&mut self, call: CallId) {
        if let Some(stream) = self.streams.remove(&call) {
            stream.watches.into_values().for_each(|watcher| self.forget(watcher));
        }
        self.outputs.retain(|output| match output {
            Output::Message { call: of, .. } | Output::End { call: of, .. } => *of != call,
        });
    }

    /// The store has applied `revision`, which made `events` (none of them with a previous value).
    pub(crate) fn applied(&mut self, now: Instant, store: &dyn WatchStore, revision: i64, events: &[Event]) {
        self.notify(revision, events);
        self.run(now, store);
    }

    /// The store was replaced by another state, as when a member that fell behind is sent a snapshot.
    pub(crate) fn store_replaced(&mut self, now: Instant, store: &dyn WatchStore) {
        self.unsync_all(now);
        self.run(now, store);
    }

    /// How many more responses the client of a stream takes; `None`: any number, as at the start. Responses that find no
    /// room make victims; a request is no longer read once sixteen answers wait.
    pub(crate) fn set_credit(
        &mut self,
        now: Instant,
        store: &dyn WatchStore,
        call: CallId,
        credit: Option<usize>,
    ) {
        if let Some(stream) = self.streams.get_mut(&call) {
            stream.credit = credit;
            self.busy.insert(call);
            self.progress_tick(now, store, call);
            self.run(now, store);
        }
    }

    /// From now on creations are refused, or no longer.
    pub(crate) fn set_refusal(&mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
    }

    /// How many watches there are, compacted ones that were not cancelled included.
    pub(crate) fn watch_count(&self) -> usize {
        self.watchers.len()
    }

    /// The next output, in the order in which they leave.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let streams = self.streams.values().filter_map(Stream::poll_timeout);
        streams.chain(self.sync_at).chain(self.victims_at).min()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, store: &dyn WatchStore) {
        if self.victims_at.is_some_and(|at| at <= now) {
            self.new_victims = true;
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync(now, store);
        }
        let calls: Vec<CallId> = self.streams.keys().copied().collect();
        for call in calls {
            self.progress_tick(now, store, call);
            self.busy.insert(call);
        }
        self.run(now, store);
    }

    /// Does what can be done without time passing.
    fn run(&mut self, now: Instant, store: &dyn WatchStore) {
        loop {
            while let Some(call) = self.busy.pop_first() {
                while self.read_requests(now, store, call) | self.send_due(now, store, call) {}
            }
            if !self.new_victims {
                break;
            }
            let moved = self.move_victims(now, store);
            self.new_victims = moved > 0 && !self.victims.is_empty();
            self.victims_at = (!self.victims.is_empty()).then(|| now + VICTIM_PERIOD);
        }
    }

    fn send_due(&mut self, now: Instant, store: &dyn WatchStore, call: CallId) -> bool {
        let Some(stream) = self.streams.get_mut(&call) else { return false };
        let outputs = &mut self.outputs;
        stream.send_due(now, store, &self.config, &mut self.rng, |response| {
            outputs.push_back(Output::Message { call, message: response.encode_to_vec().into() });
        })
    }

    fn end(&mut self, call: CallId, status: Status) {
        if let Some(stream) = self.streams.remove(&call) {
            stream.watches.into_values().for_each(|watcher| self.forget(watcher));
            self.outputs.push_back(Output::End { call, status });
        }
    }
}
