//! What stands between clients and a cluster when etcd's `grpc-proxy` does (server/proxy/grpcproxy).
//!
//! What a client may notice:
//!
//! * Watches of one range share one watch on the cluster. Ids are the proxy's own, whatever was asked for; creations of
//!   different ranges are answered in any order; one that joins a watch already there is answered at once, with a
//!   header that says the start revision asked for and nothing else. Refused creations have empty headers, and the
//!   answer to a cancel repeats the last header sent, which may be empty too.
//! * Progress requests are dropped without an answer. A watch that the cluster ends for another reason than a compaction
//!   falls silent. A watch that joins one ended by a compaction is created and never hears anything. Responses
//!   are never cut into parts. A half-closed stream ends as "context canceled".
//! * `hasleader` is not passed on: without a leader streams stay silent and other calls wait for etcd's own time-out.
//! * Errors of etcd in calls that the proxy makes through the Go client (all but LeaseGrant, Maintenance, Auth, Lock,
//!   Election) come as code Unknown with their text.
//!
//! Left out: the cache for serializable ranges, the retries of the Go client for unary calls, the proxy's own timing of
//! lease renewals (they are passed through), its own `MemberList`, and the permission check before a creation.

mod broadcast;
mod watch;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{WatchRequest, WatchResponse, watch_request::RequestUnion};
use prost::Message;

use self::watch::{Action, Watches};
use super::{Backup, CallId, CallStart, Cluster, Output, Status, V3_7, Version};
use crate::rng::Rng;

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// How a [`Proxy`] behaves.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// The proxy's own version. Default 3.7.
    pub version: Version,
    /// The member it asks while that is up; else the first that is. Default 0.
    pub member: usize,
    /// Longest time before a new watch reaches the cluster, drawn by the seed for each. Default 0.
    pub create_delay: Duration,
    /// Longest time before a watch whose member is lost is created anew. Default 100 ms.
    pub resume_delay: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        let resume_delay = Duration::from_millis(100);
        Self { version: V3_7, member: 0, create_delay: Duration::ZERO, resume_delay }
    }
}

/// A grpc-proxy in front of a cluster: one endpoint, with the calls of a [`Cluster`].
///
/// Members are killed, started and restored through the proxy, since it loses its own calls then; anything else is done to
/// [`cluster_mut`](Self::cluster_mut). Ids of clients' calls count from below: the proxy takes its own from the top.
#[derive(Debug)]
pub struct Proxy {
    cluster: Cluster,
    config: ProxyConfig,
    rng: Rng,
    now: Instant,
    watches: Watches,
    /// Calls passed on.
    passed: BTreeMap<CallId, Passed>,
    /// The proxy's own watch streams, by broadcast and by call, with the member asked.
    upstream: BTreeMap<u64, (CallId, usize)>,
    serving: BTreeMap<CallId, u64>,
    /// Broadcasts to be created, and when; those for which no member is up.
    opening: BTreeSet<(Instant, u64)>,
    stranded: BTreeSet<u64>,
    outputs: VecDeque<Output>,
    next_call: u64,
}

/// A call passed on.
#[derive(Debug, Clone, Copy)]
struct Passed {
    member: usize,
    /// Through the Go client, which turns etcd's errors into errors of its own.
    converted: bool,
}

impl Proxy {
    /// A proxy in front of `cluster`; `seed` decides its delays.
    pub fn new(cluster: Cluster, config: ProxyConfig, now: Instant, seed: u64) -> Self {
        Self {
            cluster,
            watches: Watches::new(config.version),
            config,
            rng: Rng::new(seed),
            now,
            passed: BTreeMap::new(),
            upstream: BTreeMap::new(),
            serving: BTreeMap::new(),
            opening: BTreeSet::new(),
            stranded: BTreeSet::new(),
            outputs: VecDeque::new(),
            next_call: u64::MAX,
        }
    }

