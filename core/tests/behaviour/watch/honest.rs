//! Against an honest server, whatever breaks and whatever users do: each watch gives exactly what the history says.

use std::collections::{BTreeMap, VecDeque};

use etcdium_core::WatchItem;
use proptest::prelude::*;

use super::*;

/// Bytes a watch with a small buffer may keep, and about what one revision takes.
const SMALL: usize = 1_000;
const REVISION: usize = 2_000;

#[derive(Clone, Debug)]
enum Step {
    /// `start` counts from the present revision.
    Watch {
        key: u8,
        start: Option<i8>,
        small: bool,
        notify: bool,
    },
    Take(u8, u8),
    Cancel(u8),
    Drop(u8),
    Ask(u8),
    /// One revision that puts these keys.
    Put(Vec<u8>),
    /// So many revisions below the present one.
    Compact(u8),
    /// The server reads so many requests of each stream, and looks what its watches have missed.
    Serve(u8),
    /// So many responses of each stream arrive.
    Deliver(u8),
    Break(u8),
    Advance(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop::option::of(-12..6_i8);
    prop_oneof![
        4 => (0..3_u8, start, any::<bool>(), any::<bool>())
            .prop_map(|(key, start, small, notify)| Step::Watch { key, start, small, notify }),
        5 => (any::<u8>(), 1..6_u8).prop_map(|(n, count)| Step::Take(n, count)),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Drop),
        2 => any::<u8>().prop_map(Step::Ask),
        8 => prop::collection::vec(0..3_u8, 1..4).prop_map(Step::Put),
        1 => (0..10_u8).prop_map(Step::Compact),
        8 => (0..4_u8).prop_map(Step::Serve),
        8 => (0..6_u8).prop_map(Step::Deliver),
        2 => any::<u8>().prop_map(Step::Break),
        4 => (1..600_u16).prop_map(Step::Advance),
    ]
}

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Etcd,
    /// Its answers to requests for progress overtake events.
    Old,
    /// A grpc-proxy, as far as ids go.
    Proxy,
}

/// What the server keeps of a watch.
#[derive(Debug)]
struct Served {
    key: u8,
    next: i64,
    /// It was told that it is compacted: it keeps its id until it is cancelled.
    compacted: bool,
}

#[derive(Debug)]
struct Stream {
    line: Line,
    asked: VecDeque<RequestUnion>,
    watches: BTreeMap<i64, Served>,
    next_id: i64,
    out: VecDeque<WatchResponse>,
    /// How far its member is behind.
    lag: i64,
    turn: usize,
}

impl Stream {
    /// Answers to creations and cancellations have a queue of their own: they overtake everything else, sometimes.
    fn control(&mut self, answer: WatchResponse) {
        let last = self.out.iter().rposition(|one| one.created || one.canceled);
        let first = last.map_or(0, |last| last + 1);
        self.turn += 1;
        let at = first + self.turn % (self.out.len() - first + 1);
        // What comes behind its cancellation is dropped; nothing comes before its creation.
        if answer.canceled {
            let mut n = 0;
            self.out.retain(|one| {
                n += 1;
                n <= at || one.watch_id != answer.watch_id
            });
        }
        self.out.insert(at, answer);
    }
}

#[derive(Debug)]
struct Server {
    /// The keys that each revision put, from revision 2 on.
    history: Vec<Vec<u8>>,
    compacted: i64,
    streams: BTreeMap<CallKey, Stream>,
    kind: Kind,
    turn: usize,
}

impl Server {
    fn revision(&self) -> i64 {
        self.history.len() as i64 + 1
    }

    /// The events of one revision on one key.
    fn matching(&self, key: u8, revision: i64) -> Vec<mvccpb::Event> {
        let keys = usize::try_from(revision - 2).ok().and_then(|at| self.history.get(at));
        let puts = keys.into_iter().flatten().enumerate().filter(|(_, put)| **put == key);
        puts.map(|(n, _)| valued(revision, &format!("{n}"))).collect()
    }

