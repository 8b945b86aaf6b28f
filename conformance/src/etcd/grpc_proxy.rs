//! etcd's own proxy of its gRPC interface, before a cluster.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ports::Port;
use super::process::{Process, TICK, tail};
use super::provision::Provisioned;
use super::watchdog::Watchdog;
use super::{Cluster, LaunchError, http};

/// How long it may take until it serves; it usually takes well under a second.
const START: Duration = Duration::from_secs(30);

/// A running `etcd grpc-proxy` on loopback, ended and cleared away on drop. It joins the watches of its clients, chooses
/// their ids itself, and knows no members.
#[derive(Debug)]
pub struct GrpcProxy {
    etcd: Provisioned,
    watchdog: &'static Watchdog,
    endpoints: Vec<String>,
    port: Port,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

impl GrpcProxy {
    /// Starts one before all members of a cluster, of the cluster's own version, and waits until it serves.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when it cannot be started, ends, or does not serve within half a minute.
    pub fn start(cluster: &Cluster) -> Result<Self, LaunchError> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let watchdog = Watchdog::get()?;
        let folder = watchdog.root().join(format!("p{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).map_err(LaunchError::io("making a proxy's folder"))?;
        let port = Port::reserve().map_err(LaunchError::io("finding a free port on 127.0.0.1"))?;
        let (etcd, endpoints) = (cluster.etcd().clone(), cluster.endpoints());
        let proxy = Self { etcd, watchdog, endpoints, port, folder, process: Mutex::new(None) };
        proxy.restart()?;
        Ok(proxy)
    }

    /// Its URL: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        self.port.url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The process id, when it is running.
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let process = process.as_mut()?;
        matches!(process.exited(), Ok(None)).then(|| process.pid())
    }

    /// SIGKILL. Without effect when it is not running.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Starts it again at the same address, and waits until it serves; one that is running is killed first.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when it cannot be started, ends, or does not serve within half a minute.
    pub fn restart(&self) -> Result<(), LaunchError> {
        let arguments = [
            "grpc-proxy".to_owned(),
            "start".to_owned(),
            format!("--endpoints={}", self.endpoints.join(",")),
            format!("--listen-addr={}", self.address()),
            // 3.5 and 3.6 call themselves at this address before they serve, and end if that fails.
            format!("--advertise-client-url={}", self.address()),
            format!("--data-dir={}", self.folder.join("data").display()),
        ];
        {
            let mut process = self.process();
            drop(process.take());
            let log = self.log_file();
            let started = Process::start(self.watchdog, &self.etcd.path, &arguments, &[], &self.folder, &log);
            *process = Some(started.map_err(LaunchError::io("starting etcd grpc-proxy"))?);
        }
        self.wait_ready(START)
    }

    fn wait_ready(&self, time: Duration) -> Result<(), LaunchError> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process().as_mut().map_or(Ok(None), Process::exited).ok().flatten() {
                let (member, log) = ("grpc-proxy".to_owned(), self.log_tail(30));
                return Err(LaunchError::Exited { member, status, log });
            }
            let error = match self.check_health() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if begin.elapsed() >= time {
                let waiting_for = format!("health of etcd grpc-proxy: {error}\n{}", self.log_tail(30));
                return Err(LaunchError::TimedOut { waiting_for, after: time });
            }
            thread::sleep(TICK);
        }
    }

    /// That it reaches the cluster.
    fn check_health(&self) -> io::Result<()> {
        let body = http::get(self.address(), "/health")?;
        if body.contains(r#""health":"true""#) { Ok(()) } else { Err(io::Error::other(body)) }
    }

    /// The file that gets everything it prints.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log_file(), lines)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GrpcProxy {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the end of the log of etcd grpc-proxy ({})", self.endpoint());
            eprintln!("{}", self.log_tail(100));
        }
        self.kill();
        // The watchdog removes what stays.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
