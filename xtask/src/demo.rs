//! `cargo xtask demo`: starts a real etcd, or the model with `--embedded`, and uses it from every runtime. The demo itself
//! is a program of the conformance package.

use crate::Outcome;
use crate::cargo::{cargo, run as run_command};

/// Runs the task.
///
/// # Errors
/// The demo failed.
pub(crate) fn run(args: &[String]) -> Outcome {
    run_command(
        cargo(&["run", "--quiet", "-p", "etcdium-conformance", "--bin", "etcdium-demo", "--"]).args(args),
    )
}
