//! The simulated machine on which cases run without any server: the whole client against the model, in virtual time,
//! every run decided by its seed.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use etcdium_client::{Client, ClientBuilder, Runtime as _};
use etcdium_sim::http::Host;
use etcdium_sim::model::ClusterConfig;
use etcdium_sim::runtime::{Hang, Profile, Sim, SimRuntime};

use super::{Failure, PROGRESS, Scenario, Topology};

/// How long a run may take, in virtual time. Cases have limits of their own, below it.
const LIMIT: Duration = Duration::from_secs(3600);

thread_local! {
    /// The machine that this thread runs just now.
    static CURRENT: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// What bodies, clients and pauses need of a machine. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    runtime: SimRuntime,
    host: Host,
    members: usize,
    seed: u64,
}

/// A machine with its cluster.
#[derive(Debug)]
pub(crate) struct Simulation {
    sim: Sim,
    machine: Machine,
}

impl Simulation {
    pub(crate) fn new(members: usize, seed: u64) -> Self {
        let sim = Sim::new(Instant::now(), seed, Profile::draw(seed));
        let host = sim
            .host(ClusterConfig { members, progress_interval: PROGRESS, ..ClusterConfig::default() }, seed);
        for member in 0..members {
            sim.listen(&name(member), PORT, &host, member);
        }
        let machine = Machine { runtime: sim.runtime(), host, members, seed };
        Self { sim, machine }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs a body to its end.
    pub(crate) fn run<F>(&self, body: F) -> Result<F::Output, Hang>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let before = CURRENT.replace(Some(self.machine.clone()));
        let _restored = Restore(before);
        self.sim.block_on(LIMIT, body)
    }

    /// A hash of every byte sent, where and when.
    #[cfg(test)]
    pub(crate) fn transcript(&self) -> u64 {
        self.sim.transcript()
    }
}

/// Puts the machine of before back, also after a panic.
struct Restore(Option<Machine>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

const PORT: u16 = 2379;

fn name(member: usize) -> String {
    format!("etcd{member}")
}

/// The machine that this thread runs just now.
pub(super) fn current() -> Option<Machine> {
    CURRENT.with_borrow(Clone::clone)
}

/// The time: virtual on a simulated machine.
pub(super) fn now() -> Instant {
    current().map_or_else(Instant::now, |machine| machine.runtime.now())
}

impl Machine {
    pub(super) fn builder(&self) -> ClientBuilder {
        Client::builder(self.runtime.clone()).seed(self.seed)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.members).map(|member| format!("http://{}:{PORT}", name(member))).collect()
    }

    pub(super) async fn sleep(self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    pub(super) fn kill(&self, member: usize) {
        if self.host.is_up(member) {
            self.host.kill(member);
        }
    }

    pub(super) fn start(&self, member: usize) {
        if !self.host.is_up(member) {
            self.host.start(member);
        }
    }

    pub(super) fn leader(&self) -> Option<usize> {
        self.host.with(|cluster, _| cluster.leader())
    }
}

impl Scenario {
    /// How many members the simulated cluster of this case has.
    pub(crate) const fn simulated_members(&self) -> usize {
        match self.topology {
            Topology::None | Topology::OneMember => 1,
            Topology::ThreeMembers | Topology::Own(_) => 3,
        }
    }
}

impl From<Hang> for Failure {
    #[track_caller]
    fn from(hang: Hang) -> Self {
        Self::new(hang.to_string())
    }
}
