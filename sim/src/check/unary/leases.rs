//! Leases that were granted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::check::{Check, Fact, View};
use crate::world::{Answer, Asked};

/// A lease that a grant told of exists in the cluster until its time, counted from when it was asked for, is over, or
/// until somebody asks for its revocation or restores the cluster.
#[derive(Debug, Default)]
pub(in crate::check) struct Leases {
    granted: BTreeMap<i64, Granted>,
    epoch: usize,
}

#[derive(Debug)]
struct Granted {
    step: u32,
    /// It lives at least until then.
    until: Instant,
}

impl Check for Leases {
    fn name(&self) -> &'static str {
        "a lease that was granted exists"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Started(op) => {
                if let Asked::Revoke(request) = &view.ops[*op].asked {
                    self.granted.remove(&request.id);
                }
            }
            Fact::Ended(op, Ok(Answer::Grant(answer))) => {
                let op = &view.ops[*op];
                let Asked::Grant(request) = &op.asked else { return Ok(()) };
                if answer.id != request.id || answer.ttl < request.ttl {
                    return Err(format!("step {} asked for {request:?} and got {answer:?}", op.id));
                }
                let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
                let revoked = view
                    .ops
                    .iter()
                    .any(|other| matches!(&other.asked, Asked::Revoke(revoke) if revoke.id == request.id));
                if op.epoch == view.ledger.epoch() && !revoked {
                    self.granted.insert(answer.id, Granted { step: op.id, until: op.started + ttl });
                }
            }
            Fact::Drained => {
                if self.epoch != view.ledger.epoch() {
                    self.epoch = view.ledger.epoch();
                    self.granted.clear();
                }
                self.granted.retain(|_, granted| granted.until > view.now);
                for (id, granted) in &self.granted {
                    if !view.cluster.has_lease(*id) {
                        return Err(format!(
                            "the lease {id} of step {} is gone before its time",
                            granted.step
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
