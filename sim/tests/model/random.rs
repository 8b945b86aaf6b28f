//! Random calls and faults: what must hold of the model whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::{CallId, ClusterConfig, Output};
use etcdium_sim::rng::Rng;
use prost::Message;

use crate::support::{KEEP_ALIVE, Rig, put, range};

const SECOND: Duration = Duration::from_secs(1);
const MEMBERS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    /// With the highest revision anybody was told before.
    Read(i64),
    Other,
    Stream,
}

struct Random {
    rig: Rig,
    rng: Rng,
    calls: BTreeMap<CallId, (usize, Kind)>,
    over: BTreeSet<CallId>,
    /// Calls nobody may hear of any more.
    gone: BTreeSet<CallId>,
    /// Revisions of the puts that were answered.
    answered: BTreeMap<CallId, i64>,
    seen: usize,
    highest: i64,
}

impl Random {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let latency = Duration::from_millis([0, 0, 20][rng.below(3) as usize]);
        let config = ClusterConfig { members: MEMBERS, commit_latency: latency, ..ClusterConfig::default() };
        Self {
            rig: Rig::seeded(config, seed),
            rng,
            calls: BTreeMap::new(),
            over: BTreeSet::new(),
            gone: BTreeSet::new(),
            answered: BTreeMap::new(),
            seen: 0,
            highest: 1,
        }
    }

    fn member(&mut self) -> usize {
        self.rng.below(MEMBERS as u64) as usize
    }

    fn step(&mut self) {
        let (now, member) = (self.rig.now, self.member());
        let before = self.highest;
        let what = self.rng.below(20);
        match what {
            0..=5 => {
                let (leader, number) = (self.rng.below(2) == 0, self.calls.len());
                let call = self.rig.start_with(
                    member,
                    &put(&format!("k{}", number % 5), &number.to_string()),
                    leader,
                );
                self.enter(call, member, Kind::Put);
            }
            6..=8 => {
                let leader = self.rng.below(2) == 0;
                let call = self.rig.start_with(member, &range("k1"), leader);
                self.enter(call, member, Kind::Read(before));
            }
            9 => {
                let request = LeaseGrantRequest { id: self.rng.below(5) as i64 + 1, ttl: 3 };
                let call = self.rig.start(member, &request);
                self.enter(call, member, Kind::Other);
            }
            10 => {
                let request = LeaseTimeToLiveRequest { id: self.rng.below(5) as i64 + 1, keys: true };
                let call = self.rig.start(member, &request);
                self.enter(call, member, Kind::Other);
            }
            11 => {
                let call = self.rig.open(member, KEEP_ALIVE, self.rng.below(2) == 0);
                self.enter(call, member, Kind::Stream);
                for _ in 0..2 {
                    let id = self.rng.below(5) as i64 + 1;
                    self.rig.renew(call, id);
                }
            }
            12 => {
                let nth = self.rng.below(self.calls.len() as u64 + 1) as usize;
                if let Some(&call) = self.calls.keys().nth(nth) {
                    self.rig.cluster.cancel(now, call);
                    self.gone.insert(call);
                }
            }
            13 => {
                self.rig.cluster.kill(now, member);
                let calls = self.calls.iter().filter(|(_, (of, _))| *of == member).map(|(&call, _)| call);
                self.gone.extend(calls);
            }
            14 => self.rig.cluster.start(now, member),
            15 => {
                let isolated = self.rng.below(2) == 0;
                self.rig.cluster.isolate(now, member, isolated);
            }
            16 => {
                let lag = Duration::from_millis(self.rng.below(3) * 300);
                self.rig.cluster.set_lag(now, member, lag);
            }
            17 => {
                let leader = Some(member).filter(|_| self.rng.below(3) != 0);
                self.rig.cluster.set_leader(now, leader);
            }
            _ => {
                let time = Duration::from_millis(self.rng.below(1500));
                self.rig.pass(time);
            }
        }
        self.rig.pass(Duration::ZERO);
        self.look();
    }

    fn enter(&mut self, call: CallId, member: usize, kind: Kind) {
        self.calls.insert(call, (member, kind));
        if !self.rig.cluster.is_up(member) {
            self.gone.insert(call);
        }
    }

    /// Looks at what was sent since the last look.
    fn look(&mut self) {
        for output in self.rig.received.split_off(self.seen) {
            let call = match &output {
                Output::Message { call, .. } | Output::End { call, .. } => *call,
            };
            assert!(!self.over.contains(&call), "{call:?} was over");
            assert!(!self.gone.contains(&call), "nobody listens to {call:?} any more");
            if let Output::End { .. } = output {
                self.over.insert(call);
            }
            if let Output::Message { message, .. } = &output {
                self.answer(call, message);
            }
            self.rig.received.push(output);
        }
        self.seen = self.rig.received.len();
    }

    fn answer(&mut self, call: CallId, message: &[u8]) {
        match self.calls.get(&call).map(|&(_, kind)| kind) {
            Some(Kind::Put) => {
                let response = PutResponse::decode(message).expect("an answer that decodes");
                let revision = response.header.expect("a header").revision;
                self.answered.insert(call, revision);
                self.highest = self.highest.max(revision);
            }
            Some(Kind::Read(floor)) => {
                let response = RangeResponse::decode(message).expect("an answer that decodes");
                let revision = response.header.expect("a header").revision;
                assert!(revision >= floor, "a read at {revision} after an answer at {floor}");
                self.highest = self.highest.max(revision);
            }
            Some(Kind::Other | Kind::Stream) | None => {}
        }
    }

    /// Faults end; everything that waits must end as well.
    fn heal(&mut self) {
        for member in 0..MEMBERS {
            self.rig.cluster.start(self.rig.now, member);
            self.rig.cluster.isolate(self.rig.now, member, false);
            self.rig.cluster.set_lag(self.rig.now, member, Duration::ZERO);
        }
        self.rig.cluster.set_leader(self.rig.now, Some(0));
        self.rig.pass(15 * SECOND);
        self.look();
        for (call, (_, kind)) in &self.calls {
            let ended = self.over.contains(call) || self.gone.contains(call) || !kind.is_unary();
            assert!(ended, "{call:?} {kind:?} never ends");
        }
        assert_eq!(self.rig.cluster.poll_timeout(), None, "nothing is left to do");
        self.check_history();
    }

    /// Every put that was answered happened once, at the revision that was told; every other at most once.
    fn check_history(&self) {
        let history = self.rig.cluster.history();
        let mut values = BTreeSet::new();
        let mut revisions = BTreeSet::new();
        for event in history.current().events().iter().filter(|event| !event.is_delete()) {
            assert!(values.insert(event.kv().value.clone()), "applied twice: {event:?}");
            revisions.insert(event.revision());
        }
        for (call, revision) in &self.answered {
            assert!(revisions.contains(revision), "{call:?} was answered but did not happen");
        }
        let unique: BTreeSet<i64> = self.answered.values().copied().collect();
        assert_eq!(unique.len(), self.answered.len(), "two puts were told the same revision");
    }
}

impl Kind {
    fn is_unary(self) -> bool {
        self != Self::Stream
    }
}

fn run(seed: u64) -> (u64, usize, i64) {
    let mut random = Random::new(seed);
    for _ in 0..120 {
        random.step();
    }
    random.heal();
    let outputs: String = random.rig.received.iter().map(|output| format!("{output:?}")).collect();
    let hash = outputs.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    (hash, random.answered.len(), random.rig.cluster.committed_revision())
}

#[test]
fn whatever_happens_calls_end_once_and_nothing_is_applied_twice() {
    let mut answered = 0;
    for seed in 0..300 {
        let result = std::panic::catch_unwind(|| run(seed));
        let (_, puts, _) = result.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        answered += puts;
    }
    assert!(answered > 1_000, "{answered} puts were answered");
}

#[test]
fn equal_seeds_give_equal_outputs() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}
