//! [`SimServer`]: an etcd inside of this process.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smol::channel::{Sender, bounded};

use super::SimServerBuilder;
use super::builder::LONGEST;
use super::engine::Engine;
use super::port::Port;
use crate::http::{Host, Runner};
use crate::model::{Backup, Cluster, Proxy};

/// Longest time that passes at once.
const AGE: Duration = Duration::from_secs(86_400 * 365 * 100);

/// An etcd inside of this process: a model of a cluster on loopback sockets, for tests. It keeps everything in memory
/// and ends when it is dropped.
///
/// It answers as etcd does, to any client, and does on request what is hard to have of a real one: members that die,
/// lag or lose their leader, connections that break or stall, history compacted at the worst moment, time that passes
/// when the test says so.
///
/// ```
/// use std::time::Duration;
///
/// use etcdium_sim::SimServer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = SimServer::builder().members(3).start()?;
/// smol::block_on(async {
///     let client = etcdium_smol::connect(server.endpoints()).await?;
///     client.put("config/limit", "100").await?;
///
///     // What is under test must live through the loss of a member.
///     server.kill(0);
///     let limit = client.get("config/limit").timeout(Duration::from_secs(20)).await?;
///     assert_eq!(limit.kvs[0].value, "100");
///     server.restart(0)?;
///
///     // Somebody compacts: old revisions are gone.
///     server.compact(server.revision());
///     let old = client.get("config/limit").revision(1).await.unwrap_err();
///     assert_eq!(old.etcd(), Some(etcdium_smol::EtcdError::Compacted));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// # Ok(()) }
/// ```
///
/// Methods that name a member count them from 0 and do nothing if there is no such member. With
/// [`grpc_proxy`](SimServerBuilder::grpc_proxy) those about connections mean the connections to the proxy, as those of
/// member 0.
pub struct SimServer {
    engine: Arc<Engine>,
    host: Host,
    /// One for each member, or one for the proxy.
    ports: Vec<Port>,
    members: usize,
    proxied: bool,
    end: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl SimServer {
    /// Starts one member on a free port of 127.0.0.1, in real time.
    ///
    /// # Errors
    /// No port or thread can be had.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Begins to set up a server.
    pub fn builder() -> SimServerBuilder {
        SimServerBuilder::default()
    }

    pub(super) fn launch(builder: SimServerBuilder) -> io::Result<Self> {
        let SimServerBuilder { cluster: config, mut listen, seed, virtual_time, proxy } = builder;
        let (members, proxied) = (config.members, proxy.is_some());
        let mut bound = Vec::new();
        for _ in 0..if proxied { 1 } else { members } {
            bound.push(Port::bind(listen)?);
            if listen.port() != 0 {
                let next = listen.port().checked_add(1);
                listen.set_port(next.ok_or(io::ErrorKind::AddrNotAvailable)?);
            }
        }
        let engine = Engine::new(virtual_time);
        // What is a little larger reaches etcd, to be refused there.
        let max_request = config.max_request_bytes.saturating_add(512 * 1024);
        let cluster = Cluster::new(config, engine.now(), seed);
        let host = match proxy {
            None => Host::new(cluster, engine.clone(), max_request),
            Some(config) => {
                let proxy = Proxy::new(cluster, config, engine.now(), seed);
                Host::proxied(proxy, engine.clone(), max_request)
            }
        };
        let (end, ended) = bounded(1);
        let running = engine.clone();
        let run = move || {
            smol::block_on(running.run(async {
                // Also when the sender is dropped.
                let _ = ended.recv().await;
            }));
        };
        let thread = thread::Builder::new().name("etcdium-sim".to_owned()).spawn(run)?;
        let mut ports = Vec::new();
        for (member, (port, listener)) in bound.into_iter().enumerate() {
            port.open(Some(listener), &engine, &host, member)?;
            ports.push(port);
        }
        Ok(Self { engine, host, ports, members, proxied, end, thread: Some(thread) })
    }

    /// The addresses of all members, running or not, as clients take them; the address of the proxy if there is one.
    pub fn endpoints(&self) -> Vec<String> {
        self.addresses().iter().map(SocketAddr::to_string).collect()
    }

    /// The addresses of all members, or of the proxy.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(|port| port.address).collect()
    }

    /// Kills a member: its connections break, new ones are refused.
    pub fn kill(&self, member: usize) {
        if member >= self.members {
            return;
        }
        if let Some(port) = self.ports.get(member).filter(|_| !self.proxied) {
            port.close();
        }
        self.host.kill(member);
    }

