//! A server that says anything, in any order: nothing panics or hangs, revisions rise, every watch ends or goes on, and the
//! same inputs give the same outputs.

use etcdium_core::WatchItem;
use proptest::prelude::*;

use super::*;

/// The largest revision a script knows.
const LAST: i64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Watch {
        start: Option<u8>,
        small: bool,
        notify: bool,
    },
    Take(u8),
    Cancel(u8),
    Drop(u8),
    Ask(u8),
    Say(u8, Say),
    /// Answers everything else that is asked.
    Answer(u8),
    Break(u8),
    Accept,
    Advance(u16),
    Close,
}

/// A response. Ids count among those that were asked for last, and some that were not.
#[derive(Clone, Debug)]
enum Say {
    /// The honest answer to a creation, whether it was answered before or not.
    Confirm(u8),
    Created {
        id: i8,
        header: Option<u8>,
        other_cluster: bool,
    },
    Events {
        id: i8,
        revisions: Vec<i64>,
        more: bool,
    },
    Progress {
        id: i8,
        header: Option<u8>,
    },
    Canceled {
        id: i8,
        created: bool,
        reason: u8,
        compacted: Option<u8>,
    },
    Nothing,
}

fn say() -> impl Strategy<Value = Say> {
    let id = || -2..8_i8;
    let revision = prop_oneof![8 => 1..80_i64, 1 => Just(0), 1 => Just(-4), 1 => Just(i64::MAX)];
    let revisions =
        (prop::collection::vec(revision, 0..5), prop::bool::weighted(0.8)).prop_map(|(mut all, sort)| {
            if sort {
                all.sort_unstable();
            }
            all
        });
    prop_oneof![
        6 => (0..4_u8).prop_map(Say::Confirm),
        1 => (id(), prop::option::of(any::<u8>()), prop::bool::weighted(0.1))
            .prop_map(|(id, header, other_cluster)| Say::Created { id, header, other_cluster }),
        8 => (id(), revisions, prop::bool::weighted(0.3))
            .prop_map(|(id, revisions, more)| Say::Events { id, revisions, more }),
        3 => (id(), prop::option::of(any::<u8>())).prop_map(|(id, header)| Say::Progress { id, header }),
        2 => (id(), prop::bool::weighted(0.3), 0..6_u8, prop::option::weighted(0.3, any::<u8>()))
            .prop_map(|(id, created, reason, compacted)| Say::Canceled { id, created, reason, compacted }),
        1 => Just(Say::Nothing),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::option::of(any::<u8>()), any::<bool>(), any::<bool>())
            .prop_map(|(start, small, notify)| Step::Watch { start, small, notify }),
        4 => any::<u8>().prop_map(Step::Take),
        2 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Drop),
        2 => any::<u8>().prop_map(Step::Ask),
        24 => (any::<u8>(), say()).prop_map(|(n, say)| Step::Say(n, say)),
        2 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::Break),
        2 => Just(Step::Accept),
        4 => (1..3_000_u16).prop_map(Step::Advance),
    ]
}

/// Mostly left open, sometimes closed somewhere.
fn script() -> impl Strategy<Value = Vec<Step>> {
    let close = prop::option::weighted(0.1, any::<prop::sample::Index>());
    (prop::collection::vec(step(), 0..120), close).prop_map(|(mut steps, close)| {
        if let Some(at) = close {
            steps.insert(at.index(steps.len() + 1), Step::Close);
        }
        steps
    })
}

