//! One server process: started under the watchdog's eye, signalled, reaped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::watchdog::Watchdog;

/// Waits for the word before it becomes the server: it must not run before the watchdog knows of it. When this process
/// is killed between the two, the shell reads the end of the pipe and ends.
const GATE: &str = r#"read -r go && exec "$0" "$@" </dev/null"#;

/// The variable by which a server with failpoints is told where to listen for them.
pub(super) const FAILPOINTS: &str = "GOFAIL_HTTP";

/// How often a condition is looked at while it is waited for.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// A running server, or one that ended and was not noticed yet. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    watchdog: &'static Watchdog,
    /// Reaped and struck off the watchdog's list. From then on the process id may be someone else's.
    ended: Option<ExitStatus>,
    stopped: bool,
}

impl Process {
    /// Runs `binary` in `folder`, with `environment` added to its own, and with what it prints appended to `log`.
    pub(super) fn start(
        watchdog: &'static Watchdog,
        binary: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        folder: &Path,
        log: &Path,
    ) -> io::Result<Self> {
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", GATE])
            .arg(binary)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A terminal's interrupt ends the tests, and they end their servers.
            .process_group(0);
        // etcd takes every flag from the environment as well.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        command.env_remove(FAILPOINTS).envs(environment.iter().map(|(name, value)| (name, value)));
        let child = command.spawn()?;
        // From here on an early return drops, and so kills, the process.
        let mut process = Self { child, watchdog, ended: None, stopped: false };
        watchdog.guard(process.pid())?;
        if let Some(mut gate) = process.child.stdin.take() {
            gate.write_all(b"go\n")?;
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(super) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                self.watchdog.release(self.pid());
            }
        }
        Ok(self.ended)
    }

    /// Sends a signal; an error of kind `NotFound` when the process has ended.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.exited()?.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }

    /// Stops it. Returns when all its threads have stopped, which on a busy machine is well after the signal was sent.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.signal(Signal::STOP)?;
        let pid = Pid::from_child(&self.child);
        while waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?.is_none() {
            if self.exited()?.is_some() {
                return Err(io::ErrorKind::NotFound.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.stopped = true;
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)?;
        self.stopped = false;
        Ok(())
    }

    /// Waits until it has ended; false when it has not within the time.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<bool> {
        let begin = Instant::now();
        while self.exited()?.is_none() {
            if begin.elapsed() >= time {
                return Ok(false);
            }
            thread::sleep(TICK);
        }
        Ok(true)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Its own child cannot be missing or out of reach.
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.watchdog.release(self.pid());
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path, lines: usize) -> String {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
