//! How many bytes and timers the core keeps.

use std::collections::VecDeque;

use crate::check::{Check, Fact, View};

/// What a queue of timers may hold beside twice those that mean something (core/src/timer.rs).
const STALE: usize = 64;
/// What buffers to be used again may hold, in bytes (core/src/frame/spares.rs).
const SPARE: usize = 2 << 20;
/// Not everything that ends has the timers looked through: this many drains ago more may have lived.
const RECENT: usize = 32;

/// The core keeps no byte of an answer longer than its call lives, or the operation that it answers; nothing of streams and
/// watches that are not there; no more buffers than it says; and no more timers than what lives can have, twice, and a
/// few.
#[derive(Debug, Default)]
pub(in crate::check) struct Memory {
    /// How many timers could mean something at the latest drains.
    recent: VecDeque<usize>,
}

impl Check for Memory {
    fn name(&self) -> &'static str {
        "bytes and timers are bounded"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        if !matches!(fact, Fact::Drained) {
            return Ok(());
        }
        let (stats, counts) = (view.core.stats(), view.counts);
        if stats.buffered_bytes > counts.bytes {
            return Err(format!("it was given {counts:?} and keeps {stats:?}"));
        }
        if stats.streams + stats.watches == 0 && stats.queued_bytes > 0 {
            return Err(format!("it keeps what nobody can take: {stats:?}"));
        }
        if stats.spare_bytes > SPARE {
            return Err(format!("it keeps too large buffers: {stats:?}"));
        }
        // Two of each operation, three of each connection, one of each endpoint, stream, watch and stream of watches, three
        // more.
        let endpoints = view.core.endpoints().count();
        let live = 2 * counts.ops + 3 * counts.connections + endpoints + 3;
        let live = live + stats.streams + stats.watches + stats.watch_streams;
        self.recent.push_back(live);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let most = self.recent.iter().max().copied().unwrap_or(live);
        if stats.timers > 2 * most + STALE {
            return Err(format!("{most} timers could mean something lately, it keeps {stats:?}"));
        }
        Ok(())
    }
}
