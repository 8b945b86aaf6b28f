//! How much the core keeps.

use crate::check::{Check, Fact, View};

/// The core keeps what lives and nothing else: as many operations as are neither taken nor cancelled, no more open
/// calls than allowed besides one probe and one question of its own a connection, no connection that the driver is not making or keeping.
#[derive(Debug)]
pub(in crate::check) struct Bounds;

impl Check for Bounds {
    fn name(&self) -> &'static str {
        "memory is bounded"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        if !matches!(fact, Fact::Drained) {
            return Ok(());
        }
        let (stats, counts) = (view.core.stats(), view.counts);
        if stats.ops != counts.ops || stats.connections != counts.connections {
            return Err(format!("the driver has {counts:?}, the core {stats:?}"));
        }
        if stats.in_flight > counts.calls + counts.streams + counts.probes + counts.inquiries + counts.leasing
        {
            return Err(format!("the driver has {counts:?}, the core {stats:?}"));
        }
        // One question a connection, and one about the history.
        let asks = counts.inquiries > counts.connections + 1;
        if counts.calls > view.core.max_in_flight() || counts.probes > counts.connections || asks {
            return Err(format!("too much is open: {counts:?}"));
        }
        Ok(())
    }
}