    fn serve(&mut self, world: &mut World, most: usize) {
        let known: Vec<CallKey> = world.watch_calls();
        self.streams.retain(|call, _| known.contains(call));
        for call in known {
            if !self.streams.contains_key(&call) {
                self.turn += 1;
                let lag = [0, 0, 4][self.turn % 3];
                let line = Line::on(world, call);
                let stream = Stream {
                    line,
                    asked: VecDeque::new(),
                    watches: BTreeMap::new(),
                    next_id: 0,
                    out: VecDeque::new(),
                    lag,
                    turn: self.turn,
                };
                self.streams.insert(call, stream);
            }
        }
        let mut streams = core::mem::take(&mut self.streams);
        for stream in streams.values_mut() {
            stream.asked.extend(stream.line.requests(world));
            let here = (self.revision() - stream.lag).max(1);
            for _ in 0..most {
                let Some(request) = stream.asked.pop_front() else { break };
                self.request(stream, here, request);
            }
            self.catch_up(stream, here);
            stream.lag = (stream.lag - 1).max(0);
        }
        self.streams = streams;
        for call in world.calls_of("/etcdserverpb.KV/Range") {
            world.answer(call, &range_response(self.revision()));
        }
        for call in world.calls_of("/etcdserverpb.Maintenance/Status") {
            let version = if self.kind == Kind::Old { "3.4.20" } else { "3.7.3" };
            world.answer(call, &StatusResponse { version: version.to_owned(), ..Default::default() });
        }
    }

    fn request(&self, stream: &mut Stream, here: i64, request: RequestUnion) {
        match request {
            RequestUnion::CreateRequest(create) => {
                let id = if self.kind == Kind::Proxy { stream.next_id } else { create.watch_id };
                stream.next_id += 1;
                let next = if create.start_revision == 0 { here + 1 } else { create.start_revision };
                let served = Served { key: create.key[0] - b'0', next, compacted: false };
                assert!(stream.watches.insert(id, served).is_none(), "{id} is used again");
                stream.control(created(id, here));
            }
            RequestUnion::CancelRequest(cancel) => {
                if stream.watches.remove(&cancel.watch_id).is_some() {
                    let confirmed = WatchResponse { canceled: true, ..response(cancel.watch_id, here) };
                    stream.control(confirmed);
                }
            }
            RequestUnion::ProgressRequest(_) if self.kind == Kind::Old => {
                stream.control(response(-1, here));
            }
            RequestUnion::ProgressRequest(_) => {
                let mut watches = stream.watches.values();
                if watches.all(|watch| watch.next == here + 1 && !watch.compacted) {
                    stream.out.push_back(response(-1, here));
                }
            }
        }
    }

    /// What the watches of a stream have missed, a few revisions each, in fragments sometimes.
    fn catch_up(&mut self, stream: &mut Stream, here: i64) {
        for (id, watch) in &mut stream.watches {
            if watch.next > here || watch.compacted {
                continue;
            }
            if watch.next < self.compacted {
                watch.compacted = true;
                stream.out.push_back(compacted(*id, self.compacted));
                continue;
            }
            self.turn += 1;
            let most = 1 + self.turn % 4;
            let mut all = Vec::new();
            let mut revisions = 0;
            while watch.next <= here && revisions < most {
                let events = self.matching(watch.key, watch.next);
                revisions += usize::from(!events.is_empty());
                all.extend(events);
                watch.next += 1;
            }
            let mut part = 1 + self.turn % 5;
            while all.len() > part && self.turn % 2 == 0 {
                let rest = all.split_off(part);
                let events = core::mem::replace(&mut all, rest);
                stream.out.push_back(WatchResponse { events, fragment: true, ..response(*id, here) });
                part = 1 + part % 3;
            }
            // An idle watch that wants it is told how far it is.
            if !all.is_empty() || self.turn % 7 == 0 {
                stream.out.push_back(WatchResponse { events: all, ..response(*id, here) });
            }
        }
    }

