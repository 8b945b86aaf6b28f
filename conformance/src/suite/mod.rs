//! Running cases: on servers of our own or on given ones, each on each runtime, with a verdict and a reason.

mod examples;
mod pool;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use etcdium_client::Delete;
use etcdium_client::proto::etcdserverpb::StatusRequest;

use crate::etcd::Member;
use crate::etcd::provision::{self, Provisioned, Version};
use crate::scenario::{
    self, Context, Failure, Front, Need, Runtime, Scenario, Servers as Serving, Setup, Simulation,
    Surroundings, Topology,
};

pub use crate::etcd::provision::Request;
pub use examples::examples;
use pool::Pool;

/// All keys the suite writes on servers that are not ours begin with this.
const PREFIX: &str = "etcdium-conformance/";

/// Cases to run, and where.
#[derive(Debug)]
pub struct Suite {
    servers: Servers,
    /// Tells this run's keys from those of others.
    token: String,
}

#[derive(Debug)]
enum Servers {
    /// Started when a case needs them.
    Ours { request: Request, etcd: OnceLock<Result<Provisioned, String>>, pool: Pool },
    /// Somebody's.
    Foreign { endpoints: Vec<String>, version: Version },
}

/// One case on one runtime.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The case.
    pub case: &'static Scenario,
    /// The runtime.
    pub runtime: Runtime,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.case.name(), self.runtime)
    }
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All checks held.
    Passed,
    /// It cannot be run here, and why.
    Skipped(String),
    /// A check did not hold, or something else went wrong.
    Failed(String),
}

/// A trial that was made.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub trial: Trial,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, without waiting for servers.
    pub time: Duration,
}

impl Suite {
    /// On servers of this version, started as needed.
    pub fn on_own_servers(request: Request) -> Self {
        let pool = Pool::new(request.clone());
        Self { servers: Servers::Ours { request, etcd: OnceLock::new(), pool }, token: token() }
    }

    /// On the servers at these endpoints. Cases that need control of servers, or the store for themselves, are skipped.
    /// All keys are under a prefix of this run, which [`finish`](Self::finish) deletes.
    ///
    /// # Errors
    /// None of the servers tells its version.
    pub fn on_foreign_servers(endpoints: Vec<String>) -> Result<Self, String> {
        let setup = Setup::new(&endpoints);
        let status = Runtime::Tokio.block_on(async move {
            let subject = Runtime::Tokio.open(&setup)?;
            subject.call(StatusRequest::default()).await
        });
        let status =
            status.map_err(|error| format!("cannot use the servers: {}", scenario::describe(&error)))?;
        let version =
            status.version.parse().map_err(|error| format!("a version that makes no sense: {error}"))?;
        Ok(Self { servers: Servers::Foreign { endpoints, version }, token: token() })
    }

    /// Cases on the given runtimes, in the order that wastes the least time: those that share a cluster first, then
    /// those that want it alone, then those with clusters of their own.
    pub fn plan(&self, runtimes: &[Runtime], wanted: impl Fn(&Scenario) -> bool) -> Vec<Trial> {
        let mut cases: Vec<&'static Scenario> =
            scenario::all().iter().copied().filter(|case| wanted(case)).collect();
        // One case after the other on each of the two common clusters, which so are busy at the same time.
        let mut turns = [0_usize; 2];
        cases.sort_by_cached_key(|case| match (case.topology, case.is_exclusive()) {
            (Topology::None | Topology::OneMember, false) => (0, 0),
            (Topology::ThreeMembers, false) => (1, 0),
            (Topology::Own(_), _) => (3, 0),
            (topology, true) => {
                let turn = &mut turns[usize::from(matches!(topology, Topology::ThreeMembers))];
                *turn += 1;
                (2, *turn)
            }
        });
        let trials = cases.into_iter().flat_map(|case| {
            let runs = runtimes.iter().filter(|&&runtime| {
                // The machine has servers of its own.
                let foreign = matches!(self.servers, Servers::Foreign { .. });
                case.runs_on(runtime) && !(foreign && runtime == Runtime::Sim)
            });
            runs.map(move |&runtime| Trial { case, runtime })
        });
        trials.collect()
    }

