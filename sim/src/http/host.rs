//! A cluster behind a lock: who waits for which output, its connections, its timers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Runner;
use super::backend::Backend;
use crate::model::{Backup, CallId, CallStart, Cluster, Output, Proxy, Status};

/// How many responses of a watch may wait for their client before it holds back the next ones, as the window of a stream
/// does in etcd.
const CREDIT: usize = 32;
/// After how many waiting responses a proxy drops a client (grpcproxy/watch.go).
const PROXY_QUEUE: usize = 1024;
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// A cluster that is being served. Clones are the same.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    runner: Arc<dyn Runner>,
    max_request: usize,
    state: Mutex<State>,
}

struct State {
    backend: Backend,
    last_id: u64,
    calls: BTreeMap<CallId, Waiting>,
    connections: BTreeMap<u64, Connection>,
    /// Who runs the timers, and for what time that one sleeps.
    ticker: Option<Waker>,
    armed: Option<Instant>,
    stopped: bool,
}

/// Outputs not yet taken, and who takes them.
#[derive(Default)]
struct Waiting {
    outputs: VecDeque<Output>,
    waker: Option<Waker>,
    /// How many more responses of a watch the cluster may send; `None` for other calls.
    credit: Option<usize>,
}

struct Connection {
    member: usize,
    cut: bool,
    /// It takes no further calls: none yet, to be told, told.
    leaving: Leaving,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    ToTell,
    Told,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is to be dropped.
    Cut,
    /// It is to take no further calls.
    GoAway,
}

impl Host {
    /// Serves this cluster on `runner`, by whose clock it lives. `max_request` is the largest request message in bytes;
    /// etcd allows 512 KiB more than its `--max-request-bytes` before it judges the request.
    pub fn new(cluster: Cluster, runner: Arc<dyn Runner>, max_request: usize) -> Self {
        Self::with_backend(Backend::Cluster(Box::new(cluster)), runner, max_request)
    }

    /// Serves a proxy and the cluster behind it. Every connection is to the proxy, whatever member it is said to be for.
    pub fn proxied(proxy: Proxy, runner: Arc<dyn Runner>, max_request: usize) -> Self {
        Self::with_backend(Backend::Proxy(Box::new(proxy)), runner, max_request)
    }

    fn with_backend(backend: Backend, runner: Arc<dyn Runner>, max_request: usize) -> Self {
        let state = State {
            backend,
            last_id: 0,
            calls: BTreeMap::new(),
            connections: BTreeMap::new(),
            ticker: None,
            armed: None,
            stopped: false,
        };
        let inner = Arc::new(Inner { runner, max_request, state: Mutex::new(state) });
        let host = Self { inner };
        let ticking = host.clone();
        host.inner.runner.spawn(Box::pin(ticking.tick()));
        host
    }

