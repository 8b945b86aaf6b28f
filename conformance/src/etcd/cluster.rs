//! A cluster of real servers.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::member::Common;
use super::process::TICK;
use super::provision::Provisioned;
use super::slots::Slot;
use super::watchdog::Watchdog;
use super::{ClusterConfig, LaunchError, Member};

/// Generous, for machines that do much else; it usually takes well under two seconds.
const START: Duration = Duration::from_secs(60);
/// How often a start is repeated on other ports.
const TRIES: usize = 5;

/// Running servers, ended and cleared away on drop. Made by [`ClusterConfig::start`].
///
/// When it is dropped by a panic, the ends of all logs are printed to standard error.
#[derive(Debug)]
pub struct Cluster {
    common: Arc<Common>,
    members: Vec<Member>,
    folder: PathBuf,
    _slot: Slot,
}

impl Cluster {
    pub(super) fn start(config: &ClusterConfig) -> Result<Self, LaunchError> {
        // Before a slot is taken: this may take minutes.
        let etcd = config.provide()?;
        let common = Arc::new(Common { etcd, config: config.clone(), watchdog: Watchdog::get()? });
        let mut tries = 1;
        loop {
            let cluster = Self::prepare(&common, Slot::acquire()?)?;
            let started = cluster.members.iter().try_for_each(Member::restart);
            match started.and_then(|()| cluster.wait_ready(START)) {
                Ok(()) => return Ok(cluster),
                Err(LaunchError::Exited { log, .. })
                    if tries < TRIES && log.contains("address already in use") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn prepare(common: &Arc<Common>, slot: Slot) -> Result<Self, LaunchError> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = common.watchdog.root().join(&name);
        fs::create_dir(&folder).map_err(LaunchError::io("making a cluster's folder"))?;
        let mut cluster = Self { common: Arc::clone(common), members: Vec::new(), folder, _slot: slot };
        for index in 0..common.config.topology.members() {
            let member = Member::new(Arc::clone(common), index, &cluster.folder)?;
            cluster.members.push(member);
        }
        let everyone: Vec<String> = cluster.members.iter().map(Member::introduction).collect();
        // The folder's whole path, since clusters of other processes may meet each other's ports.
        let token = cluster.folder.display().to_string();
        for member in &mut cluster.members {
            member.join(&everyone.join(","), &token);
        }
        Ok(cluster)
    }

    /// The binary in use.
    pub fn etcd(&self) -> &Provisioned {
        &self.common.etcd
    }

    /// All members, in a fixed order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The client URLs of all members, running or not.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// Waits until every member is healthy.
    ///
    /// # Errors
    ///
    /// [`LaunchError::TimedOut`] with the last cause; [`LaunchError::Exited`] and [`LaunchError::NotRunning`] at once.
    pub fn wait_ready(&self, time: Duration) -> Result<(), LaunchError> {
        let begin = Instant::now();
        self.members.iter().try_for_each(|member| member.wait_ready(time.saturating_sub(begin.elapsed())))
    }

    /// The member that says that it leads, if one does just now.
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.is_leader())
    }

    /// Waits until a member says that it leads.
    ///
    /// # Errors
    ///
    /// [`LaunchError::TimedOut`].
    pub fn wait_leader(&self, time: Duration) -> Result<&Member, LaunchError> {
        let begin = Instant::now();
        loop {
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            if begin.elapsed() >= time {
                return Err(LaunchError::TimedOut { waiting_for: "a leader".to_owned(), after: time });
            }
            thread::sleep(TICK);
        }
    }

    /// Kills all members with SIGKILL and starts them again on the same data and ports; returns when they serve.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when a member cannot be started or is not healthy within a minute.
    pub fn restart(&self) -> Result<(), LaunchError> {
        self.members.iter().for_each(Member::kill);
        self.members.iter().try_for_each(Member::restart)?;
        self.wait_ready(START)
    }

    /// Prints the last 100 lines of every member's log to standard error.
    pub fn print_logs(&self) {
        for member in &self.members {
            eprintln!("--- the end of the log of etcd {} ({})", member.name(), member.endpoint());
            eprintln!("{}", member.log_tail(100));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_logs();
        }
        self.members.clear();
        // The watchdog removes what stays.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
