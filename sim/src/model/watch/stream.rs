//! One `Watch` call: what it was asked, its two queues, and the loop that sends what is in them (`serverWatchStream` and
//! `watchStream`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use etcdium_proto::etcdserverpb::{ResponseHeader, WatchRequest, WatchResponse};

use super::fragment::fragments;
use super::watcher::{Answer, WatcherKey, is_creation, mod_revision};
use super::{WatchConfig, WatchStore};
use crate::rng::Rng;

/// Answers a stream holds before its watches become victims (`chanBufLen`).
const EVENT_QUEUE: usize = 128;
/// Control answers a stream holds before it stops reading requests (`ctrlStreamBufLen`).
const CONTROL_QUEUE: usize = 16;

/// A creation on its way, while `Disorder::create_delay` passes.
#[derive(Debug)]
pub(super) struct Creating {
    pub(super) until: Instant,
    pub(super) step: CreateStep,
}

#[derive(Debug)]
pub(super) enum CreateStep {
    /// Registered, or refused for a reason; the header is made when it is answered.
    Answer { id: i64, reason: &'static str },
    /// The header is made; registering comes next.
    Register { header: ResponseHeader, create: etcdium_proto::etcdserverpb::WatchCreateRequest },
}

#[derive(Debug)]
pub(super) struct Stream {
    /// Ids in use, those of compacted watches among them.
    pub(super) watches: BTreeMap<i64, WatcherKey>,
    pub(super) next_id: i64,
    /// Watches that want progress by interval; false: not at the next tick, as they had events since the last.
    pub(super) progress: BTreeMap<i64, bool>,
    pub(super) prev_kv: BTreeSet<i64>,
    pub(super) fragment: BTreeSet<i64>,
    /// Requests not read yet.
    pub(super) inbox: VecDeque<WatchRequest>,
    pub(super) creating: Option<Creating>,
    control: VecDeque<(u64, WatchResponse)>,
    events: VecDeque<(u64, Answer)>,
    arrivals: u64,
    /// Ids whose created answer has been sent.
    announced: BTreeSet<i64>,
    /// Answers to watches whose created answer has not been sent, or that are cancelled: they wait for the next created
    /// answer with their id, if there is one.
    held: BTreeMap<i64, Vec<WatchResponse>>,
    /// How many more responses the client takes; `None`: any number.
    pub(super) credit: Option<usize>,
    /// When the next response leaves; `None` when nothing is queued.
    wake: Option<Instant>,
    /// Next tick of progress by interval, and how far apart they are.
    pub(super) tick: Instant,
    pub(super) period: Duration,
}

impl Stream {
    pub(super) fn new(now: Instant, period: Duration) -> Self {
        Self {
            watches: BTreeMap::new(),
            next_id: 0,
            progress: BTreeMap::new(),
            prev_kv: BTreeSet::new(),
            fragment: BTreeSet::new(),
            inbox: VecDeque::new(),
            creating: None,
            control: VecDeque::new(),
            events: VecDeque::new(),
            arrivals: 0,
            announced: BTreeSet::new(),
            held: BTreeMap::new(),
            credit: None,
            wake: None,
            tick: now + period,
            period,
        }
    }

    /// Queues an answer behind the others. False when the queue is full.
    pub(super) fn offer(&mut self, answer: Answer) -> bool {
        let fits = self.events.len() < EVENT_QUEUE;
        if fits {
            self.events.push_back((self.arrivals, answer));
            self.arrivals += 1;
        }
        fits
    }

    /// Queues a control answer.
    pub(super) fn control(&mut self, response: WatchResponse) {
        self.control.push_back((self.arrivals, response));
        self.arrivals += 1;
    }

    /// The queue of control answers is full: no further request is read.
    pub(super) fn is_control_full(&self) -> bool {
        self.control.len() >= CONTROL_QUEUE
    }

    /// The client takes no further response.
    pub(super) fn is_blocked(&self) -> bool {
        self.credit == Some(0)
    }

