//! The cases: what each needs, and its body, written once for every runtime.
//!
//! A body is an `async fn(Context) -> Result<(), Failure>`. It never names a runtime and never panics on purpose: its
//! checks end it with a [`Failure`] that carries the place and the values. All cases stand in one registry, [`all`],
//! which the test target `live` and the program `etcdium-conformance` both serve.
//!
//! Cases whose text asks for an empty store or absolute revisions work with revisions relative to their start. Variants
//! with TLS, authentication or a namespace are added with these features.

use std::sync::OnceLock;
use std::time::Duration;

use crate::etcd::ClusterConfig;
use subject::BoxFuture;

mod answer;
mod context;
mod event_loop;
mod failure;
mod front;
mod kv;
mod lease;
mod pause;
mod request;
mod rob;
mod runtime;
mod simulated;
mod subject;
mod txn;
mod watch;
mod watching;

pub use answer::{only, text};
pub use context::Context;
pub(crate) use context::{Servers, Surroundings};
pub use event_loop::EventLoop;
pub use failure::{Failure, failed, refused, some};
pub(crate) use failure::{cause, check, check_eq, describe};
pub(crate) use front::Front;
pub use pause::join_all;
pub use request::Request;
pub use runtime::{Runtime, UnknownRuntime};
pub use subject::{Call, Sending, Setup, Subject};
pub use watching::{Watch, Watching};

pub(crate) use pause::within;
pub(crate) use simulated::Simulation;

/// How often servers report the progress of idle watches that ask for it.
pub(crate) const PROGRESS: Duration = Duration::from_millis(500);

/// The servers of a case.
#[derive(Clone, Copy, Debug)]
pub enum Topology {
    /// None.
    None,
    /// One member.
    OneMember,
    /// Three members.
    ThreeMembers,
    /// A cluster with settings of its own, started anew for every run.
    Own(fn() -> ClusterConfig),
}

/// What a case asks of its surroundings besides the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It kills, stops, restarts or configures servers.
    Control,
    /// It reads or deletes keys that are not its own.
    WholeStore,
    /// It compacts the history.
    Compaction,
    /// It counts revisions, so nobody else may write.
    Quiet,
    /// A server at least this new: major and minor.
    Since(u32, u32),
    /// It starts servers with other flags.
    Flags,
    /// It reads the servers' own counts, which others would change.
    Metrics,
    /// It moves many megabytes, for which simulated connections are too slow.
    Bulk,
    /// Servers that report the progress of watches every half second, as those of the suite do.
    Progress,
    /// The typed client: it shows what the client does beyond the messages.
    Client,
    /// A [`Proxy`](crate::proxy::Proxy) of its own before each server: [`Context::proxy`].
    Proxy,
    /// etcd's own grpc-proxy before the servers, which it reaches in no other way: [`Context::grpc_proxy`].
    GrpcProxy,
}

impl Need {
    /// Whether a case with this need wants its servers for itself.
    pub const fn is_exclusive(self) -> bool {
        matches!(self, Self::Control | Self::WholeStore | Self::Compaction | Self::Quiet | Self::Metrics)
    }

    /// What keeps a case with this need from servers that are not ours; `None` if nothing does.
    pub const fn forbids_foreign(self) -> Option<&'static str> {
        match self {
            Self::Control => Some("needs control of the server processes"),
            Self::WholeStore => Some("reads or deletes keys outside its prefix"),
            Self::Compaction => Some("compacts the history"),
            Self::Quiet => Some("needs a store that nobody else writes to"),
            Self::Metrics => Some("counts what the servers have"),
            Self::GrpcProxy => Some("starts an etcd grpc-proxy before the servers"),
            Self::Progress => Some("needs servers that report progress more often"),
            Self::Since(..) | Self::Flags | Self::Bulk | Self::Client | Self::Proxy => None,
        }
    }

    /// What keeps a case with this need from the simulated machine; `None` if nothing does.
    pub const fn forbids_simulation(self) -> Option<&'static str> {
        match self {
            Self::Flags => Some("changes the flags of a server"),
            Self::Proxy => Some("puts proxies before the servers"),
            Self::GrpcProxy => Some("starts an etcd grpc-proxy before the servers"),
            Self::Bulk => Some("moves many megabytes"),
            Self::Metrics => Some("reads the metrics of servers"),
            _ => None,
        }
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its id, such as `KV-014`.
    pub id: &'static str,
    /// Which of several forms of the case this is, such as `3N`; empty for the only one.
    pub variant: &'static str,
    /// What it shows, in a few words.
    pub title: &'static str,
    /// Its servers.
    pub topology: Topology,
    /// What else it needs.
    pub needs: &'static [Need],
    /// How long one run may take.
    pub limit: Duration,
    body: fn(Context) -> BoxFuture<'static, Result<(), Failure>>,
}

