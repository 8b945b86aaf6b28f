//! Which endpoint a call goes to.

use std::collections::BTreeSet;

use etcdium_core::{EndpointKey, EndpointStatus, Event, Transmit};

use crate::check::{Check, Fact, View};

/// Operations are sent to endpoints that are ready by the core's own events, at some time since the last drain, and to
/// no other endpoint than the one they are pinned to. The driver carries out what the core wants before it is told
/// of events, so calls are judged at the end of a drain.
#[derive(Debug, Default)]
pub(in crate::check) struct Picking {
    ready: BTreeSet<EndpointKey>,
    /// Ready at some time since the last drain.
    lately: Vec<EndpointKey>,
    opened: Vec<usize>,
}

impl Check for Picking {
    fn name(&self) -> &'static str {
        "calls go to endpoints that are ready"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Sent(Transmit::Open(open)) => self.opened.push(open.call.serial() as usize),
            Fact::Told(Event::Endpoint { endpoint, status }) => {
                if *status == EndpointStatus::Ready {
                    self.ready.insert(*endpoint);
                    self.lately.push(*endpoint);
                } else if self.ready.remove(endpoint) {
                    self.lately.push(*endpoint);
                }
            }
            Fact::Drained => {
                for call in self.opened.drain(..).map(|call| &view.calls[call]) {
                    let Some(op) = call.op.map(|op| &view.ops[op]) else { continue };
                    let endpoint = view.connections[call.connection].endpoint;
                    if !self.ready.contains(&endpoint) && !self.lately.contains(&endpoint) {
                        return Err(format!("step {} was sent to {endpoint:?}, which is not ready", op.id));
                    }
                    if op.pinned.is_some_and(|pinned| pinned != endpoint) {
                        return Err(format!("step {} was sent to {endpoint:?}, not to its own", op.id));
                    }
                }
                self.lately.clear();
            }
            _ => {}
        }
        Ok(())
    }
}
