//! Errors that say that nothing was changed.

use super::resent::unproved;
use crate::check::{Check, Fact, View};
use crate::world::{Asked, Failed, OpRecord, OpState};

/// A write that failed with `Outcome::NotApplied` was not applied and never will be: each of its requests was lost for
/// certain or was answered with an error by the server, and the history does not hold what it would have written. The
/// same holds for one that failed without any call. Looked at again when the run is over.
#[derive(Debug)]
pub(in crate::check) struct NotApplied;

impl Check for NotApplied {
    fn name(&self) -> &'static str {
        "what is said not to be applied is not"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Ended(op, _) => judge(view, &view.ops[*op]),
            Fact::Over => view.ops.iter().try_for_each(|op| judge(view, op)),
            _ => Ok(()),
        }
    }
}

fn judge(view: &View<'_>, op: &OpRecord) -> Result<(), String> {
    if op.state != OpState::Taken(Some(Failed { not_applied: true })) || !op.asked.is_write() {
        return Ok(());
    }
    if let [mark, ..] = view.ledger.marks(op.id) {
        return Err(format!("step {} said NotApplied and stands in the history: {mark:?}", op.id));
    }
    if let Asked::Grant(request) = &op.asked {
        if view.cluster.has_lease(request.id) {
            return Err(format!("step {} said NotApplied and the lease exists", op.id));
        }
    }
    for call in op.calls.iter().map(|call| &view.calls[*call]) {
        if unproved(call.passage, call.answered) {
            return Err(format!("step {} said NotApplied although {call:?}", op.id));
        }
    }
    Ok(())
}
