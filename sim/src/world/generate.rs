//! Scripts out of seeds.

use std::time::Duration;

use super::script::{Action, Cut, Decoy, Fault, Limits, Options, Reading, Request, Script, Setup, Step};
use crate::model::Disorder;
use crate::rng::Rng;

/// How many keys the operations share.
pub(crate) const KEYS: u8 = 5;
/// How many leases are known at a time.
pub(crate) const LEASES: u8 = 3;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Script {
    /// The script of this seed.
    pub fn generate(seed: u64) -> Self {
        let mut rng = Rng::of(&[seed, 1]);
        let mut setup = setup(&mut rng);
        // Drawn apart: the rest of the script does not depend on it.
        setup.proxied = Rng::of(&[seed, 20]).chance(100);
        let steps = steps(&mut rng, &setup);
        Self { seed, setup, steps }
    }
}

pub(super) fn setup(rng: &mut Rng) -> Setup {
    let members = *rng.pick(&[1, 1, 2, 3, 3, 3, 3, 5]);
    let learners = usize::from(members > 2 && rng.chance(100));
    let decoys = if rng.chance(200) {
        let kinds = [Decoy::Refuses, Decoy::Hangs, Decoy::Wrong];
        (0..=rng.index(2)).map(|_| *rng.pick(&kinds)).collect()
    } else {
        Vec::new()
    };
    let low = ms(0) + Duration::from_micros(*rng.pick(&[0, 100, 1_000, 10_000, 50_000]));
    let spread = Duration::from_micros(*rng.pick(&[1, 200, 2_000, 20_000, 100_000]));
    Setup {
        members,
        learners,
        minor: *rng.pick(&[4, 5, 6, 7, 7, 7]),
        commit_latency: if rng.chance(500) { Duration::ZERO } else { ms(rng.below(30)) },
        limits: limits(rng),
        decoys,
        max_in_flight: if rng.chance(250) { 1 + rng.index(4) } else { 16_384 },
        timeout: *rng.pick(&[Some(ms(10_000)), Some(ms(10_000)), Some(ms(2_000)), Some(ms(400)), None]),
        latency: (low, low + spread),
        turn: if rng.chance(250) { Duration::from_micros(rng.below(5_000)) } else { Duration::ZERO },
        pieces: *rng.pick(&[0, 100, 500]),
        tells_received: rng.chance(800),
        news_first: rng.chance(700),
        abrupt_close: rng.chance(100),
        proxied: false,
        streams: None,
    }
}

fn limits(rng: &mut Rng) -> Limits {
    match rng.index(30) {
        // Every put fits and few transactions do.
        0 => Limits { request_bytes: Some(30 + rng.index(40)), ..Limits::default() },
        1..=2 => Limits { gap: Some(rng.below(5)), ..Limits::default() },
        // An empty store takes 20 KiB.
        3 => Limits { quota: Some(20_736 + rng.below(6_000)), ..Limits::default() },
        _ => Limits::default(),
    }
}

fn steps(rng: &mut Rng, setup: &Setup) -> Vec<Step> {
    let horizon = ms(*rng.pick(&[1_000, 3_000, 6_000, 12_000]));
    let mut actions = Vec::new();
    // Faults first: what the client does gathers around them.
    let (wanted, mut faults) = (3 + rng.index(8), 0);
    let mut moments = Vec::new();
    while moments.len() < wanted || faults < 3 {
        let at = rng.between(Duration::ZERO, horizon);
        moments.push(at);
        let action = fault(rng, setup);
        faults += usize::from(action.is_fault());
        strike(rng, &mut actions, at, action);
    }
    let ops = 30 + rng.index(60);
    for _ in 0..ops {
        let at = if rng.chance(600) {
            *rng.pick(&moments) + rng.between(Duration::ZERO, ms(400))
        } else {
            rng.between(Duration::ZERO, horizon)
        };
        let action = Action::Start(request(rng), options(rng, setup));
        actions.push((at, action.clone()));
        if rng.chance(30) {
            // A burst, for limits and queues.
            for _ in 0..rng.index(10) {
                actions.push((at, Action::Start(request(rng), options(rng, setup))));
            }
        }
    }
    in_order(actions)
}

/// Adds a fault at its time, and what has to come before it.
pub(super) fn strike(rng: &mut Rng, actions: &mut Vec<(Duration, Action)>, at: Duration, fault: Action) {
    if matches!(fault, Action::Restore { .. }) {
        // There has to be something to restore.
        actions.push((rng.between(Duration::ZERO, at), Action::Backup));
    }
    actions.push((at, fault));
}

/// Steps in the order of their times; those of equal times keep the order in which they were drawn.
pub(super) fn in_order(mut actions: Vec<(Duration, Action)>) -> Vec<Step> {
    actions.sort_by_key(|(at, _)| *at);
    actions.into_iter().zip(0..).map(|((at, action), id)| Step { id, at, action }).collect()
}

/// How disorderly the watches of a server are.
pub(super) fn disorder(rng: &mut Rng) -> Disorder {
    if rng.chance(400) {
        return Disorder::default();
    }
    Disorder {
        send_delay: ms(*rng.pick(&[0, 1, 20, 100])),
        create_delay: ms(*rng.pick(&[0, 1, 20, 200])),
        sync_delay: ms(*rng.pick(&[0, 50, 500])),
        shuffle: rng.chance(700),
    }
}

