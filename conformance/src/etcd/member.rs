//! One member of a cluster.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::ports::Port;
use super::process::{FAILPOINTS, Process, TICK, tail};
use super::provision::Provisioned;
use super::watchdog::Watchdog;
use super::{ClusterConfig, LaunchError, http, metrics};

/// How long a server may take to end after SIGTERM: a leader first hands over, open streams are drained.
const GRACE: Duration = Duration::from_secs(20);
/// A NOSPACE alarm is what some cases are about; such a server still answers.
const HEALTH: &str = "/health?exclude=NOSPACE";

/// What the members of a cluster have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) etcd: Provisioned,
    pub(super) config: ClusterConfig,
    pub(super) watchdog: &'static Watchdog,
}

/// One server of a cluster, running or not. Its ports and data stay the same over its life.
#[derive(Debug)]
pub struct Member {
    common: Arc<Common>,
    name: String,
    folder: PathBuf,
    client: Port,
    peer: Port,
    socket: Option<String>,
    /// Where failpoints are set, if it has any.
    failpoints: Option<Port>,
    /// The flags that make it this member of this cluster.
    identity: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Member {
    pub(super) fn new(common: Arc<Common>, index: usize, cluster: &Path) -> Result<Self, LaunchError> {
        let name = format!("m{index}");
        let folder = cluster.join(&name);
        fs::create_dir(&folder).map_err(LaunchError::io("making a member's folder"))?;
        let port = || Port::reserve().map_err(LaunchError::io("finding a free port on 127.0.0.1"));
        // Relative to the member's folder, since etcd 3.4 refuses absolute paths; it also insists on a port, which
        // becomes part of the file's name.
        let socket = common.config.unix_sockets.then(|| "client:0".to_owned());
        Ok(Self {
            client: port()?,
            peer: port()?,
            failpoints: common.config.failpoints.then(port).transpose()?,
            common,
            name,
            folder,
            socket,
            identity: Vec::new(),
            process: Mutex::new(None),
        })
    }

    /// `name=peer URL`, as all members must be told it.
    pub(super) fn introduction(&self) -> String {
        format!("{}={}", self.name, self.peer.url())
    }

    /// Settles what it is started with, once all members are known.
    pub(super) fn join(&mut self, everyone: &str, token: &str) {
        let mut listen = self.client.url();
        if let Some(socket) = &self.socket {
            listen.push_str(&format!(",unix://{socket}"));
        }
        self.identity = [
            ("name", self.name.as_str()),
            ("data-dir", "data"),
            ("listen-client-urls", &listen),
            ("advertise-client-urls", &self.client.url()),
            ("listen-peer-urls", &self.peer.url()),
            ("initial-advertise-peer-urls", &self.peer.url()),
            ("initial-cluster", everyone),
            ("initial-cluster-token", token),
        ]
        .map(|(name, value)| format!("--{name}={value}"))
        .to_vec();
    }

    /// The name given to etcd: `m0`, `m1`, `m2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client URL: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        self.client.url()
    }

