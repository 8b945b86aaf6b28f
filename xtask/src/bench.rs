//! `cargo xtask bench`: the benchmarks, a workspace of their own. Their runner builds the clients, knows the arguments
//! (`--help`) and prints the results.

use crate::Outcome;
use crate::cargo::{cargo, root, run as run_command};
use crate::etcd;

/// The load that needs an etcd server, and which one it gets.
const NEEDS_ETCD: &str = "watchers10k";
const ETCD: &str = "3.7";

/// Builds the runner in release mode and runs it with these arguments.
///
/// # Errors
/// The benchmarks do not build or fail.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut command = cargo(&["run", "--release", "--locked", "--quiet", "--package", "bench-runner"]);
    // Paths among the arguments are relative to where the user is.
    command.current_dir(std::env::current_dir()?);
    command.arg("--manifest-path").arg(root().join("bench/Cargo.toml"));
    command.arg("--").args(args);
    if needs_etcd(args) {
        match etcd::program(ETCD) {
            Ok(program) => drop(command.arg("--etcd").arg(program)),
            Err(error) => {
                eprintln!("WARNING: {NEEDS_ETCD} is left out, since there is no etcd {ETCD}: {error}")
            }
        }
    }
    run_command(&mut command)
}

/// Whether the load that needs an etcd is among those that are asked for, and none is named.
fn needs_etcd(args: &[String]) -> bool {
    let names = |name: &str| args.iter().any(|arg| arg == name);
    let chosen = !names("--workload") || names(NEEDS_ETCD);
    chosen && !["--etcd", "--callgrind", "--help"].into_iter().any(names)
}
