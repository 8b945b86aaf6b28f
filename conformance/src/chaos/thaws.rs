//! When leaders that were frozen went on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// When members went on that led the cluster when they were frozen. Clones are the same.
///
/// Such a member takes itself for the leader for a moment. By its clock all leases have expired, and if it finds that out first
/// it revokes them, through the present leader (etcd issue 15247; `isActive` and `ensureLeadership`,
/// server/etcdserver/server.go, believe it since its raft has ticked again). It revokes sixteen at a time. Those that it puts into
/// its own log are lost with that, and the others follow when it has waited for these in vain: seen on 3.7.3 at once, and after
/// the 7 s that a request may take.
#[derive(Clone, Debug, Default)]
pub struct Thaws(Arc<Mutex<Vec<Instant>>>);

impl Thaws {
    pub(super) fn note(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    /// Whether one went on between these times.
    pub fn any_between(&self, from: Instant, to: Instant) -> bool {
        let thaws = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        thaws.iter().any(|thaw| (from..=to).contains(thaw))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_was_noted_between_counts() {
        let thaws = Thaws::default();
        let before = Instant::now();
        assert!(!thaws.any_between(before, Instant::now()));
        thaws.note();
        let after = Instant::now();
        assert!(thaws.any_between(before, after));
        let later = after + Duration::from_secs(1);
        assert!(!thaws.any_between(later, later + Duration::from_secs(1)));
    }
}
