//! A watch stream of the scripted client and the watches on it: a small client without I/O that does it right, unless it
//! is told which [`Mistake`] to make.

use std::collections::VecDeque;

use etcdium_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse, watch_create_request::FilterType, watch_request::RequestUnion,
};

use super::mistake::Mistake;
use crate::check::{Delivery, Event, WatchSpec};

/// A watch, over all its streams.
#[derive(Debug)]
struct Watch {
    spec: WatchSpec,
    /// Wants progress by interval, and fragments.
    extras: (bool, bool),
    /// The first revision not delivered; none before it is known.
    next: Option<i64>,
    /// A watch that starts now begins behind this revision.
    floor: i64,
    /// What the server calls it on this stream.
    id: Option<i64>,
    asked_id: i64,
    /// A request for progress was sent on this stream before the watch was asked for.
    after_ask: bool,
    confirmed: bool,
    /// Fragments of a response whose end has not come.
    parts: Vec<Event>,
}

/// What comes of a response.
#[derive(Debug)]
pub(super) enum Told {
    /// This watch delivers.
    Deliver(usize, Delivery),
    /// This watch is over: another one may take its place.
    Ended(usize),
    /// The client asks.
    Ask(WatchRequest),
    /// The stream is of no use any more.
    Reset,
    /// Another cluster answers: every watch is over.
    OtherCluster,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    watches: Vec<Watch>,
    /// Watches to be created, and those whose creation is not answered.
    pending: VecDeque<usize>,
    creating: VecDeque<usize>,
    /// Whether ids are chosen by the client; the next one.
    chosen: Option<i64>,
    asked: bool,
    cluster: Option<u64>,
    /// Whether answers to requests for progress stay behind the events they cover.
    trusting: bool,
    mistake: Option<Mistake>,
}

impl Stream {
    pub(super) fn new(chooses: bool, trusting: bool, mistake: Option<Mistake>) -> Self {
        let trusting = trusting || mistake == Some(Mistake::TrustsProgress);
        Self {
            watches: Vec::new(),
            pending: VecDeque::new(),
            creating: VecDeque::new(),
            chosen: chooses.then_some(1),
            asked: false,
            cluster: None,
            trusting,
            mistake,
        }
    }

