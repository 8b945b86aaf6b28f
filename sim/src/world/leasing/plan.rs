//! What a lease of the client is asked to be, and scripts of leases out of seeds.

use std::time::Duration;

use crate::rng::Rng;
use crate::world::generate::{fault, ms, options, request, setup};
use crate::world::script::{Action, Request, Script, Step};

/// A lease of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasePlan {
    /// Where it comes from.
    pub source: LeaseSource,
    /// How long its beginning may take.
    pub timeout: Duration,
    /// When the client gives it up, if it does, and whether it is revoked then.
    pub end: Option<(Duration, bool)>,
}

/// Where a lease of the client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseSource {
    /// The client grants it for so many seconds.
    Grant(u16),
    /// It is one of those granted before.
    Keep(u8),
    /// The same, and it is renewed once.
    Once(u8),
}

/// The script of this seed.
pub(in crate::world) fn generate(seed: u64) -> Script {
    let mut rng = Rng::of(&[seed, 31]);
    let mut setup = setup(&mut rng);
    setup.proxied = rng.chance(100);
    // Calls that wait for their turn are another mix's matter.
    setup.max_in_flight = 16_384;
    let horizon = ms(*rng.pick(&[3_000, 8_000, 15_000, 30_000]));
    let mut actions = Vec::new();
    let mut moments = vec![Duration::ZERO];
    for _ in 0..rng.index(9) {
        let at = rng.between(Duration::ZERO, horizon);
        moments.push(at);
        let action = fault(&mut rng, &setup);
        if matches!(action, Action::Restore { .. }) {
            actions.push((rng.between(Duration::ZERO, at), Action::Backup));
        }
        actions.push((at, action));
    }
    if rng.chance(300) {
        actions.push((rng.between(Duration::ZERO, horizon), Action::DenyRenewals(rng.index(4) as u8)));
    }
    for _ in 0..2 + rng.index(8) {
        let at =
            if rng.chance(500) { rng.between(Duration::ZERO, ms(500)) } else { rng.between(ms(0), horizon) };
        actions.push((at, Action::Lease(plan(&mut rng, horizon))));
    }
    for _ in 0..rng.index(20) {
        let at = if rng.chance(600) {
            *rng.pick(&moments) + rng.between(Duration::ZERO, ms(400))
        } else {
            rng.between(Duration::ZERO, horizon)
        };
        let request = request(&mut rng);
        // Plain leases are another mix's matter.
        if !matches!(request, Request::Grant(..) | Request::Revoke(_) | Request::TimeToLive(_)) {
            actions.push((at, Action::Start(request, options(&mut rng, &setup))));
        }
    }
    if rng.chance(300) {
        actions.push((rng.between(Duration::ZERO, horizon), Action::RevokeLease(rng.index(4) as u8)));
    }
    actions.sort_by_key(|(at, _)| *at);
    let steps = actions.into_iter().zip(0..).map(|((at, action), id)| Step { id, at, action }).collect();
    Script { seed, setup, steps }
}

fn plan(rng: &mut Rng, horizon: Duration) -> LeasePlan {
    let slot = rng.below(6) as u8;
    let source = match rng.index(10) {
        0..=5 => LeaseSource::Grant(*rng.pick(&[1, 2, 3, 5, 6, 8, 12, 20, 600])),
        6..=8 => LeaseSource::Keep(slot),
        _ => LeaseSource::Once(slot),
    };
    let end = rng.chance(350).then(|| {
        let wait = if rng.chance(500) { rng.between(ms(0), ms(200)) } else { rng.between(ms(0), horizon) };
        (wait, rng.chance(500))
    });
    LeasePlan { source, timeout: ms(*rng.pick(&[500, 3_000, 10_000, 30_000])), end }
}
