//! Why watches end.

use etcdium_core::{Event, InvalidRequest, WatchErrorKind};

use crate::check::{Check, Fact, View};
use crate::world::WatchState;

/// A watch ends well only if its application cancelled it or closed the core, and otherwise for a cause that is one:
/// a history that was replaced must have been, an endpoint that is gone must be. A server that keeps its word is never
/// inconsistent, and refuses nothing. That compacted revisions are compacted is another rule.
#[derive(Debug, Default)]
pub(in crate::check) struct Ends {
    /// How many restores the core had told of, at least.
    noticed: usize,
    /// The same when each watch was asked for.
    before: Vec<usize>,
    /// The endpoints were none at some time.
    emptied: bool,
}

impl Check for Ends {
    fn name(&self) -> &'static str {
        "a watch ends for a cause"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Told(Event::ClusterReset { cluster, revision }) => {
                let epoch = view.truths.epoch();
                if epoch <= self.noticed {
                    return Err(format!("cluster {cluster:?} went back to {revision}: nothing was restored"));
                }
                // What it noticed may have been sent before the latest restore.
                self.noticed += 1;
            }
            Fact::Told(Event::ClusterChanged { to, .. }) => {
                // An answer of a cluster from before may come late, and then one of the present again.
                let mut epochs = 0..=view.truths.epoch();
                let first = epochs.find(|epoch| view.truths.cluster(*epoch) == to.get());
                self.noticed = self.noticed.max(first.unwrap_or_default());
            }
            Fact::Endpoints(count) => self.emptied |= *count == 0,
            Fact::WatchStarted(_) => self.before.push(self.noticed),
            Fact::WatchEnded(index, result) => {
                let good = match result.as_ref().map_err(|error| error.kind()) {
                    Ok(()) => view.watches[*index].state == WatchState::Cancelled || view.core.is_closed(),
                    Err(kind) => self.is_cause(view, *index, kind),
                };
                if !good {
                    let record = &view.watches[*index];
                    return Err(format!("{:?} of step {}: {result:?}", record.key, record.id));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Ends {
    fn is_cause(&self, view: &View<'_>, index: usize, kind: &WatchErrorKind) -> bool {
        match kind {
            WatchErrorKind::Compacted { .. } => true,
            WatchErrorKind::ClusterReset { cluster_id, .. } => {
                let epoch = view.truths.epoch();
                let known = (0..=epoch).any(|epoch| view.truths.cluster(epoch) == cluster_id.get());
                known && epoch > self.before[index]
            }
            WatchErrorKind::Invalid(InvalidRequest::UnknownEndpoint) => view.watches[index].pinned.is_some(),
            WatchErrorKind::Invalid(InvalidRequest::NoEndpoints) => self.emptied,
            WatchErrorKind::Closed => view.core.is_closed(),
            _ => false,
        }
    }
}
