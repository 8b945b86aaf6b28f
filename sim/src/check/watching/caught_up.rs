//! Watches that go on.

use etcdium_core::Revision;

use crate::check::{Check, Fact, View};
use crate::world::{WatchRecord, WatchState};

/// When the faults were over long enough every watch is confirmed, those that were cancelled have ended, and no request for
/// progress waits, unless a watch of its stream waits for a revision yet to come: then servers tell no progress. No watch waits for a revision that was there when it came and is not there any more: its history was
/// replaced, and it has to say so. A grpc-proxy drops watches without a word, so nothing is asked of those.
#[derive(Debug)]
pub(in crate::check) struct CaughtUp;

impl Check for CaughtUp {
    fn name(&self) -> &'static str {
        "watches go on when the faults are over"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let emptied = matches!(fact, Fact::Emptied);
        if !(emptied || matches!(fact, Fact::Settled)) || view.setup.proxied {
            return Ok(());
        }
        let newest = view.truths.current().map_or(0, |truth| truth.revision());
        for record in view.watches {
            let fault = |what: String| Err(format!("{:?} of step {}: {what}", record.key, record.id));
            if record.state == WatchState::Cancelled {
                return fault("its cancellation is not confirmed".into());
            }
            if let Some(asked) = record.asked.filter(|_| !waits_for_future(view, record, newest)) {
                return fault(format!("its request for progress is not answered: {asked:?}"));
            }
            if !record.is_live() {
                continue;
            }
            if emptied {
                return fault("it was not given up".into());
            }
            if !record.opened {
                return fault("it was never confirmed".into());
            }
            let position = view.core.watch_position(record.key).map_or(0, Revision::get);
            if position > newest + 1 && position != record.spec.start_revision {
                return fault(format!("it waits for {position}, and there is no more than {newest}"));
            }
        }
        Ok(())
    }
}

/// Whether a watch on the same stream starts behind all there is.
fn waits_for_future(view: &View<'_>, record: &WatchRecord, newest: i64) -> bool {
    let lane = |record: &WatchRecord| {
        let how = &record.plan.how;
        (how.lane, how.require_leader, record.pinned)
    };
    let mut siblings = view.watches.iter().filter(|other| other.is_kept() && lane(other) == lane(record));
    siblings.any(|other| other.spec.start_revision > newest)
}
