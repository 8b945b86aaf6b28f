//! The network: what happens when, and requests on their way there. Connections are in `lines.rs`, answers on their way
//! back in `answers.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_core::{Address, Open, ResetCause};
use etcdium_proto::{MethodKind, Version};

use super::World;
use super::answers::{Piece, Veil};
use super::client::NAME;
use super::front::Front;
use super::lines::News;
use super::records::{CallRecord, OpState, Passage};
use super::script::{Cut, Decoy, Fault, Script, Setup};
use crate::framing::PREFIX;
use crate::model::{CallId, CallStart, Cluster, ClusterConfig, WatchRules};
use crate::rng::{Rng, mix};

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The next step of the script.
    Step(usize),
    /// The fault of this step is mended.
    Mend(usize),
    /// The driver acts.
    Turn,
    /// An operation is cancelled.
    Cancel(usize),
    /// An operation is taken.
    Take(usize),
    /// The application takes what a watch has.
    Read(usize),
    /// The application gives a watch up.
    EndWatch(usize),
    /// The application gives a lease up.
    EndLease(usize),
    /// A connection is made, or is not.
    Dialled(usize),
    /// A request arrives.
    Arrive(usize),
    /// A further message of a stream arrives.
    Message(usize, Bytes),
    /// The end of a stream's request arrives.
    Finish(usize),
    /// The reset of a stream arrives.
    Abort(usize),
    /// The end of a connection arrives at the server.
    Hangup(usize),
    /// A server that goes away does not wait any longer.
    Leave(usize),
    /// The HTTP/2 engine looks whether the peer lives.
    Ping(usize),
    /// News of a connection arrive at the client.
    News(usize, News),
    /// A piece of an answer arrives at the client.
    Piece(usize, Piece),
}

/// Where an endpoint leads.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// `None` is a member: places of members come first, in their order.
    pub(crate) decoy: Option<Decoy>,
    pub(crate) dials: u64,
}

/// The network's side of a call.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) rng: Rng,
    pub(crate) path: &'static str,
    pub(crate) message: Bytes,
    require_leader: bool,
    timeout: Option<Duration>,
    /// Whether the method has any number of messages.
    pub(crate) streaming: bool,
    /// Whether the request goes on after its first message.
    more: bool,
    /// Whether the head of a stream's response was sent.
    pub(crate) headed: bool,
    /// When the latest of it arrives there.
    pub(crate) there_at: Instant,
    /// When the latest of it arrives back.
    pub(crate) back_at: Instant,
    pub(crate) veil: Veil,
    /// The answer's message.
    pub(crate) body: Option<Bytes>,
    /// Bytes of the answer that the client has got.
    pub(crate) got: usize,
}

/// All places of a world: members, then decoys.
pub(crate) fn places(setup: &Setup) -> Vec<Place> {
    let members = (0..setup.members).map(|n| (format!("m{n}:1"), None));
    let decoys = setup.decoys.iter().enumerate().map(|(n, decoy)| (format!("x{n}:1"), Some(*decoy)));
    let places = members.chain(decoys);
    places
        .filter_map(|(address, decoy)| Some(Place { address: address.parse().ok()?, decoy, dials: 0 }))
        .collect()
}

/// The cluster of a script; `salt` makes its chance its own.
pub(crate) fn cluster(script: &Script, now: Instant, salt: u64) -> Front {
    let setup = &script.setup;
    let version = Version { major: 3, minor: setup.minor };
    // What loses events on the server no client can make good; nor what a proxy loses, which believes progress that
    // 3.4 tells to watches that start later.
    let known = WatchRules::of(version);
    let rules = WatchRules {
        careless_sync: false,
        compaction_drops_deletion: false,
        progress_before_start: known.progress_before_start && !setup.proxied,
        ..known
    };
    let usual = match &setup.streams {
        Some(streams) => ClusterConfig {
            progress_interval: streams.progress_interval,
            watch_rules: Some(rules),
            watch_fragment_bytes: Some(streams.fragment_bytes),
            watch_disorder: streams.disorder,
            ..ClusterConfig::default()
        },
        None => ClusterConfig::default(),
    };
    let config = ClusterConfig {
        max_request_bytes: setup.limits.request_bytes.unwrap_or(usual.max_request_bytes),
        max_gap: setup.limits.gap.unwrap_or(usual.max_gap),
        quota: setup.limits.quota.unwrap_or(usual.quota),
        members: setup.members,
        learners: setup.learners,
        version,
        commit_latency: setup.commit_latency,
        ..usual
    };
    let cluster = Cluster::new(config, now, mix(&[script.seed, salt]));
    if setup.proxied { Front::proxied(cluster, now, script.seed) } else { Front::Direct(Box::new(cluster)) }
}

impl World {
    /// Until when the first fault of this sort lasts here, if there is one.
    pub(crate) fn fault(&self, place: usize, is: impl Fn(Fault) -> bool) -> Option<Instant> {
        let faults = self.faults.iter().filter(|(fault, at, _)| *at == place && is(*fault));
        faults.map(|(_, _, until)| *until).max()
    }

