//! Ends that have to come.

use crate::check::{Check, Fact, View};
use crate::world::OpState;

/// When all faults were mended long ago no operation is left; when the client was closed none is left either, no timer
/// is armed, no connection kept, and the core says so.
#[derive(Debug)]
pub(in crate::check) struct Alive;

impl Check for Alive {
    fn name(&self) -> &'static str {
        "everything ends"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Quiet | Fact::Closed => {
                if let Some(op) = view.ops.iter().find(|op| op.state == OpState::Live) {
                    return Err(format!("step {} has not ended: {:?}", op.id, op.asked));
                }
                if matches!(fact, Fact::Closed) {
                    let stats = view.core.stats();
                    if !view.core.is_drained() || view.core.poll_timeout().is_some() || stats.connections > 0
                    {
                        return Err(format!("the core was closed and is not done: {stats:?}"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
