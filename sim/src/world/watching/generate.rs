//! Scripts of watches out of seeds.

use std::time::Duration;

use super::plan::{Begin, Ending, How, Keys, Reader, WatchPlan};
use crate::rng::Rng;
use crate::world::generate::{self, KEYS, ms};
use crate::world::script::{Action, Cut, Fault, Options, Request, Script, Setup, Step, StreamSetup};

/// The script of this seed.
pub(in crate::world) fn generate(seed: u64) -> Script {
    let mut rng = Rng::of(&[seed, 31]);
    let mut setup = generate::setup(&mut rng);
    setup.streams = Some(streams(&mut rng));
    setup.proxied = rng.chance(100);
    let steps = steps(&mut rng, &setup);
    Script { seed, setup, steps }
}

fn streams(rng: &mut Rng) -> StreamSetup {
    let disorder = generate::disorder(rng);
    let progress_interval = ms(*rng.pick(&[100, 500, 2_000, 600_000]));
    // Progress alone must not fill a stream.
    let least = 40 * disorder.send_delay;
    StreamSetup {
        disorder,
        fragment_bytes: *rng.pick(&[60, 150, 400, 2_000]),
        progress_interval: progress_interval.max(least),
        scripted: None,
    }
}

fn steps(rng: &mut Rng, setup: &Setup) -> Vec<Step> {
    let horizon = ms(*rng.pick(&[1_000, 3_000, 6_000, 15_000]));
    let mut actions = Vec::new();
    // Faults first: what the client does gathers around them.
    let mut moments = vec![Duration::ZERO];
    for _ in 0..3 + rng.index(8) {
        let at = rng.between(Duration::ZERO, horizon);
        moments.push(at);
        let action = fault(rng, setup);
        generate::strike(rng, &mut actions, at, action);
    }
    let around = |rng: &mut Rng| {
        if rng.chance(600) {
            *rng.pick(&moments) + rng.between(Duration::ZERO, ms(400))
        } else {
            rng.between(Duration::ZERO, horizon)
        }
    };
    for _ in 0..2 + rng.index(7) {
        let at = if rng.chance(500) { rng.between(Duration::ZERO, ms(200)) } else { around(rng) };
        actions.push((at, Action::Watch(watch(rng, setup))));
    }
    for _ in 0..rng.index(8) {
        actions.push((around(rng), Action::AskProgress(rng.index(8))));
    }
    for _ in 0..25 + rng.index(45) {
        let at = around(rng);
        // Bursts fill buffers and make fragments.
        let burst = if rng.chance(60) { 1 + rng.index(15) } else { 1 };
        for _ in 0..burst {
            let options = if burst > 1 { Options::default() } else { generate::options(rng, setup) };
            actions.push((at, Action::Start(request(rng), options)));
        }
    }
    generate::in_order(actions)
}

/// What goes wrong: as for other operations, and more often what streams feel.
fn fault(rng: &mut Rng, setup: &Setup) -> Action {
    let member = rng.index(setup.members);
    let action = match rng.index(20) {
        0..=2 => generate::cut(rng, member),
        3 => Action::GoAway(member, rng.below(3) as u8),
        4..=5 => Action::Compact(rng.below(6) as u8),
        6 => {
            Action::Fault(Fault::Lag(rng.between(ms(10), ms(3_000))), member, rng.between(ms(50), ms(3_000)))
        }
        _ => generate::fault(rng, setup),
    };
    match action {
        // What a proxy has seen it does not forget.
        Action::Restore { .. } if setup.proxied => Action::Cut(member, Cut::Mixed),
        action => action,
    }
}

fn request(rng: &mut Rng) -> Request {
    let key = rng.below(u64::from(KEYS)) as u8;
    match rng.index(20) {
        0..=6 => Request::Put(key, None),
        7..=8 => Request::Delete(key),
        9..=13 => {
            let count = 1 + rng.below(u64::from(KEYS)) as u8;
            Request::Many {
                first: key,
                count,
                deletions: rng.below(1 << KEYS) as u8 & rng.below(1 << KEYS) as u8,
            }
        }
        14 => Request::Compact(rng.below(6) as u8),
        _ => generate::request(rng),
    }
}

fn watch(rng: &mut Rng, setup: &Setup) -> WatchPlan {
    let first = rng.below(u64::from(KEYS)) as u8;
    let keys = match rng.index(8) {
        0..=2 => Keys::One(first),
        3 if first + 1 < KEYS => Keys::Range(first, first + 1 + rng.below(u64::from(KEYS - first)) as u8),
        3..=4 => Keys::From(first),
        _ => Keys::All,
    };
    let begin = match rng.index(8) {
        0..=3 => Begin::Now,
        4..=5 => Begin::Past(rng.below(20) as u8),
        6 => Begin::Future(1),
        _ => Begin::Future(1 + rng.below(10) as u8),
    };
    let reader = match rng.index(6) {
        0 => Reader::Slow(rng.between(ms(1), ms(300))),
        1 => Reader::Stops(rng.below(6) as u8, rng.between(ms(100), ms(10_000))),
        _ => Reader::Quick,
    };
    let end = rng.chance(300).then(|| {
        let wait = match rng.index(3) {
            0 => rng.between(Duration::ZERO, ms(50)),
            1 => rng.between(ms(50), ms(1_000)),
            _ => rng.between(ms(500), ms(8_000)),
        };
        (wait, if rng.chance(500) { Ending::Cancel } else { Ending::Drop })
    });
    WatchPlan { keys, begin, how: how(rng, setup), reader, end }
}

fn how(rng: &mut Rng, setup: &Setup) -> How {
    let filter = rng.index(12);
    let mut how = How {
        no_put: filter == 0,
        no_delete: filter == 1,
        prev_kv: rng.chance(400),
        progress_notify: rng.chance(400),
        fragment: rng.chance(700),
        created: rng.chance(400),
        notices: rng.chance(500),
        max_buffer: rng.chance(350).then(|| *rng.pick(&[1, 600, 1_500, 4_000])),
        require_leader: rng.chance(850),
        lane: if rng.chance(250) { 1 + rng.below(2) as u8 } else { 0 },
        endpoint: None,
    };
    if rng.chance(60) {
        how.endpoint = Some(rng.below((setup.members + setup.decoys.len()) as u64) as u8);
    }
    how
}
