//! What is kept of a watch of the core for those who judge it.

use std::time::Instant;

use etcdium_core::{EndpointKey, WatchKey};

use super::plan::WatchPlan;
use crate::check::WatchSpec;

/// A watch of the core. Its index in [`View::watches`](crate::check::View::watches) is its key's serial number.
#[derive(Debug)]
pub struct WatchRecord {
    /// The step that asked for it, or for the one that it follows.
    pub id: u32,
    /// The core's key.
    pub key: WatchKey,
    /// What was wanted.
    pub plan: WatchPlan,
    /// The same in etcd's terms.
    pub spec: WatchSpec,
    /// When it was asked for.
    pub started: Instant,
    /// How many restores lay behind when it was asked for.
    pub epoch: usize,
    /// The only endpoint it may use.
    pub pinned: Option<EndpointKey>,
    /// The core said that it is confirmed.
    pub opened: bool,
    /// Where it stands.
    pub state: WatchState,
    /// A request for progress that is not answered.
    pub asked: Option<ProgressRecord>,
    /// Progress was asked for at some time.
    pub asks: u32,
}

/// Where a watch of the core stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// It goes on.
    Live,
    /// It was cancelled, and its end is awaited.
    Cancelled,
    /// Its end was told.
    Ended,
    /// It was dropped.
    Dropped,
}

impl WatchRecord {
    /// Whether the core still knows it.
    pub fn is_kept(&self) -> bool {
        matches!(self.state, WatchState::Live | WatchState::Cancelled)
    }

    /// Whether more is expected of it.
    pub fn is_live(&self) -> bool {
        self.state == WatchState::Live
    }
}

/// A request for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressRecord {
    /// When.
    pub at: Instant,
    /// The highest revision that the core knew then, unless that was of a history that it found to be gone since.
    pub known: i64,
}