    /// The cluster behind.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster behind, for what does not end its calls.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// How many watches the proxy holds on the cluster, those that are over and still have receivers included.
    pub fn broadcast_count(&self) -> usize {
        self.watches.broadcast_count()
    }

    /// A call begins. Which member it names does not matter.
    pub fn open(&mut self, now: Instant, start: CallStart<'_>) {
        self.now = self.now.max(now);
        let call = start.call;
        match start.path {
            WATCH => self.watches.open(call),
            "/etcdserverpb.KV/RangeStream" => {
                self.end(call, 12, "RangeStream is not supported by the gRPC proxy");
            }
            "/etcdserverpb.Cluster/MemberPromote" => self.end(call, 2, "not implemented"),
            path => {
                let Some(member) = self.member() else {
                    return self.end(call, 14, "last connection error: connection refused");
                };
                self.passed.insert(call, Passed { member, converted: is_converted(path) });
                self.cluster.open(self.now, CallStart { member, require_leader: false, ..start });
            }
        }
        self.settle();
    }

    /// The client sends a message.
    pub fn message(&mut self, now: Instant, call: CallId, message: Bytes) {
        self.now = self.now.max(now);
        if self.watches.has(call) {
            match WatchRequest::decode(message) {
                Ok(request) => self.watches.request(call, request),
                Err(_) => self.end_stream(call),
            }
        } else {
            self.cluster.message(self.now, call, message);
        }
        self.settle();
    }

    /// The client will send no more.
    pub fn finish(&mut self, now: Instant, call: CallId) {
        self.now = self.now.max(now);
        if self.watches.has(call) {
            self.end_stream(call);
        } else {
            self.cluster.finish(self.now, call);
        }
        self.settle();
    }

    /// The client has reset the call, or its connection is gone.
    pub fn cancel(&mut self, now: Instant, call: CallId) {
        self.now = self.now.max(now);
        self.settle();
        if !self.watches.close(call) && self.passed.remove(&call).is_some() {
            self.cluster.cancel(self.now, call);
        }
        self.settle();
    }

