//! The executor: tasks in an order drawn from the seed, and a clock that jumps.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use etcdium_client::{BoxFuture, ConnectError, Io, Runtime, SpawnError, Target, Timer};

use super::network;
use super::profile::{Profile, Reactor};
use super::state::{Due, Shared, Side, lock, pick};
use super::timer::Alarm;
use crate::http::Runner;
use crate::model::ClusterConfig;
use crate::{http::Host, model::Cluster};

/// A simulated machine with its network. Dropping it drops every task.
pub struct Sim {
    shared: Arc<Shared>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    all: BTreeMap<u64, Task>,
    last: u64,
    client: VecDeque<u64>,
    server: VecDeque<u64>,
    /// Polls of clients' tasks since the reactor last looked.
    since_reactor: u32,
}

struct Task {
    side: Side,
    future: BoxFuture<()>,
    bell: Arc<TaskBell>,
}

struct TaskBell {
    id: u64,
    rung: AtomicBool,
    shared: Weak<Shared>,
}

impl Wake for TaskBell {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            if let Some(shared) = self.shared.upgrade() {
                lock(&shared.woken).push(self.id);
            }
        }
    }
}

/// Why a simulation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// When, since the start.
    pub at: Duration,
    /// Nobody can go on, and nothing will ever happen; otherwise the time was up.
    pub deadlock: bool,
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.deadlock { "nobody can go on" } else { "not over in time" };
        write!(f, "{what} at {:?}", self.at)
    }
}

impl std::error::Error for Hang {}

impl Sim {
    /// A machine whose clock begins at `epoch`.
    pub fn new(epoch: Instant, seed: u64, profile: Profile) -> Self {
        Self { shared: Shared::new(epoch, seed, profile), tasks: Mutex::default() }
    }

    /// A runtime for clients.
    pub fn runtime(&self) -> SimRuntime {
        SimRuntime { shared: self.shared.clone() }
    }

    /// A cluster on this machine. [`listen`](Self::listen) makes its members known.
    pub fn host(&self, config: ClusterConfig, seed: u64) -> Host {
        let max_request = config.max_request_bytes.saturating_add(512 * 1024);
        let cluster = Cluster::new(config, self.now(), seed);
        Host::new(cluster, Arc::new(Servers { shared: self.shared.clone() }), max_request)
    }

    /// The time, as servers see it.
    pub fn now(&self) -> Instant {
        let state = self.shared.lock();
        state.instant(state.now)
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.shared.lock().now)
    }

    /// A hash of every byte that was written, where and when.
    pub fn transcript(&self) -> u64 {
        self.shared.lock().transcript()
    }

    /// How many tasks clients have.
    pub fn client_tasks(&self) -> usize {
        self.adopt();
        lock(&self.tasks).all.values().filter(|task| task.side == Side::Client).count()
    }

    /// Changes how the machine behaves from now on.
    pub fn set_profile(&self, profile: Profile) {
        self.shared.lock().profile = profile;
    }

    /// Runs a future as a client's task, and everybody else meanwhile.
    ///
    /// # Errors
    /// [`Hang`] when it is not over after `limit` of virtual time, or when nothing can ever happen again.
    pub fn block_on<F>(&self, limit: Duration, future: F) -> Result<F::Output, Hang>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let output = Arc::new(Mutex::new(None));
        let place = output.clone();
        self.shared.spawn(Side::Client, Box::pin(async move { *lock(&place) = Some(future.await) }));
        let end = self.shared.lock().now + limit.as_nanos() as u64;
        loop {
            if let Some(output) = lock(&output).take() {
                return Ok(output);
            }
            let at = self.elapsed();
            if at.as_nanos() as u64 > end {
                return Err(Hang { at, deadlock: false });
            }
            if !self.step() {
                return Err(Hang { at, deadlock: true });
            }
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Polls one task, or lets time pass. Nothing can ever happen again if it says no.
    fn step(&self) -> bool {
        self.adopt();
        let Some((id, mut task)) = self.next_task() else { return self.let_time_pass() };
        task.bell.rung.store(false, Ordering::Relaxed);
        {
            let mut state = self.shared.lock();
            state.side = task.side;
            state.ahead = 0;
            if task.side == Side::Client {
                let cost = state.profile.poll_cost;
                state.ahead = cost.draw(&mut state.rng);
            }
        }
        let waker = Waker::from(task.bell.clone());
        let done = task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let deferred = {
            let mut state = self.shared.lock();
            if task.side == Side::Client {
                let (chance, pauses) = (state.profile.pause, state.profile.pauses);
                if state.rng.chance(chance) {
                    state.ahead += pauses.draw(&mut state.rng);
                }
                state.client_free = state.now + state.ahead;
            }
            state.ahead = 0;
            state.side = Side::Server;
            std::mem::take(&mut state.deferred)
        };
        deferred.into_iter().for_each(Waker::wake);
        if done {
            drop(task);
        } else {
            lock(&self.tasks).all.insert(id, task);
        }
        true
    }

    /// Takes over new tasks and those that were woken.
    fn adopt(&self) {
        let mut tasks = lock(&self.tasks);
        let tasks = &mut *tasks;
        for (side, future) in std::mem::take(&mut *lock(&self.shared.spawned)) {
            tasks.last += 1;
            let id = tasks.last;
            let bell = TaskBell { id, rung: AtomicBool::new(true), shared: Arc::downgrade(&self.shared) };
            tasks.all.insert(id, Task { side, future, bell: Arc::new(bell) });
            tasks.ready(side).push_back(id);
        }
        for id in std::mem::take(&mut *lock(&self.shared.woken)) {
            if let Some(side) = tasks.all.get(&id).map(|task| task.side) {
                tasks.ready(side).push_back(id);
            }
        }
    }

    fn next_task(&self) -> Option<(u64, Task)> {
        let mut tasks = lock(&self.tasks);
        let tasks = &mut *tasks;
        let mut state = self.shared.lock();
        let client = !tasks.client.is_empty() && state.client_free <= state.now;
        let side = match (client, !tasks.server.is_empty()) {
            (true, true) if state.rng.below(2) == 0 => Side::Client,
            (true, false) => Side::Client,
            (_, true) => Side::Server,
            (false, false) => return None,
        };
        if side == Side::Client {
            if let Reactor::Every(polls) = state.profile.reactor {
                tasks.since_reactor += 1;
                if tasks.since_reactor > polls {
                    tasks.since_reactor = 0;
                    state.horizon = state.now;
                    let unseen = std::mem::take(&mut state.unseen);
                    drop(state);
                    unseen.into_iter().for_each(Waker::wake);
                    state = self.shared.lock();
                }
            }
        }
        let in_order = state.profile.in_order;
        let id = pick(tasks.ready(side), in_order, &mut state.rng)?;
        tasks.all.remove(&id).map(|task| (id, task))
    }

    /// Nobody can go on: lets the reactor look, or the next thing happen.
    fn let_time_pass(&self) -> bool {
        let mut wakes = Vec::new();
        let mut happening = Vec::new();
        {
            let tasks = lock(&self.tasks);
            let mut state = self.shared.lock();
            if state.client_free <= state.now && !state.unseen.is_empty() {
                state.horizon = state.now;
                wakes = std::mem::take(&mut state.unseen);
            } else {
                let next = state.due.keys().next().map(|(time, _)| *time);
                let busy = !tasks.client.is_empty() || !state.unseen.is_empty();
                let free = busy.then_some(state.client_free);
                let Some(time) = next.into_iter().chain(free).min() else { return false };
                state.now = state.now.max(time);
                while let Some(entry) = state.due.first_entry() {
                    if entry.key().0 > time {
                        break;
                    }
                    happening.push(entry.remove());
                }
            }
        }
        for due in happening {
            due.happen(&self.shared, &mut wakes);
        }
        wakes.into_iter().for_each(Waker::wake);
        true
    }
}