    fn deliver(&mut self, world: &mut World, most: usize) {
        for (call, stream) in &mut self.streams {
            for response in stream.out.drain(..most.min(stream.out.len())) {
                if world.calls.contains_key(call) {
                    stream.line.tell(world, &response);
                }
            }
        }
    }
}

/// What a user of a watch has seen.
#[derive(Debug)]
struct Reader {
    watch: WatchKey,
    key: u8,
    /// What it took at once: every other reader takes runs.
    run: WatchRun,
    /// The first revision not told; `None` before the watch began.
    next: Option<i64>,
    given_up: bool,
    over: bool,
    asked: bool,
}

#[derive(Debug)]
struct Play {
    world: World,
    server: Server,
    readers: Vec<Reader>,
}

impl Play {
    fn new(seed: u64, kind: Kind) -> Self {
        let server = Server {
            history: Vec::new(),
            compacted: 0,
            streams: BTreeMap::new(),
            kind,
            turn: seed as usize % 100,
        };
        let mut world = World::with_seed(Config::new(addresses(2)), seed);
        let _op = world.core.connect(world.now, &no_options());
        world.drain();
        world.accept_all();
        Self { world, server, readers: Vec::new() }
    }

    fn reader(&self, n: u8) -> Option<usize> {
        (!self.readers.is_empty()).then(|| usize::from(n) % self.readers.len())
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Watch { key, start, small, notify } => {
                let start = start.map(|start| (self.server.revision() + i64::from(start)).max(1));
                let mut request = of(&key.to_string()).created().from_revision(rev(start.unwrap_or(0)));
                if *small {
                    request = request.max_buffer(SMALL);
                }
                if *notify {
                    request = request.progress_notify();
                }
                let watch = self.world.watch(request);
                self.readers.push(Reader {
                    watch,
                    key: *key,
                    run: WatchRun::default(),
                    next: start,
                    given_up: false,
                    over: false,
                    asked: false,
                });
            }
            Step::Take(n, count) => {
                if let Some(n) = self.reader(*n) {
                    for _ in 0..*count {
                        self.take(n);
                    }
                }
            }
            Step::Cancel(n) => {
                if let Some(n) = self.reader(*n) {
                    self.readers[n].given_up = true;
                    self.readers[n].run = WatchRun::default();
                    self.world.cancel_watch(self.readers[n].watch);
                }
            }
            Step::Drop(n) => {
                if let Some(n) = self.reader(*n) {
                    self.readers[n].over = true;
                    self.world.drop_watch(self.readers[n].watch);
                }
            }
            Step::Ask(n) => {
                if let Some(n) = self.reader(*n) {
                    self.readers[n].asked = true;
                    self.world.request_progress(self.readers[n].watch);
                }
            }
            Step::Put(keys) => self.server.history.push(keys.clone()),
            Step::Compact(below) => {
                let at = self.server.revision() - i64::from(*below);
                self.server.compacted = self.server.compacted.max(at.max(0));
            }
            Step::Serve(most) => self.server.serve(&mut self.world, usize::from(*most)),
            Step::Deliver(most) => self.server.deliver(&mut self.world, usize::from(*most)),
            Step::Break(how) => self.break_something(*how),
            Step::Advance(millis) => {
                self.world.idle(ms((*millis).into()));
                self.world.accept_all();
            }
        }
        for reader in &self.readers {
            let buffered = self.world.core.watch_buffered(reader.watch);
            assert!(buffered <= SMALL + REVISION || self.server.history.len() > 10, "{buffered}");
        }
    }

    fn break_something(&mut self, how: u8) {
        let calls = self.world.watch_calls();
        let Some(call) = calls.first().copied() else { return };
        match how % 6 {
            0 => self.world.end(call, 0, ""),
            1 => self.world.end(call, 14, "etcdserver: no leader"),
            2 => self.world.reset(call, etcdium_core::ResetCause::Stream(2)),
            3 => self.world.data(call, vec![9; 5]),
            _ => {
                let place = self.world.place(call);
                let connection = self.world.connection_to(&place);
                if how % 6 == 4 {
                    self.world.endpoint(connection, EndpointInput::GoingAway);
                } else {
                    self.world.cut(&place);
                }
            }
        }
    }

    /// Takes one item, and compares it with the history. Whether there was one.
    fn take(&mut self, n: usize) -> bool {
        let reader = &mut self.readers[n];
        if reader.over {
            return false;
        }
        let answer = self.world.core.watch_progress(reader.watch);
        reader.asked &= answer.is_none();
        if n % 2 == 0 && reader.run.is_empty() {
            reader.run = self.world.watch_next_run(reader.watch).unwrap_or_default();
        }
        let of_run = reader.run.next();
        let of_run = of_run.map(|(revision, events)| WatchNext::Item(WatchItem::Events { revision, events }));
        let Some(next) = of_run.or_else(|| self.world.watch_next(reader.watch)) else { return false };
        let quiet = |from: i64, to: i64| (from..to).all(|at| self.server.matching(reader.key, at).is_empty());
        match next {
            WatchNext::Item(WatchItem::Created { revision }) => {
                reader.next = reader.next.or_else(|| Some(revision.get() + 1));
            }
            WatchNext::Item(WatchItem::Events { revision, events }) => {
                let expected = reader.next.expect("it began");
                assert!(revision.get() >= expected, "{revision} after {expected}");
                assert!(quiet(expected, revision.get()), "a gap between {expected} and {revision}");
                assert_eq!(events[..], self.server.matching(reader.key, revision.get()), "at {revision}");
                reader.next = Some(revision.get() + 1);
            }
            WatchNext::Item(WatchItem::Progress { revision }) => {
                let expected = reader.next.expect("it began");
                assert!(revision.get() + 1 >= expected, "progress {revision} after {expected}");
                assert!(quiet(expected, revision.get() + 1), "progress {revision} passed over {expected}");
                reader.next = Some(revision.get() + 1);
            }
            WatchNext::Item(other) => panic!("{other:?}"),
            WatchNext::End(Ok(())) => {
                assert!(reader.given_up, "nobody cancelled it");
                reader.over = true;
            }
            WatchNext::End(Err(error)) => {
                let WatchErrorKind::Compacted { oldest } = error.kind() else { panic!("{error}") };
                let next = error.next_revision().expect("it began").get();
                assert!(next < oldest.get() && oldest.get() <= self.server.compacted, "{error}");
                assert!(quiet(reader.next.unwrap_or(next), next), "{error} after {:?}", reader.next);
                reader.over = true;
            }
        }
        true
    }

    /// Nothing breaks any more: everything is told.
    fn settle(&mut self) {
        for _ in 0..10 {
            self.server.history.push(vec![0, 1, 2]);
        }
        let last = self.server.revision();
        for _ in 0..300 {
            self.world.accept_all();
            self.server.serve(&mut self.world, 100);
            self.server.deliver(&mut self.world, 100);
            for n in 0..self.readers.len() {
                while self.take(n) {}
            }
            let done = |reader: &Reader| {
                reader.over || !reader.asked && !reader.given_up && reader.next == Some(last + 1)
            };
            if self.readers.iter().all(done) {
                return;
            }
            self.world.idle(ms(100));
        }
        panic!("never settled: {self:?}");
    }

    fn finish(mut self) {
        self.settle();
        // The cancellations that are on their way are read.
        self.server.serve(&mut self.world, 100_000);
        let live = self.readers.iter().filter(|reader| !reader.over).count();
        let served: usize = self.server.streams.values().map(|stream| stream.watches.len()).sum();
        assert_eq!(served, live, "watches left on the server");
        for reader in &self.readers {
            self.world.drop_watch(reader.watch);
        }
        self.world.assert_no_watch();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_repeated_or_reordered(
        seed: u64,
        kind in prop::sample::select(vec![Kind::Etcd, Kind::Etcd, Kind::Old, Kind::Proxy]),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut play = Play::new(seed, kind);
        for step in &steps {
            play.apply(step);
        }
        play.finish();
    }
}
