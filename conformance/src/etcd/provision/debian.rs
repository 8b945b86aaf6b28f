//! Takes the server from Debian's package `etcd-server`, unpacked and not installed, so that no service starts.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use super::cache::Locked;
use super::run;

/// The etcd of the package, of whatever version this release of Debian has.
pub(super) fn etcd(cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    let folder = cache.scratch("debian").map_err(|error| error.to_string())?;
    eprintln!("etcdium: taking etcd-server from Debian");
    let download =
        || run::run(run::tool("apt-get", path).args(["download", "etcd-server"]).current_dir(&folder));
    if let Err(reason) = download() {
        // Package lists may be missing or old, which is the usual state of a fresh container.
        run::run(run::tool("apt-get", path).arg("update"))
            .map_err(|update| format!("{reason}; then {update}"))?;
        download()?;
    }
    let package = fs::read_dir(&folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|file| file.extension() == Some(OsStr::new("deb")))
        .ok_or("`apt-get download` left no package")?;
    run::run(run::tool("dpkg-deb", path).arg("-x").arg(package).arg(&folder))?;
    Ok(folder.join("usr/bin/etcd"))
}