    pub(crate) fn is_faulty(&self, place: usize, fault: Fault) -> bool {
        self.faults.iter().any(|(f, at, _)| *at == place && *f == fault)
    }

    fn held_there(&self, place: usize) -> Option<Instant> {
        self.fault(place, |fault| matches!(fault, Fault::Blackhole | Fault::CutThere))
    }

    pub(crate) fn held_back(&self, place: usize) -> Option<Instant> {
        self.fault(place, |fault| matches!(fault, Fault::Blackhole | Fault::CutBack))
    }

    pub(crate) fn latency(&self, rng: &mut Rng) -> Duration {
        let (least, most) = self.script.setup.latency;
        rng.between(least, most)
    }

    /// Lets something happen, or happen later if what it needs is held up.
    pub(crate) fn happen(&mut self, number: u64, what: Happening) {
        let held = match &what {
            Happening::Arrive(call)
            | Happening::Message(call, _)
            | Happening::Finish(call)
            | Happening::Abort(call) => self.held_there(self.place_of(*call)),
            Happening::Hangup(connection) => self.held_there(self.connections[*connection].place),
            Happening::Dialled(connection) => {
                let place = self.connections[*connection].place;
                let hangs = self.fault(place, |fault| fault == Fault::HangDials);
                self.asleep.max(self.held_there(place)).max(self.held_back(place)).max(hangs)
            }
            Happening::News(connection, _) => {
                self.asleep.max(self.held_back(self.connections[*connection].place))
            }
            Happening::Piece(call, _) => self.asleep.max(self.held_back(self.place_of(*call))),
            Happening::Step(step) if self.script.steps[*step].action.is_clients() => self.asleep,
            Happening::Turn
            | Happening::Cancel(_)
            | Happening::Take(_)
            | Happening::Read(_)
            | Happening::EndWatch(_)
            | Happening::EndLease(_)
            | Happening::Ping(_) => self.asleep,
            Happening::Step(_) | Happening::Mend(_) | Happening::Leave(_) => None,
        };
        if let Some(until) = held.filter(|until| *until > self.now) {
            self.queue.hold(until, number, what);
            return;
        }
        match what {
            Happening::Step(step) => self.step(step),
            Happening::Mend(step) => self.mend(step),
            Happening::Turn => {
                if self.undrained {
                    self.drain();
                }
            }
            Happening::Cancel(op) => self.cancel(op),
            Happening::Take(op) => self.take(op),
            Happening::Read(watch) => self.read_watch(watch),
            Happening::EndWatch(watch) => self.end_watch(watch),
            Happening::EndLease(lease) => self.end_lease(lease),
            Happening::Dialled(connection) => self.dialled(connection),
            Happening::Arrive(call) => self.arrive(call),
            Happening::Message(call, message) => self.message_arrives(call, message),
            Happening::Finish(call) => self.finish_arrives(call),
            Happening::Abort(call) => self.abort(call),
            Happening::Hangup(connection) => self.hung_up(connection),
            Happening::Leave(connection) => {
                if self.lines[connection].served {
                    self.break_line(connection, Cut::Mixed);
                }
            }
            Happening::Ping(connection) => self.ping(connection),
            Happening::News(connection, news) => self.news(connection, news),
            Happening::Piece(call, piece) => self.piece(call, piece),
        }
    }

    fn place_of(&self, call: usize) -> usize {
        self.connections[self.calls[call].connection].place
    }

    pub(crate) fn open(&mut self, open: &Open) {
        let index = open.call.serial() as usize;
        // Calls whose opening was taken back before the driver saw it leave a gap.
        while self.calls.len() < index {
            self.skip_call(open);
        }
        let op = open.headers().get(NAME).and_then(|name| name.to_str().ok()?.parse::<usize>().ok());
        let connection = open.connection.serial() as usize;
        let usable = self.is_open(connection);
        let identity = match op {
            Some(op) => [self.script.seed, 6, u64::from(self.ops[op].id), self.ops[op].calls.len() as u64],
            None => [self.script.seed, 7, connection as u64, index as u64],
        };
        let mut rng = Rng::of(&identity);
        let there_at = self.now + self.latency(&mut rng);
        if let Some(op) = op {
            self.ops[op].calls.push(index);
        }
        let passage = if usable { Passage::Flying } else { Passage::Lost };
        let streaming = open.method.kind() != MethodKind::Unary;
        self.lease_asked(index, open.method.name(), &open.message);
        self.calls.push(CallRecord {
            key: open.call,
            op,
            stream: streaming,
            inquiry: op.is_none() && !streaming && open.method.name() != "Check",
            connection,
            passage,
            answered: None,
            over: !usable,
            reset: false,
            given_back: false,
        });
        self.streams.push(Stream {
            rng,
            path: open.method.path(),
            message: open.message.slice(PREFIX..),
            require_leader: open.requires_leader(),
            timeout: open.timeout(),
            streaming,
            more: open.more,
            headed: false,
            there_at,
            back_at: self.now,
            veil: Veil::None,
            body: None,
            got: 0,
        });
        if !usable {
            return;
        }
        *self.open_count(index) += 1;
        self.lines[connection].calls.push(index);
        let place = self.connections[connection].place;
        let given_back = self.lines[connection].goaway_told
            || (self.is_faulty(place, Fault::NotSent) && self.streams[index].rng.chance(500));
        if given_back {
            self.calls[index].passage = Passage::Lost;
            self.queue.push(self.now, Happening::Piece(index, Piece::Reset(ResetCause::NotSent)));
        } else {
            self.queue.push(there_at, Happening::Arrive(index));
        }
    }