    /// Starts a member that was killed, on the same address. Ends [`refuse_connections`](Self::refuse_connections), too.
    ///
    /// # Errors
    /// Somebody else took its port meanwhile.
    pub fn restart(&self, member: usize) -> io::Result<()> {
        if member >= self.members {
            return Ok(());
        }
        if !self.host.is_up(member) {
            self.host.start(member);
        }
        let Some(port) = self.ports.get(member) else { return Ok(()) };
        port.open(None, &self.engine, &self.host, member)
    }

    /// Whether a member runs.
    pub fn is_up(&self, member: usize) -> bool {
        member < self.members && self.host.is_up(member)
    }

    /// Refuses new connections to a member until [`restart`](Self::restart); existing ones live on.
    pub fn refuse_connections(&self, member: usize) {
        if let Some(port) = self.ports.get(member) {
            port.close();
        }
    }

    /// Breaks every connection to a member.
    pub fn cut_connections(&self, member: usize) {
        self.host.cut(member);
    }

    /// Makes a member deaf and dumb, or lets it go on: its connections stay and nothing moves on them, as if its
    /// process were stopped.
    pub fn pause_connections(&self, member: usize, paused: bool) {
        if let Some(port) = self.ports.get(member) {
            port.gate.set_closed(paused);
        }
    }

    /// Tells the clients of a member to leave (GOAWAY): calls that are there go on, their connections take no further ones
    /// and end with the last. New connections are accepted.
    pub fn go_away(&self, member: usize) {
        self.host.go_away(member);
    }

    /// How many responses wait in the server for clients that do not read them.
    pub fn waiting_responses(&self) -> usize {
        self.host.waiting_outputs()
    }

    /// How many connections a member has.
    pub fn connections(&self, member: usize) -> usize {
        self.host.connections(member)
    }

    /// Makes a member the leader; with `None` there is none until this is called again.
    pub fn set_leader(&self, leader: Option<usize>) {
        if leader.is_none_or(|leader| leader < self.members) {
            self.host.with(|cluster, now| cluster.set_leader(now, leader));
        }
    }

    /// Cuts a member off from the others, or lets it come back: it has no leader then; they go on if they are a
    /// majority.
    pub fn isolate(&self, member: usize, isolated: bool) {
        if member < self.members {
            self.host.with(|cluster, now| cluster.isolate(now, member, isolated));
        }
    }

    /// Makes a member apply everything so much later than it is committed, but for more than a year.
    pub fn set_lag(&self, member: usize, lag: Duration) {
        if member < self.members {
            self.host.with(|cluster, now| cluster.set_lag(now, member, lag.min(LONGEST)));
        }
    }

    /// Makes a member refuse every call as "not capable", or no longer: so does one that does not know yet what version its
    /// cluster has.
    pub fn set_capable(&self, member: usize, capable: bool) {
        self.host.with(|cluster, _| cluster.set_capable(member, capable));
    }

    /// Saves what the cluster has stored.
    pub fn backup(&self) -> Backup {
        self.host.with(|cluster, _| cluster.backup())
    }

    /// Replaces the cluster by one made from a backup: revisions go back, all members start anew, and their connections
    /// break. It has the same cluster id, or the one given and with it other member ids.
    pub fn restore(&self, backup: &Backup, cluster_id: Option<u64>) {
        self.host.restore(backup, cluster_id);
    }

    /// Compacts the history up to a revision, as another client would.
    pub fn compact(&self, revision: i64) {
        self.host.with(|cluster, now| cluster.compact(now, revision));
    }

    /// The revision of the store.
    pub fn revision(&self) -> i64 {
        self.host.with(|cluster, _| cluster.committed_revision())
    }

    /// Lets time pass for a server with [`virtual_time`](SimServerBuilder::virtual_time); for others nothing happens.
    /// The cluster has done all that is due meanwhile on return; what it answers may still be on its way. No more than a
    /// hundred years pass at once.
    pub fn advance(&self, time: Duration) {
        if !self.engine.is_virtual() {
            return;
        }
        let end = self.engine.now() + time.min(AGE);
        while let Some(at) = self.host.handle_timeout().filter(|at| *at <= end) {
            // Whatever is due and stays so must not stop the clock.
            self.engine.set(at.max(self.engine.now() + Duration::from_nanos(1)));
        }
        self.engine.set(end);
        self.host.handle_timeout();
    }

    /// The time by which the server lives.
    pub fn now(&self) -> Instant {
        self.engine.now()
    }

    /// The cluster behind it, for what has no method here. What ends the calls of members has: clients would never hear of
    /// it.
    pub fn with_cluster<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.host.with(work)
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        self.ports.iter().for_each(Port::close);
        self.host.stop();
        // Fails only if the thread has ended.
        let _ = self.end.try_send(());
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SimServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimServer").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}