impl Scenario {
    const fn new(
        id: &'static str,
        topology: Topology,
        title: &'static str,
        body: fn(Context) -> BoxFuture<'static, Result<(), Failure>>,
    ) -> Self {
        Self { id, variant: "", title, topology, needs: &[], limit: Duration::from_secs(60), body }
    }

    const fn variant(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self
    }

    const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its id and variant: `KV-014`, `KV-024.3N`.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.id.to_owned() } else { format!("{}.{}", self.id, self.variant) }
    }

    /// Whether it has its servers to itself while it runs.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.topology, Topology::Own(_)) || self.needs.iter().any(|need| need.is_exclusive())
    }

    /// Its servers, in words.
    pub const fn servers(&self) -> &'static str {
        match self.topology {
            Topology::None => "no server",
            Topology::OneMember => "one member",
            Topology::ThreeMembers => "three members",
            Topology::Own(_) => "a cluster of its own",
        }
    }

    /// Whether it controls server processes.
    pub fn controls(&self) -> bool {
        self.needs.contains(&Need::Control)
    }

    /// Why it cannot run on servers that are not ours; `None` if it can.
    pub fn forbids_foreign(&self) -> Option<&'static str> {
        if matches!(self.topology, Topology::Own(_)) {
            return Some("needs a server with settings of its own");
        }
        self.needs.iter().find_map(|need| need.forbids_foreign())
    }

    /// What keeps a case from the simulated machine; `None` if nothing does. Process signals are no hindrance: to a
    /// client, every end of a server looks like the end of its connections.
    pub fn forbids_simulation(&self) -> Option<&'static str> {
        match self.topology {
            Topology::Own(_) => Some("needs a server with settings of its own"),
            _ => self.needs.iter().find_map(|need| need.forbids_simulation()),
        }
    }

    /// Whether it runs on this runtime.
    pub fn runs_on(&self, runtime: Runtime) -> bool {
        match runtime {
            // What it shows beyond the current thread, it shows without restarts of servers as well.
            Runtime::TokioMulti => !self.controls() && !matches!(self.topology, Topology::Own(_)),
            Runtime::Loop => !self.needs.contains(&Need::Client),
            Runtime::Sim => self.forbids_simulation().is_none(),
            Runtime::Tokio | Runtime::Smol | Runtime::AsyncStd => true,
        }
    }

    pub(crate) fn run(&self, context: Context) -> BoxFuture<'static, Result<(), Failure>> {
        (self.body)(context)
    }
}

/// Every case, in the order of their names.
pub fn all() -> &'static [&'static Scenario] {
    static ALL: OnceLock<Vec<&'static Scenario>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<&Scenario> = [kv::CASES, lease::CASES, rob::CASES, txn::CASES, watch::CASES]
            .concat()
            .into_iter()
            .flatten()
            .collect();
        all.sort_by_key(|case| case.name());
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = all().iter().map(|case| case.name()).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_needs_nothing_special_shares_its_servers() {
        for case in all() {
            let shares = case.needs.iter().any(|need| matches!(need, Need::Progress | Need::GrpcProxy));
            assert!(!case.is_exclusive() || case.forbids_foreign().is_some(), "{}", case.id);
            assert!(case.is_exclusive() || shares || case.forbids_foreign().is_none(), "{}", case.id);
            let servers = [Need::Control, Need::Proxy, Need::GrpcProxy];
            let wants = servers.iter().any(|need| case.needs.contains(need));
            assert!(!(wants && matches!(case.topology, Topology::None)), "{}", case.id);
        }
    }

    #[test]
    fn most_cases_can_be_simulated() {
        let simulated = all().iter().filter(|case| case.runs_on(Runtime::Sim)).count();
        assert!(simulated * 4 >= all().len() * 3, "{simulated} of {}", all().len());
        for id in ["KV-001", "KV-020", "KV-023.grpc-proxy", "KV-023.proxy", "KV-047", "WATCH-032"] {
            let case = all().iter().find(|case| case.name() == id);
            assert!(case.is_some_and(|case| !case.runs_on(Runtime::Sim)), "{id}");
        }
    }

    #[test]
    fn most_cases_run_on_the_event_loop() {
        let on_loop = all().iter().filter(|case| case.runs_on(Runtime::Loop)).count();
        assert!(on_loop >= 30 && on_loop * 3 >= all().len() * 2, "{on_loop} of {}", all().len());
    }
}
