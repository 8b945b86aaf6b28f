//! `cargo xtask fuzz`: the targets of `fuzz/`, by cargo-fuzz where it and a nightly toolchain are installed, else as
//! properties with inputs made by the program itself.

use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, root, run as run_command, target_dir};

/// The targets of `fuzz/Cargo.toml`.
const TARGETS: &[&str] = &["frames", "status", "endpoint", "operations", "server_bytes", "client_bytes"];

/// Runs the task.
///
/// # Errors
/// The arguments are not understood, or a target shows something.
pub(crate) fn run(args: &[String]) -> Outcome {
    let seconds = match args {
        [] => 30,
        [option, seconds] if option == "--seconds" => seconds.parse()?,
        _ => return Err("usage: cargo xtask fuzz [--seconds N]".into()),
    };
    if has_cargo_fuzz() { guided(seconds) } else { properties(seconds) }
}

/// What `cargo xtask test` checks: 30 s for each target where cargo-fuzz can run, else 10 s as properties.
///
/// # Errors
/// A target shows something.
pub(crate) fn check() -> Outcome {
    if has_cargo_fuzz() { guided(30) } else { properties(10) }
}

/// By cargo-fuzz, led by what is reached.
fn guided(seconds: u64) -> Outcome {
    println!("with cargo-fuzz, {seconds} s for each of {} targets", TARGETS.len());
    TARGETS.iter().try_for_each(|target| {
        let mut command = Command::new("cargo");
        command.current_dir(root().join("fuzz")).args(["+nightly", "fuzz", "run", target, "--"]);
        run_command(command.arg(format!("-max_total_time={seconds}")))
    })
}

/// The property form, after the tests of the targets themselves.
fn properties(seconds: u64) -> Outcome {
    println!("as properties, {seconds} s for each target: cargo-fuzz or a nightly toolchain is missing");
    let fuzz = |args: &[&str]| {
        let mut command = cargo(args);
        command.args(["--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]);
        command.arg(target_dir().join("fuzz"));
        command
    };
    run_command(&mut fuzz(&["test", "--lib"]))?;
    run_command(fuzz(&["run", "--bin", "property"]).args(["--", "--seconds", &seconds.to_string()]))
}

fn has_cargo_fuzz() -> bool {
    let output = Command::new("cargo").args(["+nightly", "fuzz", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}
