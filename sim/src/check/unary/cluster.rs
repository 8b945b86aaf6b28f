//! The cluster the client talks to.

use std::collections::BTreeSet;

use etcdium_core::Event;

use crate::check::{Check, Fact, View};

/// Whoever answered was told: the clusters of the events `ClusterChanged` form a chain that ends at `Core::cluster()`, and
/// every good answer comes from one of them.
#[derive(Debug, Default)]
pub(in crate::check) struct ClusterTold {
    current: Option<u64>,
    known: BTreeSet<u64>,
    /// Clusters of answers since the last drain, with their steps.
    answered: Vec<(u64, u32)>,
}

impl Check for ClusterTold {
    fn name(&self) -> &'static str {
        "a change of the cluster is told"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Told(Event::ClusterChanged { from, to }) => {
                let current = *self.current.get_or_insert_with(|| from.get());
                if current != from.get() || from == to {
                    return Err(format!("{from:?} became {to:?}, but it was {current:x}"));
                }
                self.current = Some(to.get());
                self.known.extend([from.get(), to.get()]);
            }
            Fact::Ended(op, Ok(answer)) => {
                let cluster = answer.header().map_or(0, |header| header.cluster_id);
                if cluster != 0 && !self.known.contains(&cluster) {
                    self.answered.push((cluster, view.ops[*op].id));
                }
            }
            Fact::Drained => {
                let cluster = view.core.cluster().map(|cluster| cluster.get());
                if self.current.is_none() {
                    self.current = cluster;
                    self.known.extend(cluster);
                }
                if cluster != self.current {
                    return Err(format!("it is {cluster:x?}, the last that was told {:x?}", self.current));
                }
                for (cluster, step) in self.answered.drain(..) {
                    if !self.known.contains(&cluster) {
                        return Err(format!("step {step} was answered by {cluster:x}, which was not told"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
