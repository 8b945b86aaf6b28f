//! `cargo xtask bench`: builds and runs the benchmarks, a workspace of their own.

use crate::Outcome;
use crate::cargo::{cargo, root, run as run_command};

/// Runs the task.
///
/// # Errors
/// The benchmarks do not build or fail.
pub(crate) fn run(args: &[String]) -> Outcome {
    let build = ["build", "--release", "--locked", "--manifest-path", "bench/Cargo.toml"];
    run_command(&mut cargo(&build))?;
    let run = ["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--bin", "runner", "--"];
    run_command(cargo(&run).args(args).current_dir(root()))
}
