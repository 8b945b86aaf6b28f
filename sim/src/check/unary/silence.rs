//! Servers that say nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use etcdium_core::{EndpointKey, EndpointStatus, Event, Transmit};

use crate::check::{Check, Fact, View};
use crate::world::{LinkStage, done_by};

/// The client's settings (`Config::silence`).
const SILENCE: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_secs(2);
/// How long a client that itself was stopped gives what it may not have read.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// An endpoint that is ready and on whose connection nothing came for 3 s, while a call waited all that time, is down; a
/// client that was paused may take longer by the pause and its last chance.
#[derive(Debug, Default)]
pub(in crate::check) struct Silence {
    ready: BTreeMap<EndpointKey, Link>,
    /// The links of endpoints that the driver opened before it told that they are ready.
    early: Vec<(usize, usize, Instant)>,
}

#[derive(Debug)]
struct Link {
    connection: usize,
    /// Calls of operations and when they were opened, oldest first.
    calls: VecDeque<(usize, Instant)>,
}

impl Check for Silence {
    fn name(&self) -> &'static str {
        "silence is noticed"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Sent(Transmit::Open(open)) => {
                // Seen after the call was recorded.
                let call = open.call.serial() as usize;
                let Some(record) = view.calls.get(call).filter(|record| record.op.is_some()) else {
                    return Ok(());
                };
                let endpoint = view.connections[record.connection].endpoint;
                match self.ready.get_mut(&endpoint) {
                    Some(link) if link.connection == record.connection => {
                        link.calls.push_back((call, view.now));
                    }
                    _ => self.early.push((record.connection, call, view.now)),
                }
            }
            Fact::Told(Event::Endpoint { endpoint, status: EndpointStatus::Ready }) => {
                let made = view.connections.iter().rposition(|c| c.endpoint == *endpoint);
                let Some(connection) = made else { return Ok(()) };
                let early = self.early.iter().filter(|(on, ..)| *on == connection);
                let calls = early.map(|(_, call, at)| (*call, *at)).collect();
                self.ready.insert(*endpoint, Link { connection, calls });
            }
            Fact::Told(Event::Endpoint { endpoint, .. }) => {
                self.ready.remove(endpoint);
            }
            Fact::Drained | Fact::Quiet => {
                self.early.clear();
                return self.ready.values_mut().try_for_each(|link| link.judge(view));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Link {
    fn judge(&mut self, view: &View<'_>) -> Result<(), String> {
        let connection = &view.connections[self.connection];
        while self.calls.front().is_some_and(|(call, _)| view.calls[*call].over) {
            self.calls.pop_front();
        }
        let Some((call, opened)) = self.calls.front() else { return Ok(()) };
        let since = connection.heard.map_or(*opened, |heard| heard.max(*opened));
        // Cheap to see that it is not even due without any pause.
        if connection.stage != LinkStage::Open || view.now <= since + SILENCE + PROBE {
            return Ok(());
        }
        let due = due(since, view);
        if view.now > due {
            let silent = view.now - since;
            return Err(format!(
                "{:?} said nothing for {silent:?} and is not down; {:?} waits for it",
                connection.endpoint, view.calls[*call]
            ));
        }
        Ok(())
    }
}

/// When a connection silent since then is given up.
fn due(since: Instant, view: &View<'_>) -> Instant {
    let done = |due: Instant| done_by(due, view.pauses, view.setup.turn);
    let mut due = done(since + SILENCE);
    let mut planned = due + PROBE - LAST_CHANCE;
    loop {
        due = done(planned);
        let late = due - planned > LAST_CHANCE / 2;
        planned = due + LAST_CHANCE;
        // One that was late gets another last chance.
        if !late {
            let last = done(planned);
            if last - planned <= LAST_CHANCE / 2 {
                return last;
            }
            planned = last + LAST_CHANCE;
        }
    }
}
