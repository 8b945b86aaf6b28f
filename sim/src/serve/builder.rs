//! Settings of a server.

use std::io;
use std::net::SocketAddr;

use super::SimServer;
use crate::model::{ClusterConfig, Version};

/// Settings of a [`SimServer`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start`"]
pub struct SimServerBuilder {
    pub(super) cluster: ClusterConfig,
    pub(super) listen: SocketAddr,
    pub(super) seed: u64,
    pub(super) virtual_time: bool,
}

impl Default for SimServerBuilder {
    fn default() -> Self {
        Self {
            cluster: ClusterConfig::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 0,
            virtual_time: false,
        }
    }
}

impl SimServerBuilder {
    /// How many members. Default 1.
    pub fn members(mut self, members: usize) -> Self {
        self.cluster.members = members.max(1);
        self
    }

    /// Which version of etcd it behaves like, from 3.4 to 3.7. Default 3.7.
    pub fn version(mut self, version: Version) -> Self {
        self.cluster.version = version;
        self
    }

    /// Everything else about the cluster: limits, timings, learners. Replaces what was set before.
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

    /// Starts the server.
    ///
    /// # Errors
    /// An address cannot be bound, or the thread cannot be started.
    pub fn start(self) -> io::Result<SimServer> {
        SimServer::launch(self)
    }
}
