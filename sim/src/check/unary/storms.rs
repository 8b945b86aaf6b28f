//! Connections tried too often.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use etcdium_core::{EndpointKey, EndpointStatus, Event};

use crate::check::{Check, Fact, View};

/// The first waits of a row are short by design.
const FIRST: u32 = 3;
/// So many waits are looked at together.
const WAITS: usize = 8;
/// They last so long together. Drawn evenly from zero up to 0.4, 0.8, 1.6 and then 3 s each, they are shorter once in
/// 10^13 times, what a late driver adds included.
const LEAST: Duration = Duration::from_millis(100);

/// An endpoint that was not ready in between is not tried in a storm: from the fourth wait of a row on, eight of them
/// last 100 ms at least.
#[derive(Debug, Default)]
pub(in crate::check) struct Storms {
    endpoints: BTreeMap<EndpointKey, Row>,
}

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    down: Option<Instant>,
    waits: VecDeque<Duration>,
}

impl Check for Storms {
    fn name(&self) -> &'static str {
        "reconnecting backs off"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told(Event::Endpoint { endpoint, status }) = fact else { return Ok(()) };
        let row = self.endpoints.entry(*endpoint).or_default();
        match status {
            EndpointStatus::Down(_) => row.down = Some(view.now),
            EndpointStatus::Connecting => {
                let Some(down) = row.down.take() else { return Ok(()) };
                row.failures += 1;
                if row.failures <= FIRST {
                    return Ok(());
                }
                row.waits.push_back(view.now - down);
                if row.waits.len() > WAITS {
                    row.waits.pop_front();
                }
                let sum: Duration = row.waits.iter().sum();
                if row.waits.len() == WAITS && sum < LEAST {
                    let failures = row.failures;
                    return Err(format!(
                        "{endpoint:?} failed {failures} times in a row, and the last {WAITS} waits took {sum:?}"
                    ));
                }
            }
            _ => {
                self.endpoints.remove(endpoint);
            }
        }
        Ok(())
    }
}