    /// Fills the place of a call that was never to be opened.
    fn skip_call(&mut self, open: &Open) {
        self.calls.push(CallRecord {
            key: open.call,
            op: None,
            stream: false,
            inquiry: false,
            connection: open.connection.serial() as usize,
            passage: Passage::Lost,
            answered: None,
            over: true,
            reset: false,
            given_back: false,
        });
        self.streams.push(Stream {
            rng: Rng::new(0),
            path: "",
            message: Bytes::new(),
            require_leader: false,
            timeout: None,
            streaming: false,
            more: false,
            headed: false,
            there_at: self.now,
            back_at: self.now,
            veil: Veil::None,
            body: None,
            got: 0,
        });
    }

    fn open_count(&mut self, call: usize) -> &mut usize {
        let path = self.streams[call].path;
        let lease = path.ends_with("LeaseGrant") || path.ends_with("LeaseRevoke");
        match &self.calls[call] {
            CallRecord { inquiry: true, .. } if lease => &mut self.counts.leasing,
            CallRecord { stream: true, .. } => &mut self.counts.streams,
            CallRecord { op: Some(_), .. } => &mut self.counts.calls,
            CallRecord { inquiry: true, .. } => &mut self.counts.inquiries,
            CallRecord { op: None, .. } => &mut self.counts.probes,
        }
    }

    /// The driver is done with a call.
    pub(crate) fn over(&mut self, call: usize) {
        if !self.calls[call].over {
            self.calls[call].over = true;
            *self.open_count(call) -= 1;
            let got = std::mem::take(&mut self.streams[call].got);
            // The core may keep what answers an operation.
            match self.calls[call].op.map(|op| &mut self.ops[op]) {
                Some(op) if matches!(op.state, OpState::Live | OpState::Done) => {
                    self.counts.bytes -= std::mem::replace(&mut op.got, got);
                }
                _ => self.counts.bytes -= got,
            }
            self.lines[self.calls[call].connection].calls.retain(|other| *other != call);
        }
    }

    /// The client gets some of an answer.
    pub(crate) fn gets(&mut self, call: usize, bytes: usize) {
        self.streams[call].got += bytes;
        self.counts.bytes += bytes;
    }

    pub(crate) fn reset(&mut self, call: usize) {
        let Some(record) = self.calls.get_mut(call) else { return };
        record.reset = true;
        if record.over {
            return;
        }
        self.over(call);
        let stream = &mut self.streams[call];
        if self.calls[call].passage == Passage::Flying && stream.rng.chance(200) {
            // It had not even been written.
            self.calls[call].passage = Passage::Lost;
            return;
        }
        let mut rng = stream.rng.clone();
        let at = (self.now + self.latency(&mut rng)).max(self.streams[call].there_at);
        self.queue.push(at, Happening::Abort(call));
    }

    pub(crate) fn arrive(&mut self, call: usize) {
        let CallRecord { connection, passage, .. } = self.calls[call];
        if passage != Passage::Flying {
            return;
        }
        let line = &self.lines[connection];
        if !line.served || line.goaway.is_some_and(|last| call as i64 > last) {
            self.calls[call].passage = Passage::Lost;
            return;
        }
        let place = self.connections[connection].place;
        let draw = self.streams[call].rng.chance(500);
        if draw && self.is_faulty(place, Fault::RefuseStreams) {
            self.calls[call].passage = Passage::Lost;
            self.send_back(call, Piece::Reset(ResetCause::Refused));
            return;
        }
        if draw && self.is_faulty(place, Fault::Proxy503) {
            if self.streams[call].rng.chance(500) {
                self.calls[call].passage = Passage::Lost;
                self.send_back(call, Piece::Http(503));
                return;
            }
            self.streams[call].veil = Veil::Http(503);
        } else if draw && self.is_faulty(place, Fault::Garbage) {
            self.streams[call].veil = Veil::Garbage;
        } else if draw && self.is_faulty(place, Fault::ResetStreams) {
            self.streams[call].veil = Veil::Reset;
        }
        self.calls[call].passage = Passage::Arrived;
        let id = CallId(call as u64);
        let stream = &self.streams[call];
        let start = CallStart {
            call: id,
            member: place,
            path: stream.path,
            require_leader: stream.require_leader,
            timeout: stream.timeout,
        };
        self.cluster.open(self.now, start);
        self.cluster.message(self.now, id, stream.message.clone());
        if !stream.more {
            self.cluster.finish(self.now, id);
        }
        self.collect();
    }

    pub(crate) fn abort(&mut self, call: usize) {
        if self.calls[call].passage == Passage::Arrived && self.calls[call].answered.is_none() {
            self.cluster.cancel(self.now, CallId(call as u64));
            self.collect();
        }
    }
}
