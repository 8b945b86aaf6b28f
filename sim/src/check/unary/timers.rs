//! When the core wants to be woken.

use crate::check::{Check, Fact, View};

/// A core that was just woken and drained wants to be woken again later than now, or never: it does not spin.
#[derive(Debug)]
pub(in crate::check) struct Timers;

impl Check for Timers {
    fn name(&self) -> &'static str {
        "the core does not spin"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match (fact, view.core.poll_timeout()) {
            (Fact::Woken, Some(at)) if at <= view.now => {
                let reason = view.core.timeout_reason();
                Err(format!("it wants to be woken {:?} ago: {reason:?}", view.now - at))
            }
            _ => Ok(()),
        }
    }
}
