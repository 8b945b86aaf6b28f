//! What the tests share: a machine with a cluster and a client, and the loop over seeds.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use etcdium_client::{Client, ClientBuilder};
use etcdium_sim::http::Host;
use etcdium_sim::model::ClusterConfig;
use etcdium_sim::runtime::{Profile, Sim, SimRuntime};

/// Virtual time in which anything has to be over.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A machine with a cluster.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) host: Host,
    pub(crate) seed: u64,
    members: usize,
}

impl World {
    pub(crate) fn new(seed: u64, members: usize, profile: Profile) -> Self {
        let sim = Sim::new(Instant::now(), seed, profile);
        let host = sim.host(ClusterConfig { members, ..ClusterConfig::default() }, seed);
        for member in 0..members {
            sim.listen(&name(member), 2379, &host, member);
        }
        Self { sim, host, seed, members }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let endpoints: Vec<String> =
            (0..self.members).map(|member| format!("{}:2379", name(member))).collect();
        Client::builder(self.sim.runtime()).endpoints(endpoints).seed(self.seed)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Runs a body with a client, closes it, and sees that nothing of it is left.
    pub(crate) fn run<F, O>(&self, client: &Client, body: impl FnOnce(Client, SimRuntime) -> F) -> O
    where
        F: Future<Output = O> + Send + 'static,
        O: Send,
    {
        let output = self.sim.block_on(LIMIT, body(client.clone(), self.sim.runtime()));
        let output = output.unwrap_or_else(|hang| panic!("{hang}; {:?}", client.stats()));
        client.close();
        let runtime = self.sim.runtime();
        for _ in 0..60 {
            let second = runtime.sleep(Duration::from_secs(1));
            self.sim.block_on(LIMIT, second).unwrap();
            if (self.sim.client_tasks(), self.sim.connections()) == (0, 0) {
                return output;
            }
        }
        panic!("{} tasks and {} connections are left", self.sim.client_tasks(), self.sim.connections());
    }
}

fn name(member: usize) -> String {
    format!("etcd{member}")
}

/// Runs a test for many seeds, and tells with which one it failed.
pub(crate) fn seeds(count: u64, test: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("ETCDIUM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ETCDIUM_SIM_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("with ETCDIUM_SIM_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// Waits for all of them.
pub(crate) async fn all<T: Send + 'static>(
    runtime: &SimRuntime,
    futures: Vec<impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let (send, receive) = smol::channel::unbounded();
    let count = futures.len();
    for (index, future) in futures.into_iter().enumerate() {
        let send = send.clone();
        runtime.spawn_task(async move {
            let output = future.await;
            let _ = send.send((index, output)).await;
        });
    }
    let mut outputs = Vec::new();
    while outputs.len() < count {
        outputs.push(receive.recv().await.unwrap());
    }
    outputs.sort_by_key(|(index, _)| *index);
    outputs.into_iter().map(|(_, output)| output).collect()
}
