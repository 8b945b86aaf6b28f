//! Members without a leader.

use etcdium_core::Transmit;

use crate::check::{Check, Fact, View};
use crate::world::{Asked, OpRecord};

/// Writes and linearizable reads ask a member without a leader to refuse (`hasleader`), so that they move on;
/// serializable reads and what a member answers by itself do not, so that they work without a leader.
#[derive(Debug)]
pub(in crate::check) struct HasLeader;

impl Check for HasLeader {
    fn name(&self) -> &'static str {
        "calls say whether they need a leader"
    }

    /// Seen after the call was recorded.
    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Sent(Transmit::Open(open)) = fact else { return Ok(()) };
        let op = view.calls.get(open.call.serial() as usize).and_then(|call| call.op);
        let expected = match op {
            Some(op) => needs_leader(&view.ops[op]),
            // Watches may do without.
            None if open.method.name() == "Watch" => {
                let some = |need| view.watches.iter().any(|watch| watch.plan.how.require_leader == need);
                if some(true) && some(false) {
                    return Ok(());
                }
                !some(false)
            }
            // A health probe, a stream of renewals, or what the core asks of its own accord.
            None => matches!(open.method.name(), "LeaseKeepAlive" | "LeaseGrant" | "LeaseRevoke" | "Range"),
        };
        if open.requires_leader() != expected {
            let step = op.map(|op| view.ops[op].id);
            return Err(format!("{} of step {step:?}: {}", open.method.name(), open.requires_leader()));
        }
        Ok(())
    }
}

/// Said here a second time, so that the table of methods is not judged by itself.
fn needs_leader(op: &OpRecord) -> bool {
    match &op.asked {
        Asked::Range(request) => !request.serializable,
        Asked::Status(_) | Asked::Connect => false,
        Asked::Put(_)
        | Asked::Delete(_)
        | Asked::Txn(_)
        | Asked::Grant(_)
        | Asked::Revoke(_)
        | Asked::TimeToLive(_)
        | Asked::Compact(_) => true,
    }
}
