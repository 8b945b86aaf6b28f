//! Servers that say nothing.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use etcdium_core::{EndpointKey, EndpointStatus, Event, Transmit};

use crate::check::{Check, Fact, View};
use crate::world::{LinkStage, PauseRecord, done_by};

/// The client's settings (`Config::silence`).
const SILENCE: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_secs(2);
/// How long a client that itself was stopped gives what it may not have read.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// An endpoint that is ready and on whose connection nothing came for 3 s, while a call waited all that time, is down; a
/// client that was paused may take longer by the pause and its last chances.
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
        // Calls that were given up may have set the clock.
        let earliest = connection.heard.map_or(since, |heard| heard.min(since));
        let due = due(earliest..=since, view.pauses, view.setup.turn);
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

/// When a connection is given up at the latest whose silence counts since some time of these.
///
/// The client may act at any time of a turn, and whether it finds itself late decides whether there is another last chance.
fn due(since: RangeInclusive<Instant>, pauses: &[PauseRecord], turn: Duration) -> Instant {
    let asleep = |due: Instant, pause: &PauseRecord| pause.from < due && due < pause.until;
    let soon = |due: Instant| {
        pauses.iter().fold(due, |due, pause| if asleep(due, pause) { pause.until } else { due })
    };
    let done = |due: Instant| done_by(due, pauses, turn);
    // The end of the last chance, if all is done as soon as may be and as late as may be.
    let mut soonest = soon(soon(*since.start() + SILENCE) + PROBE - LAST_CHANCE) + LAST_CHANCE;
    let mut latest = done(done(*since.end() + SILENCE) + PROBE - LAST_CHANCE) + LAST_CHANCE;
    loop {
        // The latest of all is done what is due when a pause begins, or soonest.
        let begins = pauses.iter().filter_map(|pause| pause.from.checked_sub(turn));
        let worst = begins.filter(|at| (soonest..=latest).contains(at)).chain([soonest]);
        let late = worst.filter(|at| done(*at) - *at > LAST_CHANCE / 2);
        let Some(found) = late.map(|at| (done(at) - turn).max(at + LAST_CHANCE / 2)).min() else {
            return done(latest);
        };
        (soonest, latest) = (found + LAST_CHANCE, done(latest) + LAST_CHANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When silence since 0 is noticed by a client that sleeps between these times, in milliseconds.
    fn noticed(pauses: &[(u64, u64)], turn: u64) -> Duration {
        let start = Instant::now();
        let record =
            |&(from, until): &(u64, u64)| PauseRecord { from: start + ms(from), until: start + ms(until) };
        let pauses: Vec<_> = pauses.iter().map(record).collect();
        due(start..=start, &pauses, ms(turn)) - start
    }

    #[test]
    fn silence_is_noticed_after_3_s() {
        assert_eq!(noticed(&[], 0), ms(3_000));
        assert_eq!(noticed(&[(1_500, 2_000), (4_000, 9_000)], 0), ms(3_000));
        // The silence, the probe's time-out and the last chance end a turn late each.
        assert_eq!(noticed(&[], 2), ms(3_006));
    }

    #[test]
    fn a_pause_is_added() {
        assert_eq!(noticed(&[(900, 1_400)], 0), ms(3_400));
        // The last chance begins after it.
        assert_eq!(noticed(&[(2_800, 4_000)], 0), ms(4_100));
        // It ends a little late.
        assert_eq!(noticed(&[(2_980, 3_050)], 0), ms(3_050));
    }

    #[test]
    fn who_is_late_for_the_last_chance_gets_another() {
        assert_eq!(noticed(&[(2_980, 3_051)], 0), ms(3_151));
        assert_eq!(noticed(&[(2_980, 3_051), (3_140, 3_300)], 0), ms(3_400));
        // Also who was early in one turn and late in the next: it ends at 3,000 or 3,004, and is looked at at 3,050 or 3,052.
        assert_eq!(noticed(&[(2_980, 3_050)], 2), ms(3_154));
    }

    #[test]
    fn a_call_that_was_given_up_may_have_set_the_clock() {
        let start = Instant::now();
        let pause = PauseRecord { from: start + ms(2_950), until: start + ms(3_030) };
        let due = |earliest: u64| due(start - ms(earliest)..=start, &[pause], ms(0)) - start;
        assert_eq!(due(0), ms(3_030));
        // The last chance may have ended when the pause began.
        assert_eq!(due(60), ms(3_130));
    }
}
