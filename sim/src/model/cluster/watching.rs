//! Watch streams of the members.

use std::time::Instant;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::ResponseHeader;
use etcdium_proto::mvccpb::{Event, KeyValue, event::EventType};

use super::{Call, Cluster, Stage, Timer};
use crate::model::rpc::Answerer;
use crate::model::store::{Stored, View};
use crate::model::watch::{WatchEngine, WatchStore};
use crate::model::{CallId, ClusterConfig, Output, Refusal, WatchConfig, WatchRules};

/// The watches of one member.
#[derive(Debug)]
pub(crate) struct Watching {
    engine: WatchEngine,
    /// Its timer.
    at: Option<Instant>,
}

impl Watching {
    pub(super) fn new(config: &ClusterConfig, now: Instant, seed: u64) -> Self {
        let config = WatchConfig {
            rules: config.watch_rules.unwrap_or_else(|| WatchRules::of(config.version)),
            max_request_bytes: config.max_request_bytes,
            fragment_bytes: config.watch_fragment_bytes,
            progress_interval: config.progress_interval,
            disorder: config.watch_disorder,
        };
        Self { engine: WatchEngine::new(config, now, seed), at: None }
    }
}

/// A member's store as its watches see it.
struct Seen<'a> {
    view: View<'a>,
    answerer: Answerer,
}

impl WatchStore for Seen<'_> {
    fn revision(&self) -> i64 {
        self.view.revision()
    }

    fn compact_revision(&self) -> i64 {
        self.view.compact_revision()
    }

    fn events_since(&self, from: i64, visit: &mut dyn FnMut(&Event)) {
        for stored in self.view.events_between(from - 1, self.view.revision()) {
            visit(&event(stored));
        }
    }

    fn value_at(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        self.view.get_at(key, revision).cloned()
    }

    fn header(&self, revision: i64) -> ResponseHeader {
        let Answerer { cluster_id, member_id, raft_term, .. } = self.answerer;
        ResponseHeader { cluster_id, member_id, revision, raft_term }
    }
}

fn event(stored: &Stored) -> Event {
    let kind = if stored.is_delete() { EventType::Delete } else { EventType::Put };
    Event { r#type: kind as i32, kv: Some(stored.kv().clone()), prev_kv: None }
}

impl Cluster {
    /// From now on the member refuses to create watches for this reason, or no longer. What users and roles would do,
    /// which the model does not have.
    pub fn refuse_watches(&mut self, member: usize, refusal: Option<Refusal>) {
        if let Some(watching) = self.watches.get_mut(member) {
            watching.engine.set_refusal(refusal);
        }
    }

    /// How many more responses the client of a watch stream takes; `None`: any number, as at the start. What finds no
    /// room waits in the member, first in the queue of the stream, then as victims of the store.
    pub fn set_watch_credit(&mut self, now: Instant, call: CallId, credit: Option<usize>) {
        let now = self.advance(now);
        if let Some(member) = self.calls.get(&call).map(|call| call.member) {
            self.watching(member, |engine, store| engine.set_credit(now, store, call, credit));
        }
    }

    /// The leader sends the member a snapshot in place of the entries it has not applied. Its watches are served from
    /// history; calls that wait for one of these entries wait until they time out.
    pub fn install_snapshot(&mut self, now: Instant, member: usize) {
        let now = self.advance(now);
        if !self.is_connected(member) {
            return;
        }
        if let Some(known) = self.members.get_mut(member) {
            known.position = self.log.end();
        }
        self.watching(member, |engine, store| engine.store_replaced(now, store));
        self.apply_due(now, member);
        self.serve_confirmed(member);
    }

    /// How many watches a member holds, compacted ones that were not cancelled included.
    pub fn watch_count(&self, member: usize) -> usize {
        self.watches.get(member).map_or(0, |watching| watching.engine.watch_count())
    }

    /// A watch stream begins.
    pub(super) fn open_watch(&mut self, now: Instant, call: CallId) {
        let Some(&mut Call { member, ref mut stage, .. }) = self.calls.get_mut(&call) else { return };
        *stage = Stage::Watch;
        self.watching(member, |engine, _| engine.open(now, call));
    }

    /// A request on a watch stream.
    pub(super) fn watch_request(&mut self, now: Instant, member: usize, call: CallId, message: Bytes) {
        self.watching(member, |engine, store| engine.message(now, store, call, message));
    }

    /// A watch stream is over.
    pub(super) fn forget_watch(&mut self, member: usize, call: CallId) {
        if let Some(watching) = self.watches.get_mut(member) {
            watching.engine.cancel(call);
            self.watch_timer(member);
        }
    }

    /// The member has applied what follows `before`.
    pub(super) fn watch_applied(&mut self, now: Instant, member: usize, before: i64) {
        let after = self.members.get(member).map_or(before, |member| member.position.revision);
        if self.watches.get(member).is_none_or(|watching| watching.engine.watch_count() == 0) {
            return;
        }
        for revision in before + 1..=after {
            let events: Vec<Event> =
                self.state.store.events_between(revision - 1, revision).iter().map(event).collect();
            self.watching(member, |engine, store| engine.applied(now, store, revision, &events));
        }
    }

    pub(super) fn watch_due(&mut self, now: Instant, member: usize) {
        if let Some(watching) = self.watches.get_mut(member) {
            watching.at = None;
        }
        self.watching(member, |engine, store| engine.handle_timeout(now, store));
    }

    /// Lets the engine of a member do something, and takes what comes of it.
    fn watching(&mut self, member: usize, act: impl FnOnce(&mut WatchEngine, &dyn WatchStore)) {
        let answerer = self.answerer(member);
        let (Some(watching), Some(known)) = (self.watches.get_mut(member), self.members.get(member)) else {
            return;
        };
        let view = View::new(&self.state.store, known.position.revision, known.position.compacted);
        act(&mut watching.engine, &Seen { view, answerer });
        self.watch_timer(member);
        while let Some(output) = self.watches.get_mut(member).and_then(|w| w.engine.poll_output()) {
            match output {
                Output::End { call, status } => self.end(call, status),
                message @ Output::Message { .. } => self.output.push_back(message),
            }
        }
    }

    /// Follows the engine's timer.
    fn watch_timer(&mut self, member: usize) {
        let Some(watching) = self.watches.get_mut(member) else { return };
        let at = watching.engine.poll_timeout();
        if watching.at != at {
            if let Some(old) = std::mem::replace(&mut watching.at, at) {
                self.timers.remove(old, Timer::Watch(member));
            }
            if let Some(new) = at {
                self.timers.insert(new, Timer::Watch(member));
            }
        }
    }
}
