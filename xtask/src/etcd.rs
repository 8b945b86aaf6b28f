//! `cargo xtask etcd [3.4|3.5|3.6|3.7|EXACT]`: provides an etcd server binary and prints its path; `3.7-gofail` is one
//! that is built with failpoints. The work is done by the conformance program, which offers the same to users.

use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, output, run as run_command};

/// Runs the task.
///
/// # Errors
/// A wrong argument, or no binary could be provided; the reason is on standard error.
pub(crate) fn run(args: &[String]) -> Outcome {
    run_command(provider().args(args))
}

/// Provides a server binary of this version and gives its path.
///
/// # Errors
/// As [`run`].
pub(crate) fn program(version: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(output(provider().arg(version))?.trim().to_owned())
}

fn provider() -> Command {
    cargo(&["run", "--quiet", "-p", "etcdium-conformance", "--bin", "etcdium-conformance", "--", "etcd"])
}
