//! A real etcd for the load that needs one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::cpu::{self, Cpus};
use crate::process::Running;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions whether it has started.
const PAUSE: Duration = Duration::from_millis(50);

/// The running server; dropping it ends it and removes its data.
pub(crate) struct Etcd {
    process: Option<Running>,
    folder: PathBuf,
    addr: String,
}

impl Etcd {
    /// Starts the program on the stub's CPU and waits until it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(program: &Path, cpus: Cpus) -> Result<Self, Error> {
        let (port, peer_port) = (free_port()?, free_port()?);
        let addr = format!("127.0.0.1:{port}");
        let folder = std::env::temp_dir().join(format!("etcdium-bench-{}", std::process::id()));
        let (url, peer_url) = (format!("http://{addr}"), format!("http://127.0.0.1:{peer_port}"));
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(&folder).args(["--unsafe-no-fsync", "--log-level", "error"]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        command.arg("--initial-cluster").arg(format!("default={peer_url}"));
        cpu::pin(cpus.stub)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        cpu::pin(cpus.client)?;
        let process = child.map_err(|error| format!("{}: {error}", program.display()))?;
        let etcd = Self { process: Some(Running(process)), folder, addr };
        let deadline = Instant::now() + PATIENCE;
        while !etcd.is_healthy() {
            if Instant::now() > deadline {
                return Err(format!("{} does not serve after {PATIENCE:?}", program.display()).into());
            }
            thread::sleep(PAUSE);
        }
        Ok(etcd)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.addr) else { return false };
        let mut answer = String::new();
        stream.set_read_timeout(Some(PATIENCE)).is_ok()
            && stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains("\"true\"")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