    fn errs(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// A new watch, at the end or in the place of another. It is created with the next request.
    pub(super) fn begin(&mut self, index: usize, spec: WatchSpec, extras: (bool, bool)) {
        let next = (spec.start_revision > 0).then_some(spec.start_revision);
        let watch = Watch {
            spec,
            extras,
            next,
            floor: 0,
            id: None,
            asked_id: 0,
            after_ask: false,
            confirmed: false,
            parts: Vec::new(),
        };
        if index < self.watches.len() {
            self.watches[index] = watch;
        } else {
            self.watches.push(watch);
        }
        self.pending.push_back(index);
    }

    /// All watches are forgotten, and which cluster they were of.
    pub(super) fn clear(&mut self) {
        self.lost();
        self.watches.clear();
        self.pending.clear();
        self.cluster = None;
    }

    /// Whether every watch is confirmed on the stream there is.
    pub(super) fn is_settled(&self) -> bool {
        self.watches.iter().all(|watch| watch.id.is_some())
    }

    /// The stream is gone.
    pub(super) fn lost(&mut self) {
        let keeps = self.errs(Mistake::KeepsFragments);
        for watch in &mut self.watches {
            watch.id = None;
            if !keeps {
                watch.parts.clear();
            }
        }
        self.pending = (0..self.watches.len()).collect();
        self.creating.clear();
        self.asked = false;
    }

    /// The next creations: one at a time, since only then it is certain which of them an answer is to.
    pub(super) fn create(&mut self) -> Vec<WatchRequest> {
        let mut requests = Vec::new();
        while self.creating.is_empty() || self.errs(Mistake::MixesUpCreations) {
            let Some(index) = self.pending.pop_front() else { break };
            self.creating.push_back(index);
            requests.push(self.creation(index));
        }
        requests
    }

    fn creation(&mut self, index: usize) -> WatchRequest {
        let (mistake, asked) = (self.mistake, self.asked);
        let errs = |of| mistake == Some(of);
        let id = self.chosen.unwrap_or(0);
        self.chosen = self.chosen.map(|id| id + 1);
        let watch = &mut self.watches[index];
        watch.asked_id = id;
        watch.after_ask = asked;
        let spec = &watch.spec;
        let again = watch.confirmed;
        let start = match watch.next {
            _ if again && errs(Mistake::RestartsFromStart) => spec.start_revision,
            Some(next) if again && errs(Mistake::ResumesAtLast) => next - 1,
            next => next.unwrap_or(0),
        };
        let mut filters = Vec::new();
        if !(again && errs(Mistake::ForgetsFilters)) {
            filters.extend(spec.no_put.then_some(FilterType::Noput as i32));
            filters.extend(spec.no_delete.then_some(FilterType::Nodelete as i32));
        }
        request(RequestUnion::CreateRequest(WatchCreateRequest {
            key: spec.key.clone(),
            range_end: spec.range_end.clone(),
            start_revision: start,
            progress_notify: watch.extras.0,
            filters,
            prev_kv: spec.prev_kv && !(again && errs(Mistake::ForgetsPrevious)),
            watch_id: id,
            fragment: watch.extras.1,
        }))
    }

    /// A request for progress.
    pub(super) fn ask(&mut self) -> WatchRequest {
        self.asked = true;
        request(RequestUnion::ProgressRequest(WatchProgressRequest {}))
    }

    /// A response.
    pub(super) fn receive(&mut self, response: WatchResponse) -> Vec<Told> {
        let header = response.header.unwrap_or_default();
        let mut told = Vec::new();
        // A proxy may know no cluster.
        let judged = header.cluster_id != 0 && !self.errs(Mistake::IgnoresCluster);
        if judged && *self.cluster.get_or_insert(header.cluster_id) != header.cluster_id {
            return vec![Told::OtherCluster];
        }
        if response.created {
            self.created(&header, &response, &mut told);
        } else if response.watch_id == -1 {
            self.answered(header.revision, &mut told);
        } else if let Some(index) = self.watches.iter().position(|watch| watch.id == Some(response.watch_id))
        {
            if response.canceled {
                self.canceled(index, &response, &mut told);
            } else {
                self.events(index, &header, response, &mut told);
            }
        }
        told
    }

    fn created(&mut self, header: &ResponseHeader, response: &WatchResponse, told: &mut Vec<Told>) {
        let Some(index) = self.creating.pop_front() else { return };
        if response.canceled {
            return told.push(Told::Reset);
        }
        let keeps_id = self.errs(Mistake::KeepsIds);
        let (early, from_header) =
            (self.errs(Mistake::KeepsEarlyEvents), self.errs(Mistake::ResumesFromHeader));
        let watch = &mut self.watches[index];
        watch.id = Some(if keeps_id && watch.asked_id != 0 { watch.asked_id } else { response.watch_id });
        watch.confirmed = true;
        // A proxy may know no revision.
        if watch.next.is_none() && header.revision > 0 {
            if !early {
                watch.floor = header.revision;
            }
            watch.next = Some(header.revision + 1);
            told.push(Told::Deliver(index, Delivery::Created { revision: header.revision }));
        } else if from_header {
            watch.next = watch.next.max(Some(header.revision + 1));
        }
        told.extend(self.create().into_iter().map(Told::Ask));
    }

    /// The answer to a request for progress.
    fn answered(&mut self, revision: i64, told: &mut Vec<Told>) {
        if !self.trusting {
            return;
        }
        for index in 0..self.watches.len() {
            let watch = &self.watches[index];
            // The answer may have been overtaken by the creation of a watch it does not speak of.
            if watch.id.is_some() && (!watch.after_ask || self.errs(Mistake::TrustsEarlierProgress)) {
                self.progress(index, revision, told);
            }
        }
    }

    fn progress(&mut self, index: usize, revision: i64, told: &mut Vec<Told>) {
        let goes_back = self.errs(Mistake::ProgressGoesBack);
        let watch = &mut self.watches[index];
        let Some(next) = watch.next else { return };
        // A member that is behind says less than is known.
        if revision + 1 < next && !goes_back {
            return;
        }
        watch.next = Some(revision + 1);
        told.push(Told::Deliver(index, Delivery::Progress { revision }));
    }

    fn canceled(&mut self, index: usize, response: &WatchResponse, told: &mut Vec<Told>) {
        let oldest = response.compact_revision;
        if oldest == 0 {
            return told.push(Told::Reset);
        }
        // A proxy tells all watches of a range what was true of one of them.
        let believes = self.errs(Mistake::BelievesCompaction);
        if self.watches[index].next.is_some_and(|next| next >= oldest) && !believes {
            return told.push(Told::Reset);
        }
        // A compacted watch keeps its id until it is cancelled.
        let cancel = RequestUnion::CancelRequest(WatchCancelRequest { watch_id: response.watch_id });
        told.push(Told::Ask(request(cancel)));
        let hides = self.errs(Mistake::HidesCompaction);
        let watch = &mut self.watches[index];
        watch.id = None;
        watch.parts.clear();
        if hides {
            watch.next = Some(oldest);
            self.pending.push_back(index);
            told.extend(self.create().into_iter().map(Told::Ask));
        } else {
            told.push(Told::Deliver(index, Delivery::Compacted { oldest }));
            told.push(Told::Ended(index));
        }
    }

    fn events(
        &mut self,
        index: usize,
        header: &ResponseHeader,
        response: WatchResponse,
        told: &mut Vec<Told>,
    ) {
        if response.events.is_empty() {
            return self.progress(index, header.revision, told);
        }
        let from_header = self.errs(Mistake::ResumesFromHeader);
        let delivers = self.errs(Mistake::DeliversFragments);
        let watch = &mut self.watches[index];
        watch.parts.extend(response.events.into_iter().map(Event::from));
        if from_header {
            watch.next = watch.next.max(Some(header.revision + 1));
        }
        if response.fragment && !delivers {
            return;
        }
        let mut events = std::mem::take(&mut watch.parts);
        events.retain(|event| event.revision() > watch.floor);
        let Some(last) = events.last() else { return };
        if !from_header {
            watch.next = Some(last.revision() + 1);
        }
        told.push(Told::Deliver(index, Delivery::Events(events)));
    }
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(union) }
}
