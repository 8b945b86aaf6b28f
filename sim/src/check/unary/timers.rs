//! When the core wants to be woken.

use crate::check::{Check, Fact, View};

/// A core that was woken and then drained, without news in between, wants to be woken again later than it was, or never:
/// it does not spin. A driver that acts late drains later than it wakes.
#[derive(Debug)]
pub(in crate::check) struct Timers;

impl Check for Timers {
    fn name(&self) -> &'static str {
        "the core does not spin"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match (fact, view.core.poll_timeout()) {
            (Fact::Woken(woken), Some(at)) if at <= *woken => {
                let reason = view.core.timeout_reason();
                Err(format!("it wants to be woken {:?} before it was: {reason:?}", *woken - at))
            }
            _ => Ok(()),
        }
    }
}
