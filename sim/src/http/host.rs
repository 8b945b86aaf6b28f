//! A cluster behind a lock: who waits for which output, its connections, its timers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Runner;
use crate::model::{CallId, CallStart, Cluster, Output};

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
    cluster: Cluster,
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
}

struct Connection {
    member: usize,
    cut: bool,
    waker: Option<Waker>,
}

impl Host {
    /// Serves this cluster on `runner`, by whose clock it lives. `max_request` is the largest request message in bytes;
    /// etcd allows 512 KiB more than its `--max-request-bytes` before it judges the request.
    pub fn new(cluster: Cluster, runner: Arc<dyn Runner>, max_request: usize) -> Self {
        let state = State {
            cluster,
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

    /// Does something with the cluster; what comes of it reaches the clients.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let now = self.inner.runner.now();
        let mut state = self.lock();
        let result = work(&mut state.cluster, now);
        let woken = state.settle();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Kills a member: its connections break.
    pub fn kill(&self, member: usize) {
        self.with(|cluster, now| cluster.kill(now, member));
        self.cut(member);
    }

    /// Starts a member again.
    pub fn start(&self, member: usize) {
        self.with(|cluster, now| cluster.start(now, member));
    }

    /// Whether a member runs.
    pub fn is_up(&self, member: usize) -> bool {
        self.lock().cluster.is_up(member)
    }

    /// Breaks every connection to a member.
    pub fn cut(&self, member: usize) {
        let mut state = self.lock();
        let connections = state.connections.values_mut().filter(|connection| connection.member == member);
        let mut woken = Vec::new();
        for connection in connections {
            connection.cut = true;
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
        self.with(|cluster, now| {
            cluster.handle_timeout(now);
            cluster.poll_timeout()
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
            state.armed = state.cluster.poll_timeout();
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
        if state.stopped || state.cluster.poll_timeout().is_some_and(|wanted| wanted < at) {
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
        if state.stopped || !state.cluster.is_up(member) {
            return None;
        }
        let id = state.next_id();
        state.connections.insert(id, Connection { member, cut: false, waker: None });
        Some(id)
    }

    /// Ready when the connection was cut.
    pub(super) fn poll_cut(&self, connection: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match state.connections.get_mut(&connection) {
            Some(connection) if !connection.cut => {
                connection.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
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
            state.calls.insert(call, Waiting::default());
            call
        };
        self.with(|cluster, now| {
            cluster.open(now, CallStart { call, member, path, require_leader, timeout })
        });
        call
    }

    pub(super) fn message(&self, call: CallId, message: Bytes) {
        self.with(|cluster, now| cluster.message(now, call, message));
    }

    pub(super) fn finish(&self, call: CallId) {
        self.with(|cluster, now| cluster.finish(now, call));
    }

    pub(super) fn cancel(&self, call: CallId) {
        self.lock().calls.remove(&call);
        self.with(|cluster, now| cluster.cancel(now, call));
    }

    /// The next output of a call.
    pub(super) fn poll_output(&self, call: CallId, cx: &Context<'_>) -> Poll<Output> {
        let mut state = self.lock();
        let waiting = state.calls.entry(call).or_default();
        match waiting.outputs.pop_front() {
            Some(output) => Poll::Ready(output),
            None => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
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
    fn settle(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(output) = self.cluster.poll_output() {
            let (Output::Message { call, .. } | Output::End { call, .. }) = &output;
            // A call that was cancelled is missed by nobody.
            if let Some(waiting) = self.calls.get_mut(call) {
                waiting.outputs.push_back(output);
                woken.extend(waiting.waker.take());
            }
        }
        let wanted = self.cluster.poll_timeout();
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
