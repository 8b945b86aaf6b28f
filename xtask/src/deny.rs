//! `cargo xtask deny`: licences, bans and sources of all dependencies by cargo-deny and `deny.toml`; advisories where
//! their database can be reached.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, root, run as run_command, target_dir};

/// The newest cargo-deny that builds with the workspace's Rust version.
const VERSION: &str = "0.18.3";

/// Runs the task.
///
/// # Errors
/// cargo-deny cannot be installed, or finds a fault.
pub(crate) fn run() -> Outcome {
    let deny = program()?;
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(root()).args(["--all-features", "check", "--hide-inclusion-graph"]).args(what);
        command
    };
    run_command(&mut check(&["licenses", "bans", "sources"]))?;
    let advisories = check(&["advisories"]).output()?;
    let report = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("no advisory against any dependency, but for the exceptions of deny.toml");
    } else if report.contains("failed to fetch advisory database") {
        println!("the advisory database cannot be reached from here: advisories were not checked");
    } else {
        return Err(report.into_owned().into());
    }
    Ok(())
}

/// cargo-deny: the installed one, or one built for the purpose.
fn program() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let installed = Command::new("cargo-deny").arg("--version").output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let tools = target_dir().join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("installing cargo-deny {VERSION} into {}", tools.display());
        let root = tools.to_string_lossy().into_owned();
        run_command(&mut cargo(&[
            "install",
            "--locked",
            "--quiet",
            "cargo-deny",
            "--version",
            VERSION,
            "--root",
            &root,
        ]))?;
    }
    Ok(program)
}
