//! What the core itself asks servers about watches: which version one has, so that its word on progress can be believed, and
//! where the history stands, when a member says that it is behind what is known.
//!
//! A member that lags and one whose cluster was restored from a backup look alike to a watch: both say less than was seen. A
//! linearizable range tells them apart, since it is answered at the revision of the whole cluster: below one that was seen
//! before it was sent, the history was replaced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    RangeRequest, RangeResponse, ResponseHeader, StatusRequest, StatusResponse,
};
use prost::Message;

use super::hubs::unavailable;
use super::{Core, Timer, after};
use crate::backoff::Backoff;
use crate::call::{Call, Owner, Progress};
use crate::frame;
use crate::grpc::GrpcCode;
use crate::key::HubKey;
use crate::metadata::CallHeaders;
use crate::retry::Failure;
use crate::trace::event;
use crate::transmit::Open;
use crate::watch::WatchErrorKind;
use crate::watch::hub::Hub;
use crate::watch::subscription::Subscription;
use crate::watch::version::keeps_order;
use crate::{CallKey, ClusterId, ConnectionKey, Event, Revision, Transmit, WatchKey};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What is known of the server of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    #[default]
    Unknown,
    /// It was asked, and has to answer until then.
    Asked(CallKey, Instant),
    /// Whether its answers to requests for progress stay behind the events they cover.
    Known(bool),
}

/// The question where the history stands.
#[derive(Debug)]
pub(super) struct History {
    phase: Asking,
    /// Watches that wait for a revision the server says it has not reached, although it was seen, and where they stood when
    /// that was noticed.
    suspects: BTreeMap<WatchKey, Option<Revision>>,
    backoff: Backoff,
    /// How many calls had been opened when the history was last replaced.
    replaced: u64,
}

/// Whether it is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// There is no doubt.
    Calm,
    /// An answer is due then. Before it was sent, this revision of this cluster had been seen.
    Open { call: CallKey, until: Instant, seen: Revision, cluster: u64 },
    /// It is asked again then.
    Resting(Instant),
}

impl History {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { phase: Asking::Calm, suspects: BTreeMap::new(), backoff, replaced: 0 }
    }

    /// Whether what comes on a call speaks of the present history: what was asked for before the history was replaced may have
    /// been answered before, however late that arrives.
    pub(super) fn speaks_of(&self, call: CallKey) -> bool {
        call.serial() >= self.replaced
    }

    /// Whether this is when it has to be looked at.
    pub(super) fn is_due(&self, at: Instant) -> bool {
        match self.phase {
            Asking::Calm => false,
            Asking::Open { until, .. } | Asking::Resting(until) => until == at,
        }
    }
}

