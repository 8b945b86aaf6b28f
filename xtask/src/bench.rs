//! `cargo xtask bench`: the benchmarks, a workspace of their own. Their runner builds the clients, knows the arguments
//! (`--help`) and prints the results.

use crate::Outcome;
use crate::cargo::{cargo, root, run as run_command};

/// Builds the runner in release mode and runs it with these arguments.
///
/// # Errors
/// The benchmarks do not build or fail.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut command = cargo(&["run", "--release", "--locked", "--quiet", "--package", "bench-runner"]);
    // Paths among the arguments are relative to where the user is.
    command.current_dir(std::env::current_dir()?);
    command.arg("--manifest-path").arg(root().join("bench/Cargo.toml"));
    run_command(command.arg("--").args(args))
}
