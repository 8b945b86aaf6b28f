//! The replicated log, as far as some member has yet to apply it.

use std::collections::VecDeque;
use std::time::Instant;

use super::state::{LeaseChange, Reply};
use super::{CallId, Status};

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of entries applied.
    pub(crate) index: u64,
    /// Revision after them.
    pub(crate) revision: i64,
    /// Compaction revision after them.
    pub(crate) compacted: i64,
}

/// Who waits for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A call, which is told the result.
    Call(CallId),
    /// A call that is told that there is no space, once the alarm is raised.
    Quota(CallId),
    /// Nobody.
    Server,
}

/// One committed entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) committed: Instant,
    pub(crate) after: Position,
    pub(crate) lease: Option<LeaseChange>,
    /// The member through which it was proposed.
    pub(crate) member: usize,
    pub(crate) origin: Origin,
    /// Taken when the proposer's member applies the entry.
    pub(crate) result: Option<Result<Reply, Status>>,
}

/// The entries that some living member has not applied yet.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// The position before the first of them.
    base: Position,
}

impl Log {
    pub(crate) fn new(base: Position) -> Self {
        Self { entries: VecDeque::new(), base }
    }

    /// The position after the last entry.
    pub(crate) fn end(&self) -> Position {
        self.entries.back().map_or(self.base, |entry| entry.after)
    }

    /// The position before the first entry kept.
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// The entry that follows a position.
    pub(crate) fn after(&mut self, index: u64) -> Option<&mut Entry> {
        let offset = index.checked_sub(self.base.index)?;
        self.entries.get_mut(offset as usize)
    }

    /// The entries kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets what every living member has applied.
    pub(crate) fn prune(&mut self, applied_by_all: u64) {
        while let Some(first) = self.entries.front() {
            if first.after.index > applied_by_all {
                break;
            }
            self.base = first.after;
            self.entries.pop_front();
        }
    }
}
