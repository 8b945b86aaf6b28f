//! Settings of a server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::SimServer;
use crate::model::{ClusterConfig, ProxyConfig, V3_4, V3_7, Version};

/// Longest time that a setting may be; longer ones are wrong, and longer lags are this long.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400 * 365);
/// Each member takes a port.
const MOST_MEMBERS: usize = 100;

/// Settings of a [`SimServer`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start`"]
pub struct SimServerBuilder {
    pub(super) cluster: ClusterConfig,
    pub(super) listen: SocketAddr,
    pub(super) seed: u64,
    pub(super) virtual_time: bool,
    pub(super) proxy: Option<ProxyConfig>,
}

impl Default for SimServerBuilder {
    fn default() -> Self {
        Self {
            cluster: ClusterConfig::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 0,
            virtual_time: false,
            proxy: None,
        }
    }
}

impl SimServerBuilder {
    /// How many members, from 1 to 100. Default 1.
    pub fn members(mut self, members: usize) -> Self {
        self.cluster.members = members;
        self
    }

    /// Which version of etcd it behaves like, from 3.4 to 3.7. Default 3.7.
    pub fn version(mut self, version: Version) -> Self {
        self.cluster.version = version;
        self
    }

    /// Everything else about the cluster: limits, timings, learners. Replaces what was set before. No time may be longer than
    /// a year, and there must be more members than learners.
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.cluster = cluster;
        self
    }

    /// Where the first member listens; the others take the ports that follow. With port 0 each takes a free one.
    /// Default `127.0.0.1:0`.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// What everything random is drawn from. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets the server's time pass only by [`SimServer::advance`]: leases expire, elections end and progress is told
    /// when the test says so. The clients' time goes on as ever. Default: real time.
    pub fn virtual_time(mut self) -> Self {
        self.virtual_time = true;
        self
    }

    /// Puts etcd's grpc-proxy in front of the cluster: there is one endpoint, its own, and no client reaches a member.
    /// Default: none.
    pub fn grpc_proxy(self) -> Self {
        self.grpc_proxy_with(ProxyConfig::default())
    }

    /// The same, with settings.
    pub fn grpc_proxy_with(mut self, config: ProxyConfig) -> Self {
        self.proxy = Some(config);
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for settings that make no cluster; an address cannot be bound, or the
    /// thread cannot be started.
    pub fn start(self) -> io::Result<SimServer> {
        self.check().map_err(|wrong| io::Error::new(io::ErrorKind::InvalidInput, wrong))?;
        SimServer::launch(self)
    }

    fn check(&self) -> Result<(), String> {
        let ClusterConfig { members, learners, version, .. } = self.cluster;
        if members == 0 || members > MOST_MEMBERS {
            return Err(format!("{members} members: there must be 1 to {MOST_MEMBERS}"));
        }
        if learners >= members {
            return Err(format!("{learners} of {members} members are learners: no one is left to lead"));
        }
        if !(V3_4..=V3_7).contains(&version) {
            return Err(format!("version {version}: the model knows {V3_4} to {V3_7}"));
        }
        if self.cluster.election_timeout.is_zero() {
            return Err("the election time-out is 0".to_owned());
        }
        let disorder = &self.cluster.watch_disorder;
        let mut times = vec![
            ("election_timeout", self.cluster.election_timeout),
            ("commit_latency", self.cluster.commit_latency),
            ("progress_interval", self.cluster.progress_interval),
            ("send_delay", disorder.send_delay),
            ("create_delay", disorder.create_delay),
            ("sync_delay", disorder.sync_delay),
        ];
        if let Some(proxy) = &self.proxy {
            times.extend([("create_delay", proxy.create_delay), ("resume_delay", proxy.resume_delay)]);
        }
        match times.into_iter().find(|(_, time)| *time > LONGEST) {
            Some((name, time)) => Err(format!("{name} {time:?}: no more than a year is understood")),
            None => Ok(()),
        }
    }
}