impl Core {
    /// Whether the server of a connection sends the answers to requests for progress behind the events they cover. `None`:
    /// that is being asked.
    pub(super) fn keeps_order(&mut self, key: ConnectionKey) -> Option<bool> {
        match self.connections.get(key)?.order {
            #[cfg(etcdium_planted)]
            Order::Known(_) if self.config.has(crate::Planted::UntrustedProgress) => return Some(true),
            Order::Known(known) => return Some(known),
            Order::Asked(_, until) if until > self.now => return None,
            Order::Asked(call, _) => self.give_up_call(call),
            Order::Unknown => {}
        }
        let call = self.open_inquiry(key, Owner::Version, &StatusRequest {});
        let until = after(self.now, ANSWER);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.order = Order::Asked(call, until);
        }
        None
    }

    /// A watch was created on a stream. Does it wait for what has been already, or want to be told of it?
    pub(super) fn suspect(&mut self, watch: WatchKey, header: &ResponseHeader) {
        let Some(state) = self.watches.get(watch) else { return };
        let Some(next) = state.next() else { return };
        let known = self.revisions.revision();
        let here = Revision::new(header.revision);
        let doubtful = next <= known.next() || (state.is_asking() && here < known);
        if here.is_zero() || next <= here.next() || !doubtful {
            return;
        }
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LaggardBelieved) {
            return self.history_replaced(header.cluster_id.into(), here);
        }
        self.suspect_behind(watch);
    }

    /// A watch waits for what the server says it has not reached, although it was seen.
    pub(super) fn suspect_behind(&mut self, watch: WatchKey) {
        let Some(state) = self.watches.get(watch) else { return };
        self.history.suspects.insert(watch, state.next());
        if self.history.phase == Asking::Calm {
            self.ask_history();
        }
    }

    /// A connection goes away: nobody wants to know any more what its server is.
    pub(super) fn forget_version(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Order::Asked(call, _) = connection.order {
            connection.order = Order::Unknown;
            self.give_up_call(call);
        }
    }

    fn ask_history(&mut self) {
        let watches = &self.watches;
        // Some may have gone on meanwhile.
        self.history.suspects.retain(|watch, next| {
            let waits =
                |watch: &Subscription| !watch.is_over() && (watch.next() == *next || watch.is_asking());
            watches.get(*watch).is_some_and(waits)
        });
        let suspect = self.history.suspects.keys().next().and_then(|watch| self.watches.get(*watch));
        let Some(suspect) = suspect else {
            self.history.phase = Asking::Calm;
            return;
        };
        let (key, _) = suspect.request.range.clone().into_parts();
        let cluster = suspect.cluster;
        let Some(connection) = self.pick(None, None) else { return self.rest_history() };
        let request = RangeRequest { key, count_only: true, ..RangeRequest::default() };
        let call = self.open_inquiry(connection, Owner::History, &request);
        let until = after(self.now, ANSWER);
        self.history.phase = Asking::Open { call, until, seen: self.revisions.revision(), cluster };
        self.timers.arm(until, Timer::History);
    }

    fn rest_history(&mut self) {
        let until = after(self.now, self.history.backoff.next_delay(&mut self.rng));
        self.history.phase = Asking::Resting(until);
        self.timers.arm(until, Timer::History);
    }

    /// The time of the question has come.
    pub(super) fn history_due(&mut self) {
        match self.history.phase {
            Asking::Calm => {}
            Asking::Open { call, .. } => {
                self.give_up_call(call);
                self.rest_history();
            }
            Asking::Resting(_) => self.ask_history(),
        }
    }

    /// A question of the core's own was answered, or will not be.
    pub(super) fn inquiry_ended(&mut self, owner: Owner, connection: ConnectionKey, progress: Progress) {
        match (owner, progress) {
            (Owner::Version, Progress::Done(message)) => {
                // One that cannot be read was damaged on its way: it is asked for again.
                let order = StatusResponse::decode(message)
                    .map_or(Order::Unknown, |status| Order::Known(keeps_order(&status.version)));
                self.order_known(connection, order);
            }
            (Owner::Version, Progress::Failed { failure, .. }) => {
                let order = if is_final(&failure) { Order::Known(false) } else { Order::Unknown };
                self.order_known(connection, order);
            }
            (Owner::History, Progress::Done(message)) => {
                let header = RangeResponse::decode(message).ok().and_then(|answer| answer.header);
                match header {
                    Some(header) if header.revision > 0 => self.history_answered(&header),
                    _ => self.rest_history(),
                }
            }
            (Owner::History, _) => self.rest_history(),
            (Owner::Version | Owner::Op(_) | Owner::Stream(_) | Owner::Probe, _) => {}
        }
        self.sweep_timers();
    }

    fn order_known(&mut self, key: ConnectionKey, order: Order) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.order = order;
        let on_it = |hub: &Hub| hub.line().is_some_and(|line| line.connection == key);
        let hubs: Vec<HubKey> = self.hubs.iter().filter(|(_, hub)| on_it(hub)).map(|(key, _)| key).collect();
        for hub in hubs {
            // If nothing is known, the hub's timer asks again.
            if order != Order::Unknown {
                self.ask_progress(hub, true);
            }
        }
    }

    fn history_answered(&mut self, header: &ResponseHeader) {
        let Asking::Open { seen, cluster, .. } = self.history.phase else { return };
        self.history.phase = Asking::Calm;
        self.history.backoff.reset();
        self.history.suspects.clear();
        let same = cluster == 0 || header.cluster_id == 0 || header.cluster_id == cluster;
        let here = Revision::new(header.revision);
        if same && here < seen {
            self.history_replaced(header.cluster_id.into(), here);
        }
        // Another cluster is told by the answers of its members to creations.
    }

    /// The history that watches have seen is not this cluster's any more.
    fn history_replaced(&mut self, cluster_id: ClusterId, revision: Revision) {
        event!(WARN, "the history of the cluster was replaced", revision = revision);
        self.revisions.replaced(revision);
        self.events.push_back(Event::ClusterReset { cluster: cluster_id, revision });
        let same = |cluster: u64| cluster == 0 || cluster_id.get() == 0 || cluster_id.get() == cluster;
        let seen = |watch: &Subscription| watch.opened && !watch.is_over() && same(watch.cluster);
        let watches: Vec<WatchKey> =
            self.watches.iter().filter(|(_, watch)| seen(watch)).map(|(key, _)| key).collect();
        for watch in watches {
            self.end_live_watch(watch, WatchErrorKind::ClusterReset { cluster_id, revision });
        }
        // Streams of before may still tell of that history, to watches that are being created on them.
        self.history.replaced = self.calls.made();
        let hubs: Vec<HubKey> =
            self.hubs.iter().filter(|(_, hub)| hub.line().is_some()).map(|(key, _)| key).collect();
        for hub in hubs {
            self.restart(hub, unavailable("the history of the cluster was replaced"));
        }
    }

    fn open_inquiry<R: UnaryRequest>(&mut self, key: ConnectionKey, owner: Owner, request: &R) -> CallKey {
        let call = self.calls.insert(Call::new(owner, key, self.config.max_response));
        // A key that was watched fits.
        let Ok(message) = frame::encode(request, usize::MAX, &mut self.arena) else { return call };
        self.transmits.push_back(Transmit::Open(Open {
            call,
            connection: key,
            method: R::METHOD,
            message,
            more: false,
            headers: CallHeaders {
                shared: self.headers.clone(),
                own: None,
                require_leader: request.needs_leader(),
                timeout: Some(ANSWER),
            },
        }));
        self.call_opened(key);
        call
    }

    /// Resets a call of the core's own.
    fn give_up_call(&mut self, call: CallKey) {
        if self.forget_call(call).is_some() {
            self.transmits.push_back(Transmit::Reset(call));
        }
    }

    /// The core closes: it wants to know nothing more.
    pub(super) fn close_inquiries(&mut self) {
        let own = |call: &Call| matches!(call.owner, Owner::Version | Owner::History);
        let calls: Vec<CallKey> =
            self.calls.iter().filter(|(_, call)| own(call)).map(|(key, _)| key).collect();
        calls.into_iter().for_each(|call| self.give_up_call(call));
        self.history.phase = Asking::Calm;
    }
}

/// Whether asking the same server again would fail alike.
fn is_final(failure: &Failure) -> bool {
    match failure {
        Failure::Etcd(error, _) => matches!(
            error.code(),
            GrpcCode::PermissionDenied | GrpcCode::Unauthenticated | GrpcCode::InvalidArgument
        ),
        Failure::Status(code, _) => {
            matches!(code, GrpcCode::Unimplemented | GrpcCode::PermissionDenied | GrpcCode::Unauthenticated)
        }
        Failure::Reset { .. } | Failure::Protocol(_) | Failure::TooLarge { .. } => false,
    }
}
