//! Errors that doubt what is certain.

use crate::check::{Check, Fact, View};
use crate::world::{Failed, OpState};

/// The other side of [`NotApplied`](super::NotApplied): an operation that failed says `NotApplied` if, by what the client
/// was told, no server can have seen it: no call was made for it, or each was given back.
#[derive(Debug)]
pub(in crate::check) struct Certain;

impl Check for Certain {
    fn name(&self) -> &'static str {
        "what cannot have been applied is said not to be"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ended(op, _) = fact else { return Ok(()) };
        let op = &view.ops[*op];
        let doubts = op.state == OpState::Taken(Some(Failed { not_applied: false }));
        if doubts && op.calls.iter().all(|call| view.calls[*call].given_back) {
            return Err(format!(
                "step {} may have been applied after {} calls given back",
                op.id,
                op.calls.len()
            ));
        }
        Ok(())
    }
}