    /// What the trials run on, in words. Provides the server binary if there is need.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn servers(&self) -> Result<String, String> {
        match &self.servers {
            Servers::Ours { .. } => self.etcd().map(ToString::to_string),
            Servers::Foreign { endpoints, version } => {
                Ok(format!("etcd {version} at {}", endpoints.join(", ")))
            }
        }
    }

    /// Makes a trial. Blocks; trials may be made on several threads at once.
    pub fn run(&self, trial: Trial) -> Report {
        if trial.runtime == Runtime::Sim {
            return simulate(trial, seed());
        }
        let (verdict, time) = match self.skips(trial.case) {
            Err(reason) => (Verdict::Failed(reason), Duration::ZERO),
            Ok(Some(reason)) => (Verdict::Skipped(reason), Duration::ZERO),
            Ok(None) => self.make(trial),
        };
        Report { trial, verdict, time }
    }

    /// Deletes what the trials left on servers that are not ours.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn finish(&self) -> Result<(), String> {
        let Servers::Foreign { endpoints, .. } = &self.servers else { return Ok(()) };
        let prefix = format!("{PREFIX}{}/", self.token);
        let setup = Setup::new(endpoints);
        let deleted = Runtime::Tokio
            .block_on(async move { Runtime::Tokio.open(&setup)?.send(Delete::new(prefix).prefix()).await });
        deleted
            .map(drop)
            .map_err(|error| format!("keys under {PREFIX} are left: {}", scenario::describe(&error)))
    }

    /// Why a case cannot run here.
    fn skips(&self, case: &Scenario) -> Result<Option<String>, String> {
        let version = match &self.servers {
            Servers::Ours { .. } => &self.etcd()?.version,
            Servers::Foreign { version, .. } => {
                if let Some(reason) = case.forbids_foreign() {
                    return Ok(Some(reason.to_owned()));
                }
                version
            }
        };
        let newer = case.needs.iter().find_map(|need| match need {
            Need::Since(major, minor) if !version.at_least(*major, *minor) => {
                Some(format!("needs etcd {major}.{minor}, this is {version}"))
            }
            _ => None,
        });
        Ok(newer)
    }

    fn etcd(&self) -> Result<&Provisioned, String> {
        match &self.servers {
            Servers::Ours { request, etcd, .. } => {
                let provided =
                    etcd.get_or_init(|| provision::provide(request).map_err(|error| error.to_string()));
                provided.as_ref().map_err(Clone::clone)
            }
            Servers::Foreign { .. } => Err("the servers are not ours".to_owned()),
        }
    }

    fn make(&self, trial: Trial) -> (Verdict, Duration) {
        let (taken, endpoints) = match &self.servers {
            Servers::Foreign { endpoints, .. } => (None, endpoints.clone()),
            Servers::Ours { pool, .. } => match pool.take(trial.case) {
                Ok(taken) => {
                    let endpoints = taken.as_ref().map(|taken| taken.cluster().endpoints());
                    (taken, endpoints.unwrap_or_default())
                }
                Err(error) => return (Verdict::Failed(error.to_string()), Duration::ZERO),
            },
        };
        let cluster = taken.as_ref().map(|taken| taken.cluster().clone());
        let fronted = Front::new(trial.case, &endpoints, cluster.as_deref());
        let prefix = format!("{PREFIX}{}/{}/{}/", self.token, trial.case.name(), trial.runtime);
        let begin = Instant::now();
        let servers = cluster.map_or(Serving::Foreign, Serving::Real);
        let mut outcome = fronted.and_then(|(front, fronted)| {
            let surroundings = Surroundings { servers, endpoints: fronted, direct: endpoints, front, prefix };
            guard(|| trial.runtime.block_on(body(trial, surroundings)))
        });
        let time = begin.elapsed();
        if let (Err(failure), Some(taken)) = (&mut outcome, &taken) {
            let logs = taken.cluster().members().iter().map(log);
            *failure = failure.clone().and(&logs.collect::<String>());
        }
        if let Some(taken) = taken {
            taken.give_back(trial.case, outcome.is_ok());
        }
        let verdict = match outcome {
            Ok(()) => Verdict::Passed,
            Err(failure) => Verdict::Failed(failure.to_string()),
        };
        (verdict, time)
    }
}

/// A case's body with its surroundings and its time limit.
async fn body(Trial { case, runtime }: Trial, surroundings: Surroundings) -> Result<(), Failure> {
    let context = Context::new(runtime, surroundings)?;
    match scenario::within(case.limit, case.run(context)).await {
        Some(outcome) => outcome,
        None => Err(Failure::new(format!("not over after {:?}", case.limit))),
    }
}

/// A panic is a failure like another.
fn guard(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text");
        Err(Failure::new(format!("panicked: {text}")))
    })
}

/// The seed of simulated cases: `ETCDIUM_SIM_SEED`, else 0.
fn seed() -> u64 {
    std::env::var("ETCDIUM_SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// Makes a trial on a machine of its own, in virtual time.
fn simulate(trial: Trial, seed: u64) -> Report {
    let begin = Instant::now();
    let simulation = Simulation::new(trial.case.simulated_members(), seed);
    let outcome = run_simulated(&simulation, trial);
    let verdict = match outcome {
        Ok(()) => Verdict::Passed,
        Err(failure) => Verdict::Failed(format!("{failure}\n(with ETCDIUM_SIM_SEED={seed})")),
    };
    Report { trial, verdict, time: begin.elapsed() }
}

fn run_simulated(simulation: &Simulation, trial: Trial) -> Result<(), Failure> {
    let machine = simulation.machine();
    // Nothing that differs between runs.
    let prefix = format!("{PREFIX}{}/", trial.case.name());
    let servers = Serving::Simulated(machine.clone());
    let (endpoints, direct, front) = (machine.endpoints(), machine.endpoints(), Front::default());
    let body = body(trial, Surroundings { servers, endpoints, direct, front, prefix });
    guard(|| simulation.run(body)?)
}

/// The end of a member's log, as far as it helps and can be read.
fn log(member: &Member) -> String {
    const LINES: usize = 10;
    const WIDTH: usize = 240;
    let mut text = format!("\n--- the end of the log of etcd {}", member.name());
    for line in member.log_tail(LINES).lines() {
        text.push('\n');
        text.extend(line.chars().take(WIDTH));
    }
    text
}

/// Different for every run, also of one machine at one time.
fn token() -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", time.as_micros(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every case that can be simulated holds on many machines, and equal seeds send equal bytes at equal times.
    #[test]
    fn simulated_cases_hold_and_are_repeatable() {
        let cases = scenario::all().iter().filter(|case| case.runs_on(Runtime::Sim));
        for case in cases {
            let trial = Trial { case, runtime: Runtime::Sim };
            // Those that take long compute much.
            let seeds = if case.limit > Duration::from_secs(60) { 1 } else { 10 };
            for seed in 0..seeds {
                let run = || {
                    let simulation = Simulation::new(case.simulated_members(), seed);
                    let outcome = run_simulated(&simulation, trial);
                    outcome.unwrap_or_else(|failure| panic!("{trial}: {failure} (seed {seed})"));
                    simulation.transcript()
                };
                let first = run();
                if seed < 3 {
                    assert_eq!(first, run(), "{trial}, seed {seed}");
                }
            }
        }
    }
}
