//! The revision the client remembers.

use std::collections::BTreeMap;

use etcdium_core::Event;

use crate::check::{Check, Fact, View};

/// `Core::revision()` never goes back while `Core::cluster()` stays, or when it comes back, unless the core told that the
/// history was replaced; and the answer to a call is not above it.
#[derive(Debug, Default)]
pub(in crate::check) struct RevisionGrows {
    /// Zero stands for the time before any header.
    seen: BTreeMap<u64, i64>,
    /// How many operations there were when a replacement was told last.
    replaced: usize,
    /// An answer above what the core knows, which is wrong unless a replacement is about to be told.
    above: Option<String>,
}

impl Check for RevisionGrows {
    fn name(&self) -> &'static str {
        "the client's revision never goes back"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let cluster = view.core.cluster().map_or(0, |cluster| cluster.get());
        let revision = view.core.revision().get();
        if let Fact::Told(Event::ClusterReset { cluster, .. }) = fact {
            self.seen.remove(&cluster.get());
            self.replaced = view.ops.len();
            self.above = None;
        }
        if let Fact::Ended(op, Ok(answer)) = fact {
            // What was answered before a replacement was told may be taken after it.
            if *op < self.replaced {
                return Ok(());
            }
            let header = answer.header().copied().unwrap_or_default();
            if header.cluster_id == cluster && header.revision > revision {
                let step = view.ops[*op].id;
                let how = format!("step {step} was answered at {}, {revision} is known", header.revision);
                self.above.get_or_insert(how);
            }
        }
        if !matches!(fact, Fact::Drained) {
            return Ok(());
        }
        if let Some(how) = self.above.take() {
            return Err(how);
        }
        let seen = self.seen.entry(cluster).or_default();
        if revision < *seen {
            return Err(format!("of cluster {cluster:x} {seen} was seen before {revision}"));
        }
        *seen = revision;
        Ok(())
    }
}
