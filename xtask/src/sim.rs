//! `cargo xtask sim`: seeds of the simulated world, and the bugs planted in the core that it has to find.

use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, run as run_command, target_dir};

/// How many seeds `cargo xtask test` runs.
const SEEDS: &str = "20000";

/// And how many with watches.
const WATCH_SEEDS: &str = "25000";

/// And how many with leases.
const LEASE_SEEDS: &str = "25000";

/// And how many of the scripted client's watches and leases.
const SCRIPTED_SEEDS: &str = "5000";

/// Runs the task: what it is given goes to `etcdium-sim run`.
///
/// # Errors
/// A rule was broken, or a planted bug was not found.
pub(crate) fn run(args: &[String]) -> Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args.contains(&"--planted") { planted(&args) } else { seeds(&args) }
}

/// What `cargo xtask test` checks.
///
/// # Errors
/// As [`run`].
pub(crate) fn check() -> Outcome {
    seeds(&["--seeds", SEEDS])?;
    seeds(&["--mix", "watch", "--seeds", WATCH_SEEDS])?;
    seeds(&["--mix", "lease", "--seeds", LEASE_SEEDS])?;
    seeds(&["--mix", "scripted", "--seeds", SCRIPTED_SEEDS])?;
    planted(&["--planted"])
}

fn seeds(args: &[&str]) -> Outcome {
    run_command(&mut simulator(args))
}

fn planted(args: &[&str]) -> Outcome {
    run_command(with_planted(&mut simulator(args)))
}

/// The flag would have everything built anew: it gets a folder of its own.
pub(crate) fn with_planted(command: &mut Command) -> &mut Command {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg etcdium_planted");
    command.env("RUSTFLAGS", flags.trim_start()).env("CARGO_TARGET_DIR", target_dir().join("planted"))
}

fn simulator(args: &[&str]) -> Command {
    let build =
        ["run", "--quiet", "--release", "--locked", "-p", "etcdium-sim", "--bin", "etcdium-sim", "--", "run"];
    let mut command = cargo(&build);
    command.args(args);
    command
}
