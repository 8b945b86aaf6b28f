//! What the core asks of its driver.

use std::collections::BTreeSet;

use etcdium_core::{CallKey, Transmit};

use crate::check::{Check, Fact, View};
use crate::world::LinkStage;

/// Keys are new and grow; a call is opened on a connection that was made, reset at most once and only while the driver
/// has it, and so is a connection dropped. A message is sent only on a call opened for more and neither finished nor
/// reset. What was queued before the driver told an end may still name it.
#[derive(Debug, Default)]
pub(in crate::check) struct Transcript {
    connects: u64,
    opens: u64,
    /// Calls whose request goes on.
    sending: BTreeSet<CallKey>,
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
                if open.more {
                    self.sending.insert(open.call);
                }
                match view.connections.get(open.connection.serial() as usize).map(|c| c.stage) {
                    Some(LinkStage::Open | LinkStage::Broken) => {}
                    stage => return Err(format!("{:?} is opened on {stage:?}", open.call)),
                }
            }
            Transmit::Send { call: key, .. } if !self.sending.contains(key) => {
                return Err(format!("a message is sent on {key:?}, which takes none"));
            }
            Transmit::Finish(key) if !self.sending.remove(key) => {
                return Err(format!("{key:?} is finished twice, or was from the start"));
            }
            Transmit::Reset(key) => match view.calls.get(key.serial() as usize) {
                Some(call) if !call.reset => {
                    self.sending.remove(key);
                }
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
