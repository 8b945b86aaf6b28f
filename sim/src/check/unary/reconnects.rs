//! Back-off between connections.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcdium_core::{BackoffConfig, EndpointKey, EndpointStatus, Event};

use crate::check::{Check, Fact, View};
use crate::world::done_by;

/// After the `n`-th failure in a row (from 0) an endpoint is tried again within `base * 2^n`, at most the cap; a call
/// that succeeded on a connection sets `n` back to 0.
#[derive(Debug, Default)]
pub(in crate::check) struct Reconnects {
    endpoints: BTreeMap<EndpointKey, Row>,
    /// Operations told as done and not taken: their endpoint, and how often that had gone down by then.
    done: BTreeMap<usize, (EndpointKey, u32)>,
}

/// The failures of one endpoint.
#[derive(Debug, Default)]
struct Row {
    downs: u32,
    failures: u32,
    down: Option<Instant>,
}

impl Check for Reconnects {
    fn name(&self) -> &'static str {
        "back-off starts again after a success"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Told(Event::OpDone(key)) => {
                let op = key.serial() as usize;
                if let Some((endpoint, row)) = self.row(view, op) {
                    self.done.insert(op, (endpoint, row.downs));
                }
            }
            Fact::Ended(op, outcome) => {
                let Some((endpoint, downs)) = self.done.remove(op) else { return Ok(()) };
                // If it went down between the end and the look at it, that failure has been counted already.
                if let Some(row) = self.endpoints.get_mut(&endpoint) {
                    if outcome.is_ok() && row.downs == downs && row.down.is_none() {
                        row.failures = 0;
                    }
                }
            }
            Fact::Told(Event::Endpoint { endpoint, status }) => {
                let row = self.endpoints.entry(*endpoint).or_default();
                match status {
                    EndpointStatus::Down(_) => {
                        row.downs += 1;
                        row.down = Some(view.now);
                    }
                    EndpointStatus::Connecting => {
                        let Some(down) = row.down.take() else { return Ok(()) };
                        let backoff = BackoffConfig::default();
                        let factor = 2_u32.saturating_pow(row.failures);
                        let longest = backoff.base.saturating_mul(factor).min(backoff.cap);
                        let failures = row.failures;
                        row.failures += 1;
                        // Either end may be told late.
                        let due = done_by(
                            down + longest.max(Duration::from_millis(1)),
                            view.pauses,
                            view.setup.turn,
                        );
                        if view.now > due {
                            let waited = view.now - down;
                            return Err(format!(
                                "{endpoint:?} was tried again {waited:?} after it went down; \
                                 {failures} failures before it since a success"
                            ));
                        }
                    }
                    EndpointStatus::Removed => {
                        self.endpoints.remove(endpoint);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Reconnects {
    /// The endpoint of the operation's last call, if that was made on its latest connection: what is answered on one
    /// that goes away proves nothing of the next.
    fn row(&self, view: &View<'_>, op: usize) -> Option<(EndpointKey, &Row)> {
        let call = &view.calls[*view.ops.get(op)?.calls.last()?];
        let endpoint = view.connections[call.connection].endpoint;
        if view.connections[call.connection + 1..].iter().any(|later| later.endpoint == endpoint) {
            return None;
        }
        let row = self.endpoints.get(&endpoint).filter(|row| row.down.is_none())?;
        Some((endpoint, row))
    }
}