impl Tasks {
    fn ready(&mut self, side: Side) -> &mut VecDeque<u64> {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Tasks own ends of pipes and hosts, which own the machine.
        loop {
            let spawned = std::mem::take(&mut *lock(&self.shared.spawned));
            let tasks = std::mem::take(&mut *lock(&self.tasks));
            if spawned.is_empty() && tasks.all.is_empty() {
                break;
            }
            drop((spawned, tasks));
        }
        let mut state = self.shared.lock();
        let due: Vec<Due> = std::mem::take(&mut state.due).into_values().collect();
        let wakers = (std::mem::take(&mut state.unseen), std::mem::take(&mut state.deferred));
        let network = std::mem::take(&mut state.network);
        drop(state);
        drop((due, wakers, network));
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// The runtime of the clients of a [`Sim`]. Clones are the same.
#[derive(Clone)]
pub struct SimRuntime {
    shared: Arc<Shared>,
}

impl SimRuntime {
    /// Completes after `time`.
    pub fn sleep(&self, time: Duration) -> BoxFuture<()> {
        let at = self.now() + time;
        Box::pin(Alarm::new(self.shared.clone(), Side::Client, at))
    }

    /// Runs a future beside the others, as a client's task.
    pub fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.spawn(Side::Client, Box::pin(task));
    }
}

impl Runtime for SimRuntime {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        self.shared.spawn(Side::Client, task);
        Ok(())
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Alarm::new(self.shared.clone(), Side::Client, at))
    }

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        network::connect(&self.shared, target)
    }

    fn now(&self) -> Instant {
        let state = self.shared.lock();
        state.instant(state.local_now())
    }

    fn to_std(&self, at: Instant) -> Instant {
        at
    }

    fn yields_to_callers(&self) -> bool {
        self.shared.lock().profile.yields
    }
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime").finish_non_exhaustive()
    }
}

/// What the servers of a [`Sim`] run on.
struct Servers {
    shared: Arc<Shared>,
}

impl Runner for Servers {
    fn spawn(&self, task: BoxFuture<()>) {
        self.shared.spawn(Side::Server, task);
    }

    fn now(&self) -> Instant {
        let state = self.shared.lock();
        // Also when a client's task controls the cluster.
        state.instant(state.now)
    }

    fn sleep_until(self: Arc<Self>, at: Instant) -> BoxFuture<()> {
        Box::pin(Alarm::new(self.shared.clone(), Side::Server, at))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").finish_non_exhaustive()
    }
}
