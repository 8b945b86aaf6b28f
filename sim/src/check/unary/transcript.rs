//! What the core asks of its driver.

use etcdium_core::Transmit;

use crate::check::{Check, Fact, View};
use crate::world::LinkStage;

/// Keys are new and grow; a call is opened on a connection that was made, reset at most once and only while the driver
/// has it, and so is a connection dropped. What was queued before the driver told an end may still name it.
#[derive(Debug, Default)]
pub(in crate::check) struct Transcript {
    connects: u64,
    opens: u64,
}

impl Check for Transcript {
    fn name(&self) -> &'static str {
        "the core opens, resets and drops in order"
    }

    /// Seen before the records change.
    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Sent(transmit) = fact else { return Ok(()) };
        match transmit {
            Transmit::Connect(connect) => {
                if connect.connection.serial() != self.connects {
                    return Err(format!("{:?} is not the next connection", connect.connection));
                }
                self.connects += 1;
            }
            Transmit::Open(open) => {
                if open.call.serial() < self.opens {
                    return Err(format!("{:?} is opened again or late", open.call));
                }
                self.opens = open.call.serial() + 1;
                match view.connections.get(open.connection.serial() as usize).map(|c| c.stage) {
                    Some(LinkStage::Open | LinkStage::Broken) => {}
                    stage => return Err(format!("{:?} is opened on {stage:?}", open.call)),
                }
            }
            Transmit::Reset(key) => match view.calls.get(key.serial() as usize) {
                Some(call) if !call.reset => {}
                _ => return Err(format!("{key:?} is reset twice or was never opened")),
            },
            Transmit::Disconnect(key) => match view.connections.get(key.serial() as usize) {
                Some(connection) if connection.stage != LinkStage::Dropped => {}
                _ => return Err(format!("{key:?} is dropped twice or was never asked for")),
            },
            _ => {}
        }
        Ok(())
    }
}
