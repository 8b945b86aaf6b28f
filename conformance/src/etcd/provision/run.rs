//! Running the tools that supply etcd, with readable failures.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Version;

/// A command of the given name that looks for itself, and for the tools it starts, in `path`.
pub(super) fn tool(name: impl AsRef<OsStr>, path: &OsStr) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// Runs to the end and returns standard output; a failure is told with the last lines of standard error.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("`{name}` is not installed"),
        _ => format!("`{name}` cannot be run: {error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    Err(format!("`{name}` ended with {}:\n{last}", output.status))
}

/// The version an etcd binary reports about itself.
pub(super) fn version_of(binary: &Path) -> Result<Version, String> {
    let said = run(Command::new(binary).arg("--version").stdin(Stdio::null()))?;
    let version = said.lines().find_map(|line| line.strip_prefix("etcd Version:"));
    let version = version.ok_or_else(|| format!("{} prints no etcd version", binary.display()))?;
    version.trim().parse().map_err(|error| format!("{}: {error}", binary.display()))
}
