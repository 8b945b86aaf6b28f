//! How much watches keep.

use std::collections::BTreeMap;

use etcdium_core::WatchRequest;
use etcdium_proto::mvccpb;

use crate::check::{Check, Event, Fact, View};

/// What notices take in a buffer beside events: one each of a confirmation, an interruption and progress.
const NOTICES: usize = 3 * 64;

/// A watch buffers no more than it may, and one revision: the one that is not whole yet. A revision larger than all it
/// may is taken if there is nothing else. The core keeps no watch that is over or was dropped.
#[derive(Debug, Default)]
pub(in crate::check) struct Buffers {
    /// What the largest revision takes.
    largest: usize,
    /// By epoch: events looked at.
    seen: BTreeMap<usize, usize>,
}

impl Check for Buffers {
    fn name(&self) -> &'static str {
        "watches buffer no more than they may"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        if !matches!(fact, Fact::Drained) || view.watches.is_empty() {
            return Ok(());
        }
        let kept = view.watches.iter().filter(|record| record.is_kept());
        let stats = view.core.stats();
        if stats.watches != kept.clone().count() {
            return Err(format!("the application has {} watches, the core {stats:?}", kept.count()));
        }
        for record in kept {
            let buffered = view.core.watch_buffered(record.key);
            let most = record.plan.how.max_buffer.map_or(WatchRequest::MAX_BUFFER, usize::from);
            if buffered > most {
                self.look(view);
                if buffered > most.max(self.largest) + self.largest + NOTICES {
                    let largest = self.largest;
                    return Err(format!(
                        "{:?} of step {} buffers {buffered} of {most} bytes; the largest revision has {largest}",
                        record.key, record.id
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Buffers {
    /// Looks at the revisions that are new.
    fn look(&mut self, view: &View<'_>) {
        for epoch in 0..=view.truths.epoch() {
            let Some(truth) = view.truths.get(epoch) else { continue };
            let seen = self.seen.entry(epoch).or_default();
            for revision in truth.events()[*seen..].chunk_by(|a, b| a.revision() == b.revision()) {
                self.largest = self.largest.max(revision.iter().map(cost).sum());
            }
            *seen = truth.events().len();
        }
    }
}

/// What an event takes: said here a second time, and with its previous value whether or not that was asked for.
fn cost(event: &Event) -> usize {
    let previous = event.previous.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
    size_of::<mvccpb::Event>() + event.kv.key.len() + event.kv.value.len() + previous
}
