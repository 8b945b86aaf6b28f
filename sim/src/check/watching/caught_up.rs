//! Watches that go on.

use etcdium_core::Revision;

use crate::check::{Check, Fact, View};
use crate::world::WatchState;

/// When the faults were over long enough every watch is confirmed, those that were cancelled have ended, and no request for
/// progress waits. No watch waits for a revision that was there when it came and is not there any more: its history was
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
            if let Some(asked) = record.asked {
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
