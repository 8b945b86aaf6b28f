//! Deadlines.

use std::collections::BTreeSet;
use std::time::Instant;

use etcdium_core::Event;

use crate::check::{Check, Fact, View};
use crate::world::done_by;

/// An operation with a deadline has ended when it comes: not a nanosecond later in the world's time, save that a driver
/// that acts late, or a client that does not run, cannot be told before it acts.
#[derive(Debug, Default)]
pub(in crate::check) struct Deadlines {
    pending: BTreeSet<(Instant, usize)>,
}

impl Check for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines are kept"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Started(op) => {
                if let Some(deadline) = view.ops[*op].deadline {
                    self.pending.insert((deadline, *op));
                }
            }
            Fact::Cancelled { op, .. } => self.over(view, *op),
            Fact::Told(Event::OpDone(key)) => self.over(view, key.serial() as usize),
            Fact::Drained => {
                if let Some((deadline, op)) = self.pending.first() {
                    if view.now > *deadline && view.now > done_by(*deadline, view.pauses, view.setup.turn) {
                        let late = view.now - *deadline;
                        let op = &view.ops[*op];
                        return Err(format!("step {} has not ended {late:?} after its deadline", op.id));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Deadlines {
    fn over(&mut self, view: &View<'_>, op: usize) {
        if let Some(deadline) = view.ops[op].deadline {
            self.pending.remove(&(deadline, op));
        }
    }
}
