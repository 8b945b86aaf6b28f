//! The folder of server binaries below cargo's target directory, shared by processes that may run at once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{Version, run};

/// Binaries as `<root>/<exact version>/etcd`.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

/// Exclusive use of the cache until dropped, with a scratch folder; the kernel ends it with the process.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    cache: &'a Cache,
    scratch: PathBuf,
    _lock: File,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn path(&self, version: &Version) -> PathBuf {
        self.root.join(version.to_string()).join("etcd")
    }

    /// The binary of this version, when it is there and runs.
    pub(super) fn find(&self, version: &Version) -> Option<PathBuf> {
        let path = self.path(version);
        (path.is_file() && run::version_of(&path).as_ref() == Ok(version)).then_some(path)
    }

    /// A tool that is kept.
    pub(super) fn find_tool(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name)).filter(|path| path.is_file())
    }

    /// The newest working binary among those accepted.
    pub(super) fn newest(&self, accepts: impl Fn(&Version) -> bool) -> Option<(Version, PathBuf)> {
        let folders = fs::read_dir(&self.root).ok()?;
        let mut versions: Vec<Version> = folders
            .filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok())
            .filter(|version| accepts(version))
            .collect();
        versions.sort();
        versions.into_iter().rev().find_map(|version| Some((version.clone(), self.find(&version)?)))
    }

    /// Waits for exclusive use.
    pub(super) fn lock(&self) -> io::Result<Locked<'_>> {
        fs::create_dir_all(&self.root)?;
        let lock = File::create(self.root.join("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("etcdium: waiting for another process that is providing etcd");
            flock(&lock, FlockOperation::LockExclusive)?;
        }
        let scratch = self.root.join("scratch");
        // Left behind by a process that was killed.
        remove(&scratch)?;
        fs::create_dir(&scratch)?;
        Ok(Locked { cache: self, scratch, _lock: lock })
    }
}

impl Locked<'_> {
    /// A new empty folder on the file system of the cache, removed when the lock ends.
    pub(super) fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Where a tool is kept that later builds use again.
    pub(super) fn tool(&self, name: &str) -> PathBuf {
        self.cache.root.join(name)
    }

    /// Moves a tool from the scratch folder to where it is kept, at once.
    pub(super) fn keep_tool(&self, binary: &Path, name: &str) -> io::Result<PathBuf> {
        let place = self.tool(name);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(binary, &place)?;
        Ok(place)
    }

    /// Moves a binary from the scratch folder into its place, at once.
    pub(super) fn keep(&self, binary: &Path, version: &Version) -> io::Result<PathBuf> {
        let place = self.cache.path(version);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(binary, &place)?;
        Ok(place)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // The next holder removes what stays.
        let _ = remove(&self.scratch);
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