    /// Where it listens for clients.
    pub fn client_address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Where it listens for other members.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer.address()
    }

    pub(super) fn failpoints_address(&self) -> Option<SocketAddr> {
        self.failpoints.as_ref().map(Port::address)
    }

    /// The path of its Unix socket, when the cluster was configured with
    /// [`unix_sockets`](ClusterConfig::unix_sockets).
    pub fn unix_socket(&self) -> Option<PathBuf> {
        self.socket.as_ref().map(|socket| self.folder.join(socket))
    }

    /// The folder of its data, which [`Member::restart`] keeps.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The process id, when a server is running.
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let process = process.as_mut()?;
        matches!(process.exited(), Ok(None)).then(|| process.pid())
    }

    /// Whether a server is running, be it paused.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// SIGKILL: it ends without a chance to do anything. Without effect when no server is running.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// SIGTERM: it ends in good order, a leader hands over first. Returns when it has ended. A paused server is woken.
    ///
    /// # Errors
    ///
    /// [`LaunchError::NotRunning`] when no server is running, [`LaunchError::TimedOut`] when it does not end.
    pub fn terminate(&self) -> Result<(), LaunchError> {
        self.act(|process| process.signal(Signal::TERM))?;
        // It may have ended in between, which is what is wanted.
        let _ = self.resume();
        let mut process = self.process();
        let ended = match process.as_mut() {
            Some(process) => {
                process.wait(GRACE).map_err(LaunchError::io(format!("waiting for {}", self.name)))?
            }
            None => true,
        };
        if !ended {
            let waiting_for = format!("etcd {} to end after SIGTERM", self.name);
            return Err(LaunchError::TimedOut { waiting_for, after: GRACE });
        }
        drop(process.take());
        Ok(())
    }

    /// SIGSTOP: it keeps its connections and answers nothing until [`Member::resume`]. Returns when it has stopped.
    ///
    /// # Errors
    ///
    /// [`LaunchError::NotRunning`] when no server is running.
    pub fn pause(&self) -> Result<(), LaunchError> {
        self.act(Process::pause)
    }

    /// SIGCONT: it goes on after [`Member::pause`].
    ///
    /// # Errors
    ///
    /// [`LaunchError::NotRunning`] when no server is running.
    pub fn resume(&self) -> Result<(), LaunchError> {
        self.act(Process::resume)
    }

    /// Starts the server again on the same data and ports; one that is running is killed first. Returns when the
    /// process runs; it serves when [`Member::wait_ready`] says so.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when the process cannot be started.
    pub fn restart(&self) -> Result<(), LaunchError> {
        self.restart_with(&[])
    }

    /// Like [`Member::restart`], with flags changed or added for this run only; names as in [`ClusterConfig::flag`].
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when a flag is refused or the process cannot be started.
    pub fn restart_with(&self, changes: &[(&str, &str)]) -> Result<(), LaunchError> {
        let Common { etcd, config, watchdog } = &*self.common;
        let mut arguments = self.identity.clone();
        arguments.extend(config.flags(etcd, changes)?);
        let mut process = self.process();
        drop(process.take());
        if let Some(socket) = self.unix_socket() {
            // A killed server leaves it, and etcd 3.4 takes it for one in use. At the first start it is not there.
            let _ = fs::remove_file(socket);
        }
        let failpoints = self.failpoints.as_ref().map(|port| (FAILPOINTS, port.address().to_string()));
        let (environment, log) = (failpoints.as_slice(), self.log_file());
        let started = Process::start(watchdog, &etcd.path, &arguments, environment, &self.folder, &log);
        *process = Some(started.map_err(LaunchError::io(format!("starting etcd {}", self.name)))?);
        Ok(())
    }

    /// Asks it once for its health: that it serves, and that the cluster has a leader and a quorum. An alarm about
    /// space is no illness.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Exited`] when it ended by itself, [`LaunchError::NotRunning`] when it was ended, and
    /// [`LaunchError::Io`] when it does not answer in a second or answers that it is not healthy.
    pub fn check_health(&self) -> Result<(), LaunchError> {
        match self.process().as_mut().map(Process::exited) {
            Some(Ok(None)) => {}
            Some(Ok(Some(status))) => {
                return Err(LaunchError::Exited {
                    member: self.name.clone(),
                    status,
                    log: self.log_tail(30),
                });
            }
            Some(Err(error)) => return Err(LaunchError::io("looking after a server")(error)),
            None => return Err(LaunchError::NotRunning { member: self.name.clone() }),
        }
        let told = http::get(self.client_address(), HEALTH).and_then(|body| {
            if body.contains(r#""health":"true""#) { Ok(()) } else { Err(std::io::Error::other(body)) }
        });
        told.map_err(LaunchError::io(format!("health of etcd {}", self.name)))
    }

    /// Waits until it is healthy.
    ///
    /// # Errors
    ///
    /// [`LaunchError::TimedOut`] with the last cause; [`LaunchError::Exited`] and [`LaunchError::NotRunning`] at once.
    pub fn wait_ready(&self, time: Duration) -> Result<(), LaunchError> {
        let begin = Instant::now();
        loop {
            let error = match self.check_health() {
                Ok(()) => return Ok(()),
                Err(error @ LaunchError::Io { .. }) => error,
                Err(error) => return Err(error),
            };
            if begin.elapsed() >= time {
                let waiting_for = format!("{error}; the end of its log:\n{}", self.log_tail(30));
                return Err(LaunchError::TimedOut { waiting_for, after: time });
            }
            thread::sleep(TICK);
        }
    }

    /// Whether it says that it leads. A server that does not answer in a second leads nothing.
    pub fn is_leader(&self) -> bool {
        let led = |metrics: String| metrics.lines().any(|line| line == "etcd_server_is_leader 1");
        self.metrics().is_ok_and(led)
    }

    /// Its member id in the cluster.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] when it does not answer.
    pub fn member_id(&self) -> Result<u64, LaunchError> {
        let metrics = self.metrics()?;
        let id = metrics.lines().find_map(|line| {
            let (id, _) = line.strip_prefix(r#"etcd_server_id{server_id=""#)?.split_once('"')?;
            u64::from_str_radix(id, 16).ok()
        });
        id.ok_or_else(|| {
            LaunchError::io(format!("member id of etcd {}", self.name))(
                std::io::ErrorKind::InvalidData.into(),
            )
        })
    }

    /// Its metrics page, in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] when it does not answer in a second.
    pub fn metrics(&self) -> Result<String, LaunchError> {
        http::get(self.client_address(), "/metrics")
            .map_err(LaunchError::io(format!("metrics of etcd {}", self.name)))
    }

    /// One of its metrics: the sum over all series of this name that carry these labels, and maybe others. `None` if it
    /// has no such series; counters with labels have none before they count for the first time.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] when it does not answer in a second.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<Option<f64>, LaunchError> {
        Ok(metrics::sum(&self.metrics()?, name, labels))
    }

    /// The file that gets everything it prints, over all its restarts.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log_file(), lines)
    }

    fn act(&self, action: impl FnOnce(&mut Process) -> std::io::Result<()>) -> Result<(), LaunchError> {
        match self.process().as_mut().map(action) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(LaunchError::io(format!("signalling etcd {}", self.name))(error))
            }
            _ => Err(LaunchError::NotRunning { member: self.name.clone() }),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
