//! Ends servers that outlive this process.
//!
//! Drop does the work as long as drops run. They do not when the process is killed or aborts, nor for statics at a
//! normal exit. So each process that starts servers first starts one small shell that reads a pipe whose other end only
//! this process holds: servers are announced and struck off there by process id, and when the pipe ends, however this
//! process ended, the shell kills what is still on the list and removes the temporary folder. A server's own start is
//! gated (see `process.rs`), so that it never runs unannounced.
//!
//! The kernel's parent-death signal would not do: it is tied to the thread that started the child, and test threads end
//! before the servers they share.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, io};

use super::LaunchError;

/// `$0` is the temporary folder. Killed servers may write for a moment longer, so the removal is repeated.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cd /
list=' '
while read -r verb pid; do
    case $verb in
        guard) list="$list$pid " ;;
        release) case $list in *" $pid "*) list="${list%% $pid *} ${list#* $pid }" ;; esac ;;
    esac
done
for pid in $list; do kill -9 "$pid"; done
tries=0
until rm -rf "$0" || [ $tries -ge 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

/// The shell that outlives this process, and the folder it removes.
#[derive(Debug)]
pub(super) struct Watchdog {
    pipe: Mutex<ChildStdin>,
    root: PathBuf,
}

impl Watchdog {
    /// The one of this process, started at the first call.
    pub(super) fn get() -> Result<&'static Self, LaunchError> {
        static WATCHDOG: OnceLock<Result<Watchdog, LaunchError>> = OnceLock::new();
        let started = WATCHDOG.get_or_init(|| {
            let root = temporary_root();
            Self::start(&root)
                .map_err(LaunchError::io(format!("starting the watchdog of {}", root.display())))
        });
        started.as_ref().map_err(Clone::clone)
    }

    fn start(root: &Path) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(root)?;
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg(root)
            .stdin(Stdio::piped())
            // Inherited outputs would keep a reader of this process's output waiting.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a terminal's interrupt, which goes to the whole foreground group.
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { pipe: Mutex::new(pipe), root: root.to_owned() })
    }

    /// Private to this process and removed after its end, whatever way it ends.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// From now on the process is killed when this one ends.
    pub(super) fn guard(&self, pid: u32) -> io::Result<()> {
        self.tell(&format!("guard {pid}\n"))
    }

    /// The process has ended: its id may come to mean another one.
    pub(super) fn release(&self, pid: u32) {
        // Without a watchdog there is no list to strike it off.
        let _ = self.tell(&format!("release {pid}\n"));
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        // One write of a short line: the shell never sees half of one, even if this process is killed here.
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }
}

fn temporary_root() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    env::temp_dir().join(format!("etcdium-{}-{:x}", std::process::id(), now.as_micros()))
}