/// One of the ways in which the calls of a member are cut.
pub(super) fn cut(rng: &mut Rng, member: usize) -> Action {
    Action::Cut(member, *rng.pick(&[Cut::BeforeArrival, Cut::AfterArrival, Cut::Mixed, Cut::Silent]))
}

pub(super) fn fault(rng: &mut Rng, setup: &Setup) -> Action {
    let member = rng.index(setup.members);
    let lasting = match rng.index(12) {
        0..=2 => rng.between(ms(1), ms(100)),
        3..=8 => rng.between(ms(50), ms(1_500)),
        9..=10 => rng.between(ms(1_000), ms(8_000)),
        _ => rng.between(ms(8_000), ms(30_000)),
    };
    let fault = |fault| Action::Fault(fault, member, lasting);
    let kind = loop {
        let kind = rng.index(34);
        // A single member has no peers.
        if setup.members > 1 || !matches!(kind, 3 | 26) {
            break kind;
        }
    };
    match kind {
        0..=2 => fault(Fault::Kill),
        3 => fault(Fault::Isolate),
        4..=5 => fault(Fault::Lag(rng.between(ms(10), ms(3_000)))),
        6 => fault(Fault::NoLeader),
        7 => fault(Fault::NotCapable),
        8 => fault(Fault::Slow(rng.between(ms(10), ms(4_000)))),
        9 => fault(Fault::Blackhole),
        10 => fault(Fault::CutThere),
        11 => fault(Fault::CutBack),
        12 => fault(Fault::RefuseDials),
        13 => fault(Fault::HangDials),
        14 => fault(Fault::WrongServer),
        15 => fault(Fault::RefuseStreams),
        16 => fault(Fault::NotSent),
        17 => fault(Fault::ResetStreams),
        18 => fault(Fault::Proxy503),
        19 => fault(Fault::Garbage),
        20..=22 => cut(rng, member),
        23..=25 => Action::GoAway(member, *rng.pick(&[0, 0, 1, 3, 255])),
        26 => Action::MoveLeader(member),
        27 => Action::Compact(rng.below(10) as u8),
        28 => Action::Pause(match rng.index(3) {
            0 => rng.between(ms(1), ms(300)),
            1 => rng.between(ms(300), ms(5_000)),
            _ => rng.between(ms(5_000), ms(60_000)),
        }),
        29..=30 => {
            let endpoints = setup.members + setup.decoys.len();
            // Rarely none at all.
            let set = if rng.chance(50) { 0 } else { 1 + rng.below((1 << endpoints) - 1) };
            Action::SetEndpoints(set as u8)
        }
        31 => Action::Backup,
        _ => Action::Restore { other: rng.chance(500) },
    }
}

pub(super) fn request(rng: &mut Rng) -> Request {
    let key = rng.below(u64::from(KEYS)) as u8;
    let lease = rng.below(u64::from(LEASES)) as u8;
    match rng.index(40) {
        0..=10 => Request::Put(key, rng.chance(250).then_some(lease)),
        11..=17 => Request::Get(key, reading(rng)),
        18..=20 => Request::List(reading(rng)),
        21..=23 => Request::Delete(key),
        24..=28 => Request::CompareAndSet(key),
        29..=30 => Request::ReadTxn(key, rng.below(u64::from(KEYS)) as u8),
        31..=32 => Request::Grant(lease, 1 + rng.below(8) as u8),
        33 => Request::Revoke(lease),
        34..=35 => Request::TimeToLive(lease),
        36 => Request::Compact(rng.below(10) as u8),
        37..=38 => Request::Status,
        _ => Request::Connect,
    }
}

fn reading(rng: &mut Rng) -> Reading {
    match rng.index(10) {
        0..=5 => Reading::Linearizable,
        6..=8 => Reading::Serializable,
        _ => Reading::Past(rng.below(10) as u8),
    }
}

pub(super) fn options(rng: &mut Rng, setup: &Setup) -> Options {
    let mut options = Options::default();
    match rng.index(20) {
        0 => options.timeout = Some(Some(rng.between(Duration::ZERO, ms(20)))),
        1 => options.timeout = Some(Some(rng.between(ms(20), ms(500)))),
        2 => options.timeout = Some(Some(rng.between(ms(500), ms(5_000)))),
        3..=5 => options.timeout = Some(None),
        6 => options.timeout = Some(Some(Duration::ZERO)).filter(|_| rng.chance(100)),
        _ => {}
    }
    if rng.chance(80) {
        options.endpoint = Some(rng.below((setup.members + setup.decoys.len()) as u64) as u8);
    }
    if rng.chance(100) {
        options.cancel = Some(match rng.index(3) {
            0 => Duration::ZERO,
            1 => rng.between(Duration::ZERO, ms(50)),
            _ => rng.between(ms(50), ms(3_000)),
        });
    }
    if rng.chance(50) {
        options.late = Some(rng.between(Duration::ZERO, ms(1_000)));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_hold_what_they_should() {
        let scripts: Vec<Script> = (0..300).map(Script::generate).collect();
        assert!(scripts.iter().all(|script| script.faults() >= 3));
        assert!(scripts.iter().all(|script| script.steps.is_sorted_by_key(|step| step.at)));
        assert!(scripts.iter().all(|script| script.steps.iter().zip(0..).all(|(step, id)| step.id == id)));
        assert_eq!(Script::generate(7), scripts[7]);
        assert_ne!(scripts[7].steps, scripts[8].steps);
    }
}