    /// Does something with the cluster; what comes of it reaches the clients. What ends a member's calls has a method of its
    /// own here.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.with_all(|backend, now| work(backend.cluster_mut(), now))
    }

    fn with_all<T>(&self, work: impl FnOnce(&mut Backend, Instant) -> T) -> T {
        let now = self.inner.runner.now();
        let mut state = self.lock();
        let result = work(&mut state.backend, now);
        let woken = state.settle(now);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Kills a member: its connections break. Those to a proxy do not.
    pub fn kill(&self, member: usize) {
        let proxied = self.with_all(|backend, now| {
            backend.kill(now, member);
            backend.is_proxy()
        });
        if !proxied {
            self.cut(member);
        }
    }

    /// Starts a member again.
    pub fn start(&self, member: usize) {
        self.with_all(|backend, now| backend.start(now, member));
    }

    /// Replaces the cluster by one made from a backup, see [`Cluster::restore`]: all connections break, but for those to a
    /// proxy.
    pub fn restore(&self, backup: &Backup, cluster_id: Option<u64>) {
        let broken = self.with_all(|backend, now| {
            backend.restore(now, backup, cluster_id);
            if backend.is_proxy() { 0 } else { backend.cluster().member_count() }
        });
        (0..broken).for_each(|member| self.cut(member));
    }

    /// Whether a member runs.
    pub fn is_up(&self, member: usize) -> bool {
        self.lock().backend.cluster().is_up(member)
    }

    /// Breaks every connection to a member.
    pub fn cut(&self, member: usize) {
        self.tell(member, |connection| connection.cut = true);
    }

    /// Tells the clients of a member to leave (GOAWAY): calls there are go on, connections take no further ones and end with
    /// the last.
    pub fn go_away(&self, member: usize) {
        self.tell(member, |connection| {
            if connection.leaving == Leaving::No {
                connection.leaving = Leaving::ToTell;
            }
        });
    }

    fn tell(&self, member: usize, news: impl Fn(&mut Connection)) {
        let mut state = self.lock();
        let connections = state.connections.values_mut().filter(|connection| connection.member == member);
        let mut woken = Vec::new();
        for connection in connections {
            news(connection);
            woken.extend(connection.waker.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many connections a member has.
    pub fn connections(&self, member: usize) -> usize {
        self.lock().connections.values().filter(|connection| connection.member == member).count()
    }

    /// Lets the cluster do what is due now, and tells when it wants to do more. For clocks that are moved by hand.
    pub fn handle_timeout(&self) -> Option<Instant> {
        self.with_all(|backend, now| {
            backend.handle_timeout(now);
            backend.poll_timeout()
        })
    }

    /// Ends the timers and breaks every connection: nothing will happen any more.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let mut woken: Vec<Waker> = state.ticker.take().into_iter().collect();
        for connection in state.connections.values_mut() {
            connection.cut = true;
            woken.extend(connection.waker.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Runs the timers.
    async fn tick(self) {
        loop {
            let Some(at) = self.next_timeout().await else { return };
            let sleep = self.inner.runner.clone().sleep_until(at);
            let changed = std::future::poll_fn(|cx| self.poll_rearm(cx, at));
            futures_lite::future::or(sleep, changed).await;
            self.handle_timeout();
        }
    }

    /// The next time the cluster waits for. `None`: it was stopped.
    async fn next_timeout(&self) -> Option<Instant> {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            state.armed = state.backend.poll_timeout();
            match state.armed {
                _ if state.stopped => Poll::Ready(None),
                Some(at) => Poll::Ready(Some(at)),
                None => {
                    state.ticker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ready when the timer for `at` comes too late, or for nothing.
    fn poll_rearm(&self, cx: &Context<'_>, at: Instant) -> Poll<()> {
        let mut state = self.lock();
        if state.stopped || state.backend.poll_timeout().is_some_and(|wanted| wanted < at) {
            return Poll::Ready(());
        }
        state.ticker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn runner(&self) -> &Arc<dyn Runner> {
        &self.inner.runner
    }

    pub(super) fn max_request(&self) -> usize {
        self.inner.max_request
    }

    /// Notes a new connection, unless the member is down.
    pub(super) fn connected(&self, member: usize) -> Option<u64> {
        let mut state = self.lock();
        if state.stopped || !state.backend.listens(member) {
            return None;
        }
        let id = state.next_id();
        state.connections.insert(id, Connection { member, cut: false, leaving: Leaving::No, waker: None });
        Some(id)
    }

    /// Ready when something happened to the connection.
    pub(super) fn poll_news(&self, connection: u64, cx: &Context<'_>) -> Poll<News> {
        let mut state = self.lock();
        match state.connections.get_mut(&connection) {
            Some(Connection { cut: false, leaving: leaving @ Leaving::ToTell, .. }) => {
                *leaving = Leaving::Told;
                Poll::Ready(News::GoAway)
            }
            Some(connection) if !connection.cut => {
                connection.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(News::Cut),
        }
    }

    pub(super) fn disconnected(&self, connection: u64) {
        self.lock().connections.remove(&connection);
    }

    pub(super) fn open(
        &self,
        member: usize,
        path: &str,
        require_leader: bool,
        timeout: Option<Duration>,
    ) -> CallId {
        let call = {
            let mut state = self.lock();
            let call = CallId(state.next_id());
            let credit = (path == WATCH && !state.backend.is_proxy()).then_some(CREDIT);
            state.calls.insert(call, Waiting { credit, ..Waiting::default() });
            call
        };
        self.with_all(|backend, now| {
            backend.open(now, CallStart { call, member, path, require_leader, timeout });
            if path == WATCH {
                backend.set_credit(now, call, CREDIT);
            }
        });
        call
    }

    pub(super) fn message(&self, call: CallId, message: Bytes) {
        self.with_all(|backend, now| backend.message(now, call, message));
    }

    pub(super) fn finish(&self, call: CallId) {
        self.with_all(|backend, now| backend.finish(now, call));
    }

    pub(super) fn cancel(&self, call: CallId) {
        self.lock().calls.remove(&call);
        self.with_all(|backend, now| backend.cancel(now, call));
    }

    /// The next output of a call.
    pub(super) fn poll_output(&self, call: CallId, cx: &Context<'_>) -> Poll<Output> {
        if let Some(output) = self.next_output(call, cx) {
            return Poll::Ready(output);
        }
        if self.lock().calls.get(&call).is_some_and(|waiting| waiting.credit == Some(0)) {
            // All that was sent is taken: there is room again.
            let now = self.inner.runner.now();
            let mut state = self.lock();
            if let Some(waiting) = state.calls.get_mut(&call) {
                waiting.credit = Some(CREDIT);
            }
            state.backend.set_credit(now, call, CREDIT);
            let woken = state.settle(now);
            drop(state);
            woken.into_iter().for_each(Waker::wake);
            return self.next_output(call, cx).map_or(Poll::Pending, Poll::Ready);
        }
        Poll::Pending
    }

    fn next_output(&self, call: CallId, cx: &Context<'_>) -> Option<Output> {
        let mut state = self.lock();
        let waiting = state.calls.entry(call).or_default();
        let output = waiting.outputs.pop_front();
        if output.is_none() {
            waiting.waker = Some(cx.waker().clone());
        }
        output
    }

    /// How many outputs wait for the clients that are to take them.
    pub fn waiting_outputs(&self) -> usize {
        self.lock().calls.values().map(|waiting| waiting.outputs.len()).sum()
    }

    /// Forgets a call that ended.
    pub(super) fn ended(&self, call: CallId) {
        self.lock().calls.remove(&call);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Hands the cluster's outputs to those who wait for them; gives whom to wake.
    fn settle(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(output) = self.backend.poll_output() {
            let (Output::Message { call, .. } | Output::End { call, .. }) = output;
            // A call that was cancelled is missed by nobody.
            let Some(waiting) = self.calls.get_mut(&call) else { continue };
            woken.extend(waiting.waker.take());
            if matches!(output, Output::Message { .. }) {
                waiting.credit = waiting.credit.map(|credit| credit.saturating_sub(1));
            }
            if self.backend.is_proxy() && waiting.outputs.len() >= PROXY_QUEUE {
                self.backend.cancel(now, call);
                let status = Status { code: 1, message: "context canceled".into() };
                waiting.outputs.push_back(Output::End { call, status });
                continue;
            }
            waiting.outputs.push_back(output);
        }
        let wanted = self.backend.poll_timeout();
        if wanted.is_some_and(|wanted| self.armed.is_none_or(|armed| wanted < armed)) {
            woken.extend(self.ticker.take());
        }
        woken
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("runner", &self.inner.runner).finish_non_exhaustive()
    }
}
