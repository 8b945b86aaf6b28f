//! `cargo xtask soak`: watches, leases and writers on every runtime while members of a real cluster are killed, stopped and
//! cut off. The soak itself is a part of the conformance package.

use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, run as run_command};

/// How long `cargo xtask test` soaks.
const MINUTES: &str = "1";

/// Runs the task: what it is given goes to `etcdium-conformance soak`.
///
/// # Errors
/// Something was told that is not so, or the servers did not recover.
pub(crate) fn run(args: &[String]) -> Outcome {
    run_command(soak().args(args))
}

/// What `cargo xtask test` does, on one version of etcd.
///
/// # Errors
/// As [`run`].
pub(crate) fn check(etcd: Option<&str>) -> Outcome {
    let mut command = soak();
    command.args(["--minutes", MINUTES]);
    if let Some(version) = etcd {
        command.args(["--etcd", version]);
    }
    run_command(&mut command)
}

/// In release mode: the client shares the machine with three servers.
fn soak() -> Command {
    cargo(&[
        "run",
        "--quiet",
        "--release",
        "--locked",
        "-p",
        "etcdium-conformance",
        "--bin",
        "etcdium-conformance",
        "--",
        "soak",
    ])
}
