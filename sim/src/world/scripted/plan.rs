//! Scripts of watches and leases out of seeds.

use std::time::Duration;

use crate::rng::Rng;
use crate::world::generate::{self, ms};
use crate::world::leasing;
use crate::world::script::{
    Action, Fault, Mix, Options, Request, Script, Scripted, Setup, Step, StreamSetup,
};
use crate::world::watching;

/// How many keys there are.
pub(super) const KEYS: u8 = 4;

impl Script {
    /// The script of this seed in this mix.
    pub fn of(mix: Mix, seed: u64) -> Self {
        match mix {
            Mix::Unary => Self::generate(seed),
            Mix::Watch => watching::generate(seed),
            Mix::Lease => leasing::generate(seed),
            Mix::Scripted => {
                let mut rng = Rng::of(&[seed, 21]);
                let streams = streams(&mut rng);
                let setup = setup(&mut rng, streams);
                let steps = steps(&mut rng, &setup);
                Self { seed, setup, steps }
            }
        }
    }
}

fn streams(rng: &mut Rng) -> StreamSetup {
    let disorder = generate::disorder(rng);
    StreamSetup {
        disorder,
        fragment_bytes: *rng.pick(&[300, 600, 2_000]),
        progress_interval: ms(*rng.pick(&[100, 500, 2_000, 600_000])),
        scripted: Some(Scripted {
            watches: (0..1 + rng.index(2)).map(|_| 1 + rng.index(3)).collect(),
            leases: 1 + rng.index(2),
        }),
    }
}

fn setup(rng: &mut Rng, streams: StreamSetup) -> Setup {
    let low = Duration::from_micros(*rng.pick(&[100, 1_000, 10_000, 50_000]));
    let spread = Duration::from_micros(*rng.pick(&[1, 2_000, 20_000, 100_000]));
    Setup {
        members: *rng.pick(&[1, 2, 3, 3, 3, 5]),
        learners: 0,
        minor: *rng.pick(&[4, 4, 5, 6, 7, 7]),
        commit_latency: if rng.chance(500) { Duration::ZERO } else { ms(rng.below(30)) },
        decoys: Vec::new(),
        max_in_flight: 0,
        timeout: None,
        latency: (low, low + spread),
        turn: Duration::ZERO,
        pieces: 0,
        tells_received: false,
        news_first: false,
        abrupt_close: false,
        limits: crate::world::Limits::default(),
        proxied: rng.chance(200),
        streams: Some(streams),
    }
}

fn steps(rng: &mut Rng, setup: &Setup) -> Vec<Step> {
    let horizon = ms(*rng.pick(&[2_000, 5_000, 10_000, 20_000]));
    let mut actions = Vec::new();
    let mut moments = Vec::new();
    for _ in 0..3 + rng.index(8) {
        let at = rng.between(Duration::ZERO, horizon);
        moments.push(at);
        let action = fault(rng, setup);
        generate::strike(rng, &mut actions, at, action);
    }
    for _ in 0..30 + rng.index(50) {
        let at = if rng.chance(500) {
            *rng.pick(&moments) + rng.between(Duration::ZERO, ms(600))
        } else {
            rng.between(Duration::ZERO, horizon)
        };
        let burst = if rng.chance(50) { 1 + rng.index(10) } else { 1 };
        for _ in 0..burst {
            let action = if rng.chance(120) {
                Action::AskProgress(rng.index(2))
            } else {
                Action::Start(write(rng), Options::default())
            };
            actions.push((at, action));
        }
    }
    generate::in_order(actions)
}

fn write(rng: &mut Rng) -> Request {
    let key = rng.below(u64::from(KEYS)) as u8;
    let lease = rng.below(2) as u8;
    match rng.index(20) {
        0..=8 => Request::Put(key, rng.chance(200).then_some(lease)),
        9..=12 => Request::Delete(key),
        13..=18 => Request::CompareAndSet(key),
        _ => Request::Revoke(lease),
    }
}

fn fault(rng: &mut Rng, setup: &Setup) -> Action {
    let member = rng.index(setup.members);
    let lasting = match rng.index(3) {
        0 => rng.between(ms(1), ms(200)),
        1 => rng.between(ms(100), ms(2_000)),
        _ => rng.between(ms(1_000), ms(9_000)),
    };
    let fault = |fault| Action::Fault(fault, member, lasting);
    match rng.index(28) {
        0..=2 => fault(Fault::Kill),
        3 => fault(Fault::Isolate),
        4..=6 => fault(Fault::Lag(rng.between(ms(10), ms(3_000)))),
        7 => fault(Fault::NoLeader),
        8 => fault(Fault::NotCapable),
        9 => fault(Fault::Blackhole),
        10 => fault(Fault::CutThere),
        11 => fault(Fault::CutBack),
        12 => fault(Fault::RefuseDials),
        13..=17 => generate::cut(rng, member),
        18..=19 => Action::MoveLeader(member),
        20..=22 => Action::Compact(rng.below(6) as u8),
        23 => Action::Pause(rng.between(ms(1), ms(12_000))),
        _ => Action::Restore { other: rng.chance(500) },
    }
}
