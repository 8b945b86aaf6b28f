//! Writes sent again.

use etcdium_core::Transmit;

use crate::check::{Check, Fact, View};
use crate::world::{Passage, Said};

/// A write is sent again only after every earlier attempt was lost for certain or was answered with an error by the
/// server (guarantee 1 of ARCHITECTURE.md).
#[derive(Debug)]
pub(in crate::check) struct Resent;

impl Check for Resent {
    fn name(&self) -> &'static str {
        "a write is repeated only if it was not applied"
    }

    /// Seen after the call was recorded.
    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Sent(Transmit::Open(open)) = fact else { return Ok(()) };
        let Some(op) = view.calls.get(open.call.serial() as usize).and_then(|call| call.op) else {
            return Ok(());
        };
        let op = &view.ops[op];
        if !op.asked.is_write() {
            return Ok(());
        }
        for call in op.calls.iter().map(|call| &view.calls[*call]).filter(|call| call.key != open.call) {
            if unproved(call.passage, call.answered) {
                return Err(format!("{:?} of step {} is repeated although {call:?}", op.asked, op.id));
            }
        }
        Ok(())
    }
}

/// Whether a request may have been, or may yet be, carried out.
pub(super) fn unproved(passage: Passage, answered: Option<Said>) -> bool {
    match passage {
        Passage::Lost => false,
        Passage::Flying => true,
        Passage::Arrived => answered != Some(Said::Refusal),
    }
}