#[derive(Debug)]
struct Play {
    world: World,
    /// Each with the last revision it gave, and whether it is over.
    watches: Vec<(WatchKey, i64, bool)>,
    /// Calls whose head was sent.
    headed: Vec<CallKey>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = World::with_seed(Config::new(addresses(2)), seed);
        let _op = world.core.connect(world.now, &no_options());
        world.drain();
        world.accept_all();
        Self { world, watches: Vec::new(), headed: Vec::new() }
    }

    fn watch(&self, n: u8) -> Option<WatchKey> {
        (!self.watches.is_empty()).then(|| self.watches[usize::from(n) % self.watches.len()].0)
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Watch { start, small, notify } => {
                let mut request = from("k", start.map_or(0, i64::from)).created().connection_notices(true);
                if *small {
                    request = request.max_buffer(1_000);
                }
                if *notify {
                    request = request.progress_notify();
                }
                let watch = self.world.watch(request);
                self.watches.push((watch, 0, false));
            }
            Step::Take(n) => {
                if !self.watches.is_empty() {
                    self.take(usize::from(*n) % self.watches.len());
                }
            }
            Step::Cancel(n) => {
                self.watch(*n).into_iter().for_each(|watch| self.world.cancel_watch(watch));
            }
            Step::Drop(n) => {
                if let Some(watch) = self.watch(*n) {
                    self.world.drop_watch(watch);
                    self.watches.iter_mut().filter(|one| one.0 == watch).for_each(|one| one.2 = true);
                }
            }
            Step::Ask(n) => {
                if let Some(watch) = self.watch(*n) {
                    self.world.request_progress(watch);
                    self.world.core.watch_progress(watch);
                }
            }
            Step::Say(n, say) => {
                let calls = self.world.watch_calls();
                if !calls.is_empty() {
                    self.say(calls[usize::from(*n) % calls.len()], say);
                }
            }
            Step::Answer(revision) => self.answer((*revision).into()),
            Step::Break(n) => {
                let calls = self.world.watch_calls();
                match (calls.first(), n % 3) {
                    (Some(call), 0) => self.world.end(*call, 14, "gone"),
                    (Some(call), 1) => self.world.cut(&self.world.place(*call)),
                    _ => {}
                }
            }
            Step::Accept => self.world.accept_all(),
            Step::Advance(millis) => self.world.idle(ms((*millis).into())),
            Step::Close => {
                self.world.core.close(self.world.now);
                self.world.drain();
            }
        }
        for (watch, _, over) in &self.watches {
            // One revision of a few events may be above the cap, and so may what was not yet whole.
            assert!(*over || self.world.core.watch_buffered(*watch) < 100_000);
        }
    }

    fn answer(&mut self, revision: i64) {
        for call in self.world.calls_of("/etcdserverpb.KV/Range") {
            self.world.answer(call, &range_response(revision));
        }
        for call in self.world.calls_of("/etcdserverpb.Maintenance/Status") {
            let version = if revision % 4 == 0 { "3.4.1" } else { "3.7.3" };
            self.world.answer(call, &StatusResponse { version: version.to_owned(), ..Default::default() });
        }
    }

    /// Ids asked for on a stream, the latest first.
    fn ids(&self, call: CallKey) -> Vec<i64> {
        let mut line = Line { call, read: 0 };
        let created = |request| match request {
            RequestUnion::CreateRequest(create) => Some(create.watch_id),
            _ => None,
        };
        line.requests(&self.world).into_iter().rev().filter_map(created).collect()
    }

    fn say(&mut self, call: CallKey, say: &Say) {
        if !self.headed.contains(&call) {
            self.headed.push(call);
            self.world.head(call);
        }
        let ids = self.ids(call);
        let id =
            |n: i8| usize::try_from(n).ok().and_then(|n| ids.get(n)).copied().unwrap_or_else(|| n.into());
        let head = |revision: Option<u8>| revision.and_then(|revision| header(CLUSTER, revision.into()));
        let response = match say {
            Say::Confirm(n) => created(id(*n as i8), 20),
            Say::Created { id: n, header, other_cluster } => {
                let mut response = WatchResponse { header: head(*header), ..created(id(*n), 0) };
                if let (true, Some(header)) = (*other_cluster, &mut response.header) {
                    header.cluster_id = 0xdead;
                }
                response
            }
            Say::Events { id: n, revisions, more } => {
                WatchResponse { fragment: *more, ..events(id(*n), revisions.iter().copied()) }
            }
            Say::Progress { id: n, header } => WatchResponse { header: head(*header), ..response(id(*n), 0) },
            Say::Canceled { id: n, created, reason, compacted } => {
                let reasons = ["", "", "", "etcdserver: no leader", "oh", "etcdserver: permission denied"];
                WatchResponse {
                    created: *created,
                    cancel_reason: reasons[usize::from(*reason)].to_owned(),
                    compact_revision: compacted.map_or(0, i64::from),
                    ..canceled(id(*n))
                }
            }
            Say::Nothing => WatchResponse::default(),
        };
        self.world.data(call, framed(&response));
    }

    /// Takes one item. Whether there was one.
    fn take(&mut self, n: usize) -> bool {
        let (watch, last, over) = self.watches[n];
        let next = self.world.watch_next(watch);
        self.world.transcript.add(self.world.now, &next);
        match next {
            None => return false,
            Some(WatchNext::Item(item)) => {
                assert!(!over, "{item:?} after the end");
                if let WatchItem::Events { revision, events } = item {
                    assert!(revision.get() > last, "{revision} after {last}");
                    assert!(
                        events.iter().all(|event| event.kv.as_ref().unwrap().mod_revision == revision.get())
                    );
                    self.watches[n].1 = revision.get();
                } else if let WatchItem::Progress { revision } = item {
                    assert!(revision.get() >= last, "progress {revision} after {last}");
                }
            }
            Some(WatchNext::End(_)) => {
                assert!(!over, "an end after the end");
                self.watches[n].2 = true;
            }
        }
        true
    }

    /// From now on the server is honest, and far ahead.
    fn settle(&mut self) {
        for name in ["a", "b"] {
            if self.world.connections.values().any(|to| host(&to.address) == name) {
                self.world.cut(name);
            }
        }
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..300 {
            self.world.accept_all();
            for call in self.world.watch_calls() {
                if lines.iter().all(|line| line.call != call) {
                    lines.push(Line::on(&mut self.world, call));
                }
            }
            self.answer(LAST);
            for line in &mut lines {
                for request in line.requests(&self.world) {
                    match request {
                        RequestUnion::CreateRequest(create) => {
                            line.tell(&mut self.world, &created(create.watch_id, LAST));
                            line.tell(&mut self.world, &events(create.watch_id, [LAST + 1]));
                        }
                        RequestUnion::CancelRequest(cancel) => {
                            line.tell(&mut self.world, &canceled(cancel.watch_id));
                        }
                        RequestUnion::ProgressRequest(_) => {
                            line.tell(&mut self.world, &response(-1, LAST + 1));
                        }
                    }
                }
            }
            for n in 0..self.watches.len() {
                while self.take(n) {}
            }
            if self.watches.iter().all(|(_, last, over)| *over || *last == LAST + 1) {
                return;
            }
            self.world.idle(ms(100));
        }
        panic!("some watch neither ended nor went on: {:?}", self.watches);
    }
}

fn run(seed: u64, steps: &[Step]) -> Transcript {
    let mut play = Play::new(seed);
    for step in steps {
        play.apply(step);
    }
    play.settle();
    for n in 0..play.watches.len() {
        play.world.drop_watch(play.watches[n].0);
    }
    play.world.assert_no_watch();
    // What is left to be done ends.
    play.answer(LAST);
    play.world.idle(s(20));
    assert_eq!(play.world.watch_calls(), []);
    play.world.transcript
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn any_server_is_survived_and_equal_inputs_give_equal_outputs(seed: u64, steps in script()) {
        prop_assert_eq!(run(seed, &steps), run(seed, &steps));
    }
}
