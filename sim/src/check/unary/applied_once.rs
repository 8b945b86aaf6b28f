//! Writes applied once.

use crate::check::{Check, Fact, View};

/// What an operation writes stands in the history at most once: judged by the unique value each operation puts.
#[derive(Debug)]
pub(in crate::check) struct AppliedOnce;

impl Check for AppliedOnce {
    fn name(&self) -> &'static str {
        "a write is applied at most once"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Ended(op, _) => once(view, view.ops[*op].id),
            Fact::Over => view.ledger.all_marks().try_for_each(|(id, _)| once(view, id)),
            _ => Ok(()),
        }
    }
}

fn once(view: &View<'_>, id: u32) -> Result<(), String> {
    match view.ledger.marks(id) {
        [] | [_] => Ok(()),
        marks => Err(format!("the write of step {id} was applied more than once: {marks:?}")),
    }
}