    /// The next thing that a client receives, in the order of sending.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.settle();
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. `None`: nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.cluster.poll_timeout().into_iter().chain(self.opening.first().map(|&(at, _)| at)).min()
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.cluster.handle_timeout(self.now);
        self.settle();
    }

    /// The member's process ends. Calls passed to it fail; watches are created anew elsewhere.
    pub fn kill(&mut self, now: Instant, member: usize) {
        self.now = self.now.max(now);
        self.settle();
        self.cluster.kill(self.now, member);
        self.lose(|of| of == member);
    }

    /// The member's process starts again.
    pub fn start(&mut self, now: Instant, member: usize) {
        self.now = self.now.max(now);
        self.cluster.start(self.now, member);
        for broadcast in std::mem::take(&mut self.stranded) {
            self.open_later(broadcast, self.config.resume_delay);
        }
        self.settle();
    }

    /// Replaces the cluster by one made from a backup, see [`Cluster::restore`]. The proxy stays.
    pub fn restore(&mut self, now: Instant, backup: &Backup, cluster_id: Option<u64>) {
        self.now = self.now.max(now);
        self.settle();
        self.cluster.restore(self.now, backup, cluster_id);
        self.lose(|_| true);
    }

    fn member(&self) -> Option<usize> {
        let others = 0..self.cluster.member_count();
        std::iter::once(self.config.member).chain(others).find(|member| self.cluster.is_up(*member))
    }

    /// Does what follows, until nothing does.
    fn settle(&mut self) {
        loop {
            if let Some(action) = self.watches.actions.pop_front() {
                self.act(action);
            } else if let Some(&(at, broadcast)) = self.opening.first().filter(|(at, _)| *at <= self.now) {
                self.opening.remove(&(at, broadcast));
                self.open_upstream(broadcast);
            } else if let Some(output) = self.cluster.poll_output() {
                self.route(output);
            } else {
                break;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Tell(call, response) => {
                if self.watches.has(call) {
                    let message = response.encode_to_vec().into();
                    self.outputs.push_back(Output::Message { call, message });
                }
            }
            Action::Open(broadcast) => self.open_later(broadcast, self.config.create_delay),
            Action::Close(broadcast) => {
                self.opening.retain(|(_, waiting)| *waiting != broadcast);
                self.stranded.remove(&broadcast);
                if let Some((call, _)) = self.upstream.remove(&broadcast) {
                    self.serving.remove(&call);
                    self.cluster.cancel(self.now, call);
                }
            }
        }
    }

    fn open_later(&mut self, broadcast: u64, bound: Duration) {
        self.opening.insert((self.now + self.rng.between(Duration::ZERO, bound), broadcast));
    }

    /// Creates the watch of a broadcast on the cluster.
    fn open_upstream(&mut self, broadcast: u64) {
        let Some(create) = self.watches.create(broadcast) else { return };
        let Some(member) = self.member() else {
            self.stranded.insert(broadcast);
            return;
        };
        let call = CallId(self.next_call);
        self.next_call -= 1;
        self.upstream.insert(broadcast, (call, member));
        self.serving.insert(call, broadcast);
        let start = CallStart { call, member, path: WATCH, require_leader: false, timeout: None };
        self.cluster.open(self.now, start);
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        self.cluster.message(self.now, call, request.encode_to_vec().into());
    }

    /// An output of the cluster: to the broadcast or to the client it is for.
    fn route(&mut self, output: Output) {
        match output {
            Output::Message { call, message } => {
                if let Some(broadcast) = self.serving.get(&call) {
                    if let Ok(response) = WatchResponse::decode(message) {
                        self.watches.response(*broadcast, response);
                    }
                } else {
                    self.outputs.push_back(Output::Message { call, message });
                }
            }
            Output::End { call, status } => {
                if let Some(broadcast) = self.serving.remove(&call) {
                    self.upstream.remove(&broadcast);
                    self.open_later(broadcast, self.config.resume_delay.max(Duration::from_millis(1)));
                } else if let Some(passed) = self.passed.remove(&call) {
                    let status = if passed.converted { convert(status) } else { status };
                    self.outputs.push_back(Output::End { call, status });
                }
            }
        }
    }

    /// What was asked of these members is lost.
    fn lose(&mut self, lost: impl Fn(usize) -> bool) {
        let passed: Vec<CallId> =
            self.passed.iter().filter(|(_, passed)| lost(passed.member)).map(|(&call, _)| call).collect();
        for call in passed {
            self.passed.remove(&call);
            self.end(call, 14, "error reading from server: EOF");
        }
        let upstream: Vec<(u64, CallId)> = self
            .upstream
            .iter()
            .filter(|(_, (_, member))| lost(*member))
            .map(|(&broadcast, &(call, _))| (broadcast, call))
            .collect();
        for (broadcast, call) in upstream {
            self.upstream.remove(&broadcast);
            self.serving.remove(&call);
            self.open_later(broadcast, self.config.resume_delay);
        }
        self.settle();
    }

    fn end_stream(&mut self, call: CallId) {
        self.settle();
        self.watches.close(call);
        self.end(call, 1, "context canceled");
    }

    fn end(&mut self, call: CallId, code: u32, message: &'static str) {
        let status = Status { code, message: Cow::Borrowed(message) };
        self.outputs.push_back(Output::End { call, status });
    }
}

/// Whether the proxy makes this call through the Go client.
fn is_converted(path: &str) -> bool {
    let plain =
        ["/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Maintenance/", "/etcdserverpb.Auth/", "/v3"];
    !plain.iter().any(|prefix| path.starts_with(prefix))
}

/// The Go client's errors carry no gRPC status: all that is left is the text.
fn convert(status: Status) -> Status {
    if status.message.starts_with("etcdserver: ") { Status { code: 2, ..status } } else { status }
}
