//! What members say of leases and of themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::check::{Check, Fact, View};
use crate::world::{Answer, Asked, OpRecord};

/// Nobody is told that a lease lives which was gone before the question was asked, or that it lives longer than the server
/// had for it while the answer was on its way; nor that it is unknown while it was there all the time. A member that
/// tells its status is the one asked, of the version it is, and knows whether it is a learner. A restore in between
/// excuses all of it.
#[derive(Debug, Default)]
pub(in crate::check) struct Served {
    /// By operation: whether the lease it asks for was there, and its expiry if a leader knew it.
    asked: BTreeMap<usize, (bool, Option<Instant>)>,
}

impl Check for Served {
    fn name(&self) -> &'static str {
        "leases and members are as told"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Started(op) => {
                if let Asked::TimeToLive(request) = &view.ops[*op].asked {
                    // A leader of 3.4 answers from what it has applied: a revocation may be missing there.
                    let there = view.cluster.has_lease(request.id) || view.setup.minor < 5;
                    let known = (there, view.cluster.lease_expiry(request.id));
                    self.asked.insert(*op, known);
                }
            }
            Fact::Cancelled { op, .. } => {
                self.asked.remove(op);
            }
            Fact::Ended(index, outcome) => {
                let before = self.asked.remove(index);
                let op = &view.ops[*index];
                if op.epoch != view.ledger.epoch() {
                    return Ok(());
                }
                let judged = match (&op.asked, outcome, before) {
                    (Asked::TimeToLive(request), Ok(Answer::TimeToLive(answer)), Some(before)) => {
                        let after =
                            (view.cluster.has_lease(request.id), view.cluster.lease_expiry(request.id));
                        lease(op.started, view.now, before, after, answer.ttl)
                    }
                    (Asked::Status(_), Ok(Answer::Status(_)), _) => status(view, op, outcome.as_ref().ok()),
                    _ => Ok(()),
                };
                return judged.map_err(|how| format!("step {}: {how}: {outcome:?}", op.id));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Judges a remaining life told for a question asked at `started` and answered by `now`.
fn lease(
    started: Instant,
    now: Instant,
    before: (bool, Option<Instant>),
    after: (bool, Option<Instant>),
    told: i64,
) -> Result<(), &'static str> {
    if told < 0 {
        // A lease of which no leader knows the expiry may be unknown to the one who answers.
        let there = before.0 && before.1.is_some() && after.0 && after.1.is_some_and(|expiry| expiry > now);
        return if there { Err("the lease was there all the time") } else { Ok(()) };
    }
    // What has expired and is not revoked yet has nothing left.
    if told == 0 {
        return Ok(());
    }
    if !before.0 {
        return Err("the lease was gone when it was asked for");
    }
    // New leaders and renewals give more time, never less.
    if let (Some(first), Some(last)) = (before.1, after.1) {
        if started + Duration::from_secs(told.unsigned_abs()) > first.max(last) {
            return Err("the lease does not live so long");
        }
    }
    Ok(())
}

fn status(view: &View<'_>, op: &OpRecord, answer: Option<&Answer>) -> Result<(), &'static str> {
    let (Some(Answer::Status(answer)), Some(call)) = (answer, op.calls.last()) else {
        return Ok(());
    };
    // A proxy asks whom it likes.
    if view.setup.proxied {
        return Ok(());
    }
    let place = view.connections[view.calls[*call].connection].place;
    let member = answer.header.as_ref().map_or(0, |header| header.member_id);
    if member != view.cluster.member_id(place) {
        Err("another member answered")
    } else if answer.is_learner != (place >= view.setup.members - view.setup.learners) {
        Err("it does not know whether it is a learner")
    } else if !answer.version.starts_with(&format!("3.{}.", view.setup.minor)) {
        Err("it is of another version")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_judged_by_what_the_server_had_in_the_meantime() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let lives = |until| (true, Some(at(until)));
        let gone = (false, None);
        assert_eq!(lease(at(0), at(1), lives(5), lives(5), 5), Ok(()));
        assert_eq!(lease(at(0), at(1), lives(5), lives(9), 9), Ok(()));
        assert!(lease(at(0), at(1), lives(5), lives(5), 6).is_err());
        assert_eq!(lease(at(6), at(7), lives(5), gone, 0), Ok(()));
        assert_eq!(lease(at(0), at(6), lives(5), gone, 4), Ok(()));
        assert!(lease(at(6), at(7), gone, gone, 1).is_err());
        assert_eq!(lease(at(6), at(7), gone, gone, -1), Ok(()));
        assert!(lease(at(0), at(1), lives(5), lives(5), -1).is_err());
        assert_eq!(lease(at(0), at(1), (true, None), lives(5), -1), Ok(()));
        assert_eq!(lease(at(0), at(6), lives(5), lives(5), -1), Ok(()));
    }
}
