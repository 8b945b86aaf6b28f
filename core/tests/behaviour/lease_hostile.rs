//! Servers that answer renewals as they like: nothing panics, nothing spins, and no lease is believed in for longer than some
//! answer allows.

use std::collections::BTreeMap;
use std::time::Instant;

use etcdium_core::{KeeperKey, LeaseState, OnDrop, ResetCause};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn answers_that_were_not_asked_for_change_nothing() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, 60);
    let call = world.call();
    for (id, ttl) in [(7, 600), (8, 60), (0, 60), (-1, 60), (i64::MIN, i64::MIN), (7, 0), (7, -1)] {
        world.renew(call, id, ttl);
        assert_eq!(world.alive(keeper), Some(s(60)), "{id} {ttl}");
    }
    assert_eq!(world.call(), call);
}

#[test]
fn a_negative_time_to_live_is_none() {
    for ttl in [-1, i64::MIN] {
        let mut world = World::connected(1);
        let keeper = world.kept(7, 60);
        world.advance(s(20));
        let call = world.call();
        world.renew(call, 7, ttl);
        assert!(matches!(world.state(keeper), Some(LeaseState::Lost { .. })));
    }
}

#[test]
fn the_longest_time_to_live_is_a_time() {
    let mut world = World::connected(1);
    let keeper = world.kept(7, i64::MAX);
    assert!(world.alive(keeper).unwrap() > s(1_000_000_000 / 2));
    assert!(world.core.poll_timeout().is_some());
}

/// As etcd's grpc-proxy answers.
#[test]
fn answers_in_any_order_find_their_lease() {
    let mut world = World::connected(1);
    let keepers: Vec<_> = (1..=50).map(|id| world.keep(id)).collect();
    let call = world.call();
    for id in [50, 3, 17].into_iter().chain((1..=49).rev().filter(|id| ![3, 17].contains(id))) {
        world.renew(call, id, 60 + id);
    }
    for (keeper, id) in keepers.into_iter().zip(1..) {
        assert_eq!(world.alive(keeper), Some(s(60 + id)));
    }
}

/// What a script does next.
#[derive(Clone, Debug)]
enum Step {
    Keep(u8),
    Once(u8),
    Grant(u8),
    Release(usize, bool),
    /// Answers what waits in this place, with this many seconds.
    Answer(usize, i64),
    /// Answers what nobody may have asked for.
    Invent(usize, i64, i64),
    End(usize, u8),
    Unary(usize, u8),
    Cut(u8),
    Connect(u8),
    Wait(u16),
    /// Time passes without the core being told.
    Sleep(u16),
    Look(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ttl = prop_oneof![Just(0), Just(-1), 1..10_i64, Just(60)];
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Keep),
        1 => any::<u8>().prop_map(Step::Once),
        2 => any::<u8>().prop_map(Step::Grant),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, revoke)| Step::Release(which, revoke)),
        8 => (any::<usize>(), ttl.clone()).prop_map(|(which, ttl)| Step::Answer(which, ttl)),
        1 => (any::<usize>(), -2..6_i64, ttl).prop_map(|(which, id, ttl)| Step::Invent(which, id, ttl)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Step::End(which, how)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Step::Unary(which, how)),
        1 => any::<u8>().prop_map(Step::Cut),
        3 => any::<u8>().prop_map(Step::Connect),
        6 => (1..3_000_u16).prop_map(Step::Wait),
        1 => (1..8_000_u16).prop_map(Step::Sleep),
        3 => any::<usize>().prop_map(Step::Look),
    ]
}

#[derive(Debug)]
struct Play {
    world: World,
    keepers: Vec<KeeperKey>,
    /// By lease, until when it lives by the most generous answer that was given to a question, counted from the question.
    promised: BTreeMap<i64, Instant>,
    /// When which lease was asked for, on which stream: what was answered is taken out.
    asked: Vec<(etcdium_core::CallKey, i64, Instant)>,
    seen: BTreeMap<etcdium_core::CallKey, usize>,
    lost: Vec<KeeperKey>,
}

impl Play {
    fn note(&mut self) {
        for call in self.world.renewals() {
            let asked = self.world.asked(call);
            let seen = self.seen.entry(call).or_default();
            for id in &asked[*seen..] {
                self.asked.push((call, *id, self.world.now));
            }
            *seen = asked.len();
        }
        let open = self.world.renewals();
        self.asked.retain(|(call, ..)| open.contains(call));
    }

    fn answer(&mut self, which: usize, ttl: i64) {
        if self.asked.is_empty() {
            return;
        }
        let place = which % self.asked.len();
        // In order most of the time: the first of its stream.
        let call = self.asked[place].0;
        let place =
            if which % 3 == 0 { place } else { self.asked.iter().position(|(of, ..)| *of == call).unwrap() };
        let (call, id, sent) = self.asked.remove(place);
        self.promise(id, sent, ttl);
        self.world.renew(call, id, ttl);
    }

    fn promise(&mut self, id: i64, sent: Instant, ttl: i64) {
        let until = sent + s(ttl.max(0).unsigned_abs());
        let known = self.promised.entry(id).or_insert(until);
        *known = until.max(*known);
    }

