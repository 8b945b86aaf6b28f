//! Builds an etcd server for tests: from a copy of its module in which `gofail` has turned the comments that describe
//! failpoints into code, and in which checkpoints of leases, if they are on at all, come often.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cache::Locked;
use super::{Version, golang, run};

const MODULE: &str = "go.etcd.io/etcd/server/v3";
/// Both the program and the library that its output needs.
const GOFAIL: &str = "go.etcd.io/gofail@v0.2.0";
/// How often leases have checkpoints, for which there is no flag: the file, what stands there, what is put there.
const CHECKPOINTS: (&str, &str, &str) = (
    "lease/lessor.go",
    "defaultLeaseCheckpointInterval = 5 * time.Minute",
    "defaultLeaseCheckpointInterval = time.Second",
);
/// What begins the description of a failpoint.
const MARK: &str = "// gofail:";

/// Builds `version` in a scratch folder and returns the binary.
pub(super) fn build(version: &Version, cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    if !version.at_least(3, 5) {
        return Err(format!("the Go modules hold no etcd server {version}, they begin with 3.5"));
    }
    let go = golang::toolchain(cache, path)?;
    let scratch = |name: &str| cache.scratch(name).map_err(|error| error.to_string());
    let (main, tools, server) = (scratch("gofail")?, scratch("gofail-tools")?, scratch("gofail-server")?);
    let command = || golang::command(&go, path, &main);

    eprintln!("etcdium: building etcd {version} with failpoints with {} (about a minute)", go.display());
    golang::write_module(
        &main,
        "etcd",
        &format!("require {MODULE} v{version}\n\nreplace {MODULE} => {}", server.display()),
        &[("main.go", golang::MAIN)],
    )?;
    // Of a module by its version, so that what stands in the folder does not matter.
    let named = format!("{MODULE}@v{version}");
    let told = run::run(command().args(["mod", "download", "-json", &named]).current_dir(&tools))?;
    let source = source(&told).ok_or("`go mod download` names no folder")?;
    copy(&source, &server).map_err(|error| format!("copying {}: {error}", source.display()))?;
    let (file, from, to) = CHECKPOINTS;
    replace(&server.join(file), from, to).map_err(|error| format!("{file}: {error}"))?;

    run::run(command().args(["install", GOFAIL]).env("GOBIN", &tools))?;
    let marked = marked(&server).map_err(|error| error.to_string())?;
    run::run(run::tool(tools.join("gofail"), path).arg("enable").args(marked).current_dir(&server))?;

    run::run(command().args(["get", GOFAIL]))?;
    run::run(command().args(["mod", "tidy"]))?;
    run::run(command().args(golang::BUILD).args(["-o", "etcd", "."]))?;
    Ok(main.join("etcd"))
}

/// The folder named by `go mod download -json`.
fn source(told: &str) -> Option<PathBuf> {
    let line = told.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \""))?;
    let (folder, _) = line.split_once('"')?;
    Some(PathBuf::from(folder))
}

/// Copies a folder, writable.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&place)?;
            copy(&entry.path(), &place)?;
        } else {
            // What the cache of modules holds is read-only, and a copy would be, too.
            fs::write(&place, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// Replaces a text that stands in a file once.
fn replace(file: &Path, from: &str, to: &str) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    if text.matches(from).count() != 1 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{from:?} does not stand there once"),
        ));
    }
    fs::write(file, text.replace(from, to))
}

/// The folders below this one whose Go files describe failpoints.
fn marked(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.append(&mut marked(&path)?);
        } else if path.extension() == Some(OsStr::new("go")) && fs::read_to_string(&path)?.contains(MARK) {
            found.insert(folder.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_folder_of_a_module() {
        let told = "{\n\t\"Path\": \"a/b\",\n\t\"Dir\": \"/mod/a/b@v1\",\n}";
        assert_eq!(super::source(told).unwrap(), std::path::Path::new("/mod/a/b@v1"));
        assert_eq!(super::source("{}"), None);
    }
}