    /// When something happens here next if nothing comes from outside.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let open = !self.is_blocked();
        let wake = self.wake.filter(|_| open);
        let tick = Some(self.tick).filter(|_| open && !self.progress.is_empty());
        let creating = self.creating.as_ref().filter(|_| !self.is_control_full()).map(|create| create.until);
        [wake, tick, creating].into_iter().flatten().min()
    }

    /// Sends what is due. True when something was.
    pub(super) fn send_due(
        &mut self,
        now: Instant,
        store: &dyn WatchStore,
        config: &WatchConfig,
        rng: &mut Rng,
        mut send: impl FnMut(&WatchResponse),
    ) -> bool {
        let mut moved = false;
        while !self.is_blocked() {
            if self.control.is_empty() && self.events.is_empty() {
                self.wake = None;
                break;
            }
            let wake = *self
                .wake
                .get_or_insert_with(|| now + rng.between(Duration::ZERO, config.disorder.send_delay));
            if wake > now {
                break;
            }
            self.wake = None;
            moved = true;
            self.send_next(store, config, rng, &mut send);
        }
        moved
    }

    /// Takes one answer from either queue and sends it, or holds it.
    fn send_next(
        &mut self,
        store: &dyn WatchStore,
        config: &WatchConfig,
        rng: &mut Rng,
        send: &mut impl FnMut(&WatchResponse),
    ) {
        let control_first = match (self.control.front(), self.events.front()) {
            (Some(_), Some(_)) if config.disorder.shuffle => rng.chance(500),
            (Some((control, _)), Some((event, _))) => control < event,
            (control, _) => control.is_some(),
        };
        if control_first {
            if let Some((_, response)) = self.control.pop_front() {
                self.send_control(response, config, send);
            }
        } else if let Some((_, answer)) = self.events.pop_front() {
            self.send_answer(answer, store, config, send);
        }
    }

    fn send_control(
        &mut self,
        response: WatchResponse,
        config: &WatchConfig,
        send: &mut impl FnMut(&WatchResponse),
    ) {
        let (id, created, canceled) = (response.watch_id, response.created, response.canceled);
        self.send(&response, send);
        if canceled && (id != -1 || config.rules.refusal_takes_id) {
            self.announced.remove(&id);
        } else if created {
            self.announced.insert(id);
            // Never cut into parts, whatever the watch asked for.
            for held in self.held.remove(&id).unwrap_or_default() {
                self.send(&held, send);
            }
        }
    }

    fn send_answer(
        &mut self,
        mut answer: Answer,
        store: &dyn WatchStore,
        config: &WatchConfig,
        send: &mut impl FnMut(&WatchResponse),
    ) {
        let id = answer.id;
        if self.prev_kv.contains(&id) {
            for event in answer.events.iter_mut().filter(|event| !is_creation(event)) {
                let before = mod_revision(event) - 1;
                event.prev_kv = event.kv.as_ref().and_then(|kv| store.value_at(&kv.key, before));
            }
        }
        let response = WatchResponse {
            header: Some(store.header(answer.revision)),
            watch_id: id,
            canceled: answer.compact_revision != 0,
            compact_revision: answer.compact_revision,
            events: answer.events,
            ..Default::default()
        };
        if id != -1 && !self.announced.contains(&id) {
            self.held.entry(id).or_default().push(response);
            return;
        }
        if !response.events.is_empty() {
            self.progress.entry(id).and_modify(|wanted| *wanted = false);
        }
        if self.fragment.contains(&id) {
            for part in fragments(response, config.fragment_limit()) {
                self.send(&part, send);
            }
        } else {
            self.send(&response, send);
        }
    }

    fn send(&mut self, response: &WatchResponse, send: &mut impl FnMut(&WatchResponse)) {
        self.credit = self.credit.map(|credit| credit.saturating_sub(1));
        send(response);
    }
}