    fn unary(&mut self, which: usize, how: u8) {
        let calls = [self.world.grants(), self.world.revocations()].concat();
        if calls.is_empty() {
            return;
        }
        let call = calls[which % calls.len()];
        let grant = self.world.grants().contains(&call);
        match how % 4 {
            0 | 1 if grant => {
                let request = self.world.granting(call);
                self.promise(request.id, self.world.now, request.ttl);
                self.world.answer_grant(call);
            }
            0 | 1 => self.world.status(call, 5, "etcdserver: requested lease not found"),
            2 => self.world.reset(call, ResetCause::Stream(2)),
            _ => {
                if grant {
                    let request = self.world.granting(call);
                    self.promise(request.id, self.world.now, request.ttl);
                }
                self.world.status(call, 9, "etcdserver: lease already exists");
            }
        }
    }

    fn look(&mut self, which: usize) {
        if self.keepers.is_empty() {
            return;
        }
        let keeper = self.keepers[which % self.keepers.len()];
        let state = self.world.state(keeper);
        let Some(kept) = self.world.core.started(keeper) else { return assert_eq!(state, None) };
        match (kept, state) {
            (Ok(kept), Some(LeaseState::Alive { until } | LeaseState::AtRisk { until, .. })) => {
                assert!(until > self.world.now, "said to live, and does not");
                assert!(!self.lost.contains(&keeper), "a lost lease is back");
                let promised = self.promised.get(&kept.id.get());
                assert!(promised.is_some_and(|promised| until <= *promised), "{:?} was promised", promised);
            }
            (Ok(_), Some(LeaseState::Lost { .. })) => self.lost.push(keeper),
            (_, None) => {}
            (kept, state) => panic!("{kept:?} {state:?}"),
        }
    }

    fn step(&mut self, step: &Step) {
        let name = |n: u8| if n % 2 == 0 { "a" } else { "b" };
        match *step {
            Step::Keep(id) => self.keepers.push(self.world.keep(i64::from(id % 5) + 1)),
            Step::Once(id) => {
                let lease = lease_id(i64::from(id % 5) + 1);
                let keeper = self.world.core.keep_alive_once(self.world.now, lease, &within(s(5)));
                self.world.drain();
                self.keepers.push(keeper);
            }
            Step::Grant(ttl) => {
                let ttl = s(u64::from(ttl % 6));
                self.keepers.push(self.world.grant(ttl, &within(s(4))));
            }
            Step::Release(which, revoke) => {
                if !self.keepers.is_empty() {
                    let keeper = self.keepers.remove(which % self.keepers.len());
                    self.world.release(keeper, if revoke { OnDrop::Revoke } else { OnDrop::Expire });
                }
            }
            Step::Answer(which, ttl) => self.answer(which, ttl),
            Step::Invent(which, id, ttl) => {
                let calls = self.world.renewals();
                if !calls.is_empty() {
                    let call = calls[which % calls.len()];
                    let known = self.asked.iter().position(|(of, asked, _)| *of == call && *asked == id);
                    if let Some(place) = known {
                        let (_, id, sent) = self.asked.remove(place);
                        self.promise(id, sent, ttl);
                    }
                    self.world.renew(call, id, ttl);
                }
            }
            Step::End(which, how) => {
                let calls = self.world.renewals();
                if !calls.is_empty() {
                    let call = calls[which % calls.len()];
                    match how % 5 {
                        0 => self.world.status(call, 7, "etcdserver: permission denied"),
                        1 => self.world.status(call, 14, "etcdserver: no leader"),
                        2 => self.world.reset(call, ResetCause::Stream(8)),
                        3 => self.world.data(call, bytes::Bytes::from_static(&[7; 9])),
                        _ => {
                            self.world.head(call);
                            if self.world.calls.contains_key(&call) {
                                self.world.end(call, 0, "");
                            }
                        }
                    }
                }
            }
            Step::Unary(which, how) => self.unary(which, how),
            Step::Cut(n) => {
                let up = self.world.connections.values().any(|to| host(&to.address) == name(n));
                if up {
                    self.world.cut(name(n));
                }
            }
            Step::Connect(n) => {
                if self.world.dials.values().any(|to| host(&to.address) == name(n)) {
                    self.world.accept(name(n));
                }
            }
            Step::Wait(millis) => self.wait(ms(u64::from(millis))),
            Step::Sleep(millis) => self.world.now += ms(u64::from(millis)),
            Step::Look(which) => self.look(which),
        }
        self.note();
    }

    /// Lets time pass, taking note of what is asked whenever it is.
    fn wait(&mut self, by: std::time::Duration) {
        let end = self.world.now + by;
        while let Some(at) = self.world.core.poll_timeout().filter(|at| *at < end) {
            self.world.advance(at.saturating_duration_since(self.world.now));
            self.note();
        }
        self.world.advance(end - self.world.now);
    }
}

proptest! {
    #[test]
    fn no_script_makes_a_lease_live_longer_than_was_promised(
        seed: u64, steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut play = Play {
            world: World::with_seed(etcdium_core::Config::new(addresses(2)), seed),
            keepers: Vec::new(),
            promised: BTreeMap::new(),
            asked: Vec::new(),
            seen: BTreeMap::new(),
            lost: Vec::new(),
        };
        for step in &steps {
            play.step(step);
            for which in 0..play.keepers.len() {
                play.look(which);
            }
        }
        let opened = play.world.opened.len();
        prop_assert!(opened < 3_000, "{opened} calls");
        // Everybody goes: nothing is left.
        for keeper in std::mem::take(&mut play.keepers) {
            play.world.release(keeper, OnDrop::Expire);
        }
        play.world.accept_all();
        play.wait(s(30));
        play.world.accept_all();
        play.wait(s(30));
        prop_assert_eq!(play.world.core.stats().ops, 0);
        prop_assert_eq!(play.world.renewals(), vec![]);
    }
}
