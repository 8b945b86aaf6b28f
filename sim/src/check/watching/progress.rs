//! Answers to requests for progress.

use std::collections::BTreeSet;

use etcdium_core::ProgressError;

use crate::check::{Check, Fact, Truth, View};

/// The revision that a request for progress is answered with is not below what the core knew when it was asked, unless the
/// core told since that this was of another history, nor above what there is, or was before a restore. Progress is called
/// unsupported only behind a grpc-proxy and by servers whose word cannot be believed, and refused only if the watch is over
/// or could be parked.
#[derive(Debug, Default)]
pub(in crate::check) struct Progress {
    /// Watches that are said to be over, and had more to tell before.
    over: BTreeSet<usize>,
}

impl Check for Progress {
    fn name(&self) -> &'static str {
        "requests for progress are answered rightly"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        if matches!(fact, Fact::Settled) {
            let live = self.over.iter().find(|index| view.watches[**index].is_live());
            return live
                .map_or(Ok(()), |index| Err(format!("{:?} was said to be over", view.watches[*index].key)));
        }
        let Fact::ProgressAnswered(index, asked, answer) = fact else { return Ok(()) };
        let record = &view.watches[*index];
        let good = match answer {
            Ok(revision) => {
                // It may have come before a restore.
                let truths = (record.epoch..=view.truths.epoch()).filter_map(|epoch| view.truths.get(epoch));
                let newest = truths.map(Truth::revision).max().unwrap_or_default();
                (asked.known..=newest).contains(&revision.get())
            }
            // The model's 3.4 is of a release whose answers overtake events.
            Err(ProgressError::Unsupported) => view.setup.proxied || view.setup.minor < 5,
            Err(ProgressError::Behind) => record.plan.how.max_buffer.is_some(),
            Err(ProgressError::Ended) => {
                if record.is_live() {
                    self.over.insert(*index);
                }
                true
            }
            Err(_) => false,
        };
        if good {
            Ok(())
        } else {
            Err(format!("{:?} of step {}: {answer:?} to {asked:?}", record.key, record.id))
        }
    }
}
