//! `cargo xtask fuzz`: the targets of `fuzz/`, by cargo-fuzz where it can be had, else as properties with inputs made by
//! the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::Outcome;
use crate::cargo::{cargo, output, root, run as run_command, target_dir};

/// The targets of `fuzz/Cargo.toml`.
const TARGETS: &[&str] = &["frames", "status", "endpoint", "operations", "server_bytes", "client_bytes"];
/// What is installed where no cargo-fuzz is.
const VERSION: &str = "0.13.2";
/// Seconds for one input that are taken for a hang.
const HANG: u64 = 30;
const MEMORY_MB: u64 = 2048;
/// How much of a failed target's output is shown, in lines.
const SHOWN: usize = 60;

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
    fuzz(seconds, seconds)
}

/// What `cargo xtask test` checks: 30 s for each target where cargo-fuzz can be had, else 10 s as properties.
///
/// # Errors
/// A target shows something.
pub(crate) fn check() -> Outcome {
    fuzz(30, 10)
}

fn fuzz(seconds: u64, as_properties: u64) -> Outcome {
    match cargo_fuzz() {
        Ok(path) => guided(&path, seconds),
        Err(missing) => {
            println!("as properties, {as_properties} s for each target: {missing}");
            properties(as_properties)
        }
    }
}

/// The search path with cargo-fuzz in it, which is installed under the target directory if need be. Else what is missing.
fn cargo_fuzz() -> Result<String, String> {
    let works = |program: &str, args: &[&str], path: &str| {
        let output = Command::new(program).args(args).env("PATH", path).output();
        output.is_ok_and(|output| output.status.success())
    };
    let path = std::env::var("PATH").unwrap_or_default();
    if !works("cargo", &["+nightly", "--version"], &path) {
        return Err("there is no nightly toolchain".to_owned());
    }
    if !works("c++", &["--version"], &path) {
        return Err("there is no C++ compiler for libFuzzer".to_owned());
    }
    if works("cargo", &["+nightly", "fuzz", "--version"], &path) {
        return Ok(path);
    }
    let tools = root().join(target_dir()).join("tools");
    let path = format!("{}:{path}", tools.join("bin").display());
    if !works("cargo", &["+nightly", "fuzz", "--version"], &path) {
        eprintln!("installing cargo-fuzz {VERSION} into {}", tools.display());
        let mut install =
            cargo(&["install", "--locked", "--quiet", "cargo-fuzz", "--version", VERSION, "--root"]);
        run_command(install.arg(&tools))
            .map_err(|error| format!("cargo-fuzz cannot be installed: {error}"))?;
    }
    Ok(path)
}

/// By cargo-fuzz, led by what is reached; two targets at a time, as many as CI has cores.
fn guided(path: &str, seconds: u64) -> Outcome {
    println!("with cargo-fuzz, {seconds} s for each of {} targets", TARGETS.len());
    let folder = root().join(target_dir()).join("cargo-fuzz");
    let mut build = Command::new("cargo");
    build.args(["+nightly", "fuzz", "build", "--fuzz-dir", "fuzz"]).current_dir(root());
    run_command(build.env("PATH", path).env("CARGO_TARGET_DIR", &folder))?;
    let version = output(Command::new("rustc").args(["+nightly", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let programs = folder.join(host).join("release");
    let mut failed = Vec::new();
    for pair in TARGETS.chunks(2) {
        let outcomes = thread::scope(|scope| {
            let start = |target: &&'static str| {
                let (programs, folder, target) = (&programs, &folder, *target);
                (target, scope.spawn(move || guide(&programs.join(target), folder, seconds)))
            };
            let running: Vec<_> = pair.iter().map(start).collect();
            let end = |(target, thread): (_, thread::ScopedJoinHandle<'_, _>)| {
                (target, thread.join().unwrap_or_else(|_| Err("it could not be watched".to_owned())))
            };
            running.into_iter().map(end).collect::<Vec<_>>()
        });
        for (target, outcome) in outcomes {
            match outcome {
                Ok(summary) => println!("  {target:<14}{summary}"),
                Err(error) => {
                    eprintln!("  {target}: {error}");
                    failed.push(target);
                }
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let inputs = folder.join("artifacts");
    Err(format!(
        "{} showed something; inputs are under {}, again: cargo +nightly fuzz run TARGET INPUT",
        failed.join(", "),
        inputs.display()
    )
    .into())
}

/// Runs one target's program. What it printed last of what it has reached, or the end of its output.
fn guide(program: &Path, folder: &Path, seconds: u64) -> Result<String, String> {
    let name = program.file_name().unwrap_or_default();
    let make = |kind: &str| -> Result<PathBuf, String> {
        let made = folder.join(kind).join(name);
        fs::create_dir_all(&made).map_err(|error| format!("{}: {error}", made.display()))?;
        Ok(made)
    };
    let (corpus, artifacts) = (make("corpus")?, make("artifacts")?);
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={HANG}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(corpus);
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    if !output.status.success() {
        let end = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
        return Err(format!("{}\n{}", output.status, end.join("\n")));
    }
    let done = lines.iter().rev().find(|line| line.contains("DONE")).copied().unwrap_or_default();
    Ok(done.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The property form, after the tests of the targets themselves.
fn properties(seconds: u64) -> Outcome {
    let fuzz = |args: &[&str]| {
        let mut command = cargo(args);
        command.args(["--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]);
        command.arg(target_dir().join("fuzz"));
        command
    };
    run_command(&mut fuzz(&["test", "--lib"]))?;
    run_command(fuzz(&["run", "--bin", "property"]).args(["--", "--seconds", &seconds.to_string()]))
}
