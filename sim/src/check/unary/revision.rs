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
        }
        if let Fact::Ended(op, Ok(answer)) = fact {
            // What was answered before a replacement was told may be taken after it.
            if *op < self.replaced {
                return Ok(());
            }
            let header = answer.header().copied().unwrap_or_default();
            if header.cluster_id == cluster && header.revision > revision {
                let step = view.ops[*op].id;
                return Err(format!("step {step} was answered at {}, {revision} is known", header.revision));
            }
        }
        if !matches!(fact, Fact::Drained) {
            return Ok(());
        }
        let seen = self.seen.entry(cluster).or_default();
        if revision < *seen {
            return Err(format!("of cluster {cluster:x} {seen} was seen before {revision}"));
        }
        *seen = revision;
        Ok(())
    }
}
