//! The network: connections made and lost, requests on their way there. Answers on their way back are in `answers.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_core::{Address, Cause, CauseKind, Connect, EndpointInput, Open, ResetCause, WrongServer};
use etcdium_proto::{MethodKind, Version};

use super::World;
use super::answers::{Piece, Veil};
use super::client::NAME;
use super::front::Front;
use super::records::{CallRecord, ConnectionRecord, LinkStage, Passage};
use super::script::{Cut, Decoy, Fault, Script, Setup};
use crate::framing::PREFIX;
use crate::model::{CallId, CallStart, Cluster, ClusterConfig};
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

/// News of a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// The server leaves; calls with a higher number than this it will not carry out.
    GoAway(i64),
    /// It is broken.
    Closed(CauseKind),
}

/// Where an endpoint leads.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// `None` is a member: places of members come first, in their order.
    decoy: Option<Decoy>,
    dials: u64,
}

/// The network's side of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) rng: Rng,
    /// The server has it.
    pub(crate) served: bool,
    /// Nothing comes back any more.
    pub(crate) mute: bool,
    /// The server left; it carries out calls up to this number only.
    pub(crate) goaway: Option<i64>,
    /// The client knows.
    pub(crate) goaway_told: bool,
    /// Calls the driver is not done with.
    pub(crate) calls: Vec<usize>,
    /// When the latest of its news arrives.
    heard_at: Instant,
}

/// The network's side of a call.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) rng: Rng,
    path: &'static str,
    message: Bytes,
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

/// The cluster of a script.
pub(crate) fn cluster(script: &Script, now: Instant) -> Front {
    let setup = &script.setup;
    let usual = ClusterConfig::default();
    let config = ClusterConfig {
        max_request_bytes: setup.limits.request_bytes.unwrap_or(usual.max_request_bytes),
        max_gap: setup.limits.gap.unwrap_or(usual.max_gap),
        quota: setup.limits.quota.unwrap_or(usual.quota),
        members: setup.members,
        learners: setup.learners,
        version: Version { major: 3, minor: setup.minor },
        commit_latency: setup.commit_latency,
        ..usual
    };
    let cluster = Cluster::new(config, now, mix(&[script.seed, 3]));
    if setup.proxied { Front::proxied(cluster, now, script.seed) } else { Front::Direct(Box::new(cluster)) }
}

impl World {
    /// Until when the first fault of this sort lasts here, if there is one.
    pub(crate) fn fault(&self, place: usize, is: impl Fn(Fault) -> bool) -> Option<Instant> {
        let faults = self.faults.iter().filter(|(fault, at, _)| *at == place && is(*fault));
        faults.map(|(_, _, until)| *until).max()
    }

    fn is_faulty(&self, place: usize, fault: Fault) -> bool {
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
    pub(crate) fn happen(&mut self, what: Happening) {
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
            Happening::Turn | Happening::Cancel(_) | Happening::Take(_) | Happening::Ping(_) => self.asleep,
            Happening::Step(_) | Happening::Mend(_) | Happening::Leave(_) => None,
        };
        if let Some(until) = held.filter(|until| *until > self.now) {
            self.queue.push(until, what);
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

    // What the core wants.

    pub(crate) fn dial(&mut self, connect: &Connect) {
        let index = self.connections.len();
        let known = self.places.iter().position(|place| place.address == *connect.address);
        let place = known.unwrap_or_default();
        let dials = &mut self.places[place].dials;
        let mut rng = Rng::of(&[self.script.seed, 5, place as u64, *dials]);
        *dials += 1;
        self.connections.push(ConnectionRecord {
            key: connect.connection,
            endpoint: connect.endpoint,
            place,
            stage: LinkStage::Dialling,
            heard: None,
        });
        self.counts.connections += 1;
        let at = self.now + self.latency(&mut rng) + self.latency(&mut rng);
        self.lines.push(Line {
            rng,
            served: false,
            mute: false,
            goaway: None,
            goaway_told: false,
            calls: Vec::new(),
            heard_at: at,
        });
        if self.places[place].decoy != Some(Decoy::Hangs) {
            self.queue.push(at, Happening::Dialled(index));
        }
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
        self.calls.push(CallRecord {
            key: open.call,
            op,
            stream: streaming,
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
        });
    }

    fn open_count(&mut self, call: usize) -> &mut usize {
        match &self.calls[call] {
            CallRecord { stream: true, .. } => &mut self.counts.streams,
            CallRecord { op: Some(_), .. } => &mut self.counts.calls,
            CallRecord { op: None, .. } => &mut self.counts.probes,
        }
    }

    /// The driver is done with a call.
    pub(crate) fn over(&mut self, call: usize) {
        if !self.calls[call].over {
            self.calls[call].over = true;
            *self.open_count(call) -= 1;
            self.lines[self.calls[call].connection].calls.retain(|other| *other != call);
        }
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

    pub(crate) fn hang_up(&mut self, connection: usize) {
        let Some(record) = self.connections.get_mut(connection) else { return };
        if matches!(record.stage, LinkStage::Dialling | LinkStage::Open) {
            self.counts.connections -= 1;
        }
        record.stage = LinkStage::Dropped;
        let mut at = self.now;
        while let Some(call) = self.lines[connection].calls.last().copied() {
            self.over(call);
            at = at.max(self.streams[call].there_at);
        }
        let mut rng = self.lines[connection].rng.clone();
        self.queue.push(at + self.latency(&mut rng), Happening::Hangup(connection));
    }

    // What arrives at the servers.

    fn arrive(&mut self, call: usize) {
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

    fn hung_up(&mut self, connection: usize) {
        if std::mem::take(&mut self.lines[connection].served) {
            for call in 0..self.calls.len() {
                if self.calls[call].connection == connection {
                    self.abort(call);
                }
            }
        }
    }

    // What breaks.

    /// Breaks a connection at the server.
    pub(crate) fn break_line(&mut self, connection: usize, cut: Cut) {
        let calls = self.lines[connection].calls.clone();
        for call in calls {
            let arrives = match cut {
                Cut::BeforeArrival => false,
                Cut::AfterArrival => true,
                Cut::Mixed | Cut::Silent => self.streams[call].rng.chance(500),
            };
            if arrives {
                self.arrive(call);
            } else if self.calls[call].passage == Passage::Flying {
                self.calls[call].passage = Passage::Lost;
            }
        }
        self.hung_up(connection);
        let mut rng = self.lines[connection].rng.clone();
        let latency = self.latency(&mut rng);
        let line = &mut self.lines[connection];
        line.mute = cut != Cut::Mixed || rng.chance(500);
        let kinds = [CauseKind::ClosedByServer, CauseKind::Io(std::io::ErrorKind::ConnectionReset)];
        let kind = rng.pick(&kinds).clone();
        line.rng = rng;
        if cut == Cut::Silent {
            self.queue.push(self.now + Duration::from_secs(15), Happening::Ping(connection));
        } else {
            let at = line.heard_at.max(self.now + latency);
            self.queue.push(at, Happening::News(connection, News::Closed(kind)));
        }
    }

    /// All connections to a place break.
    pub(crate) fn break_lines(&mut self, place: usize, cut: Cut) {
        for connection in 0..self.lines.len() {
            if self.connections[connection].place == place && self.lines[connection].served {
                self.break_line(connection, cut);
            }
        }
    }

    /// The server tells its clients to leave.
    pub(crate) fn go_away(&mut self, place: usize, slack: u8) {
        for connection in 0..self.lines.len() {
            let line = &self.lines[connection];
            if self.connections[connection].place != place || !line.served || line.goaway.is_some() {
                continue;
            }
            let arrived = |call: &&usize| self.calls[**call].passage == Passage::Arrived;
            let last = line.calls.iter().rev().find(arrived).map_or(-1, |call| *call as i64);
            let later = line.calls.iter().filter(|call| **call as i64 > last);
            let last = later.take(usize::from(slack)).last().map_or(last, |call| *call as i64);
            for call in line.calls.clone() {
                if call as i64 > last && self.calls[call].passage == Passage::Flying {
                    self.calls[call].passage = Passage::Lost;
                }
            }
            let mut rng = self.lines[connection].rng.clone();
            let latency = self.latency(&mut rng);
            let patience = rng.between(Duration::ZERO, Duration::from_secs(10));
            let leaves = rng.chance(500);
            let line = &mut self.lines[connection];
            line.rng = rng;
            line.goaway = Some(last);
            line.heard_at = line.heard_at.max(self.now + latency);
            self.queue.push(line.heard_at, Happening::News(connection, News::GoAway(last)));
            if leaves {
                self.queue.push(self.now + patience, Happening::Leave(connection));
            }
        }
    }

    // What the client hears.

    fn dialled(&mut self, connection: usize) {
        if self.connections[connection].stage != LinkStage::Dialling {
            return;
        }
        let place = self.connections[connection].place;
        let wrong =
            [WrongServer::Http1, WrongServer::SilentClose, WrongServer::NotSettings { frame_type: 7 }];
        let refused = CauseKind::Connect(std::io::ErrorKind::ConnectionRefused);
        let failure =
            if self.places[place].decoy == Some(Decoy::Wrong) || self.is_faulty(place, Fault::WrongServer) {
                Some(CauseKind::WrongServer(self.lines[connection].rng.pick(&wrong).clone()))
            } else if self.places[place].decoy.is_some()
                || self.is_faulty(place, Fault::RefuseDials)
                || !self.cluster.is_up(place)
            {
                Some(refused)
            } else {
                None
            };
        let input = if let Some(kind) = failure {
            self.connections[connection].stage = LinkStage::Broken;
            self.counts.connections -= 1;
            EndpointInput::ConnectFailed(Cause::from(kind))
        } else {
            self.connections[connection].stage = LinkStage::Open;
            self.lines[connection].served = true;
            EndpointInput::Connected
        };
        self.tell(connection, input);
        self.touched();
    }

    fn news(&mut self, connection: usize, news: News) {
        if !self.is_open(connection) {
            return;
        }
        match news {
            News::GoAway(last) => {
                self.lines[connection].goaway_told = true;
                let above = self.lines[connection].calls.iter().copied();
                let above: Vec<usize> = above.filter(|call| *call as i64 > last).collect();
                let after = self.lines[connection].rng.chance(500);
                if !after {
                    self.tell(connection, EndpointInput::GoingAway);
                }
                for call in above {
                    // Opened after the server had left: it would turn it down on arrival.
                    if self.calls[call].passage == Passage::Flying {
                        self.calls[call].passage = Passage::Lost;
                    }
                    self.piece(call, Piece::Reset(ResetCause::GoAway));
                }
                // The core may have dropped the connection after its last call.
                if after && self.is_open(connection) {
                    self.tell(connection, EndpointInput::GoingAway);
                }
            }
            News::Closed(kind) => {
                self.connections[connection].stage = LinkStage::Broken;
                self.counts.connections -= 1;
                while let Some(call) = self.lines[connection].calls.last().copied() {
                    self.over(call);
                }
                self.tell(connection, EndpointInput::Closed(Cause::from(kind)));
            }
        }
        self.touched();
    }

    /// Engines ping while a stream is open: one that got no answer closes the connection.
    fn ping(&mut self, connection: usize) {
        if !self.is_open(connection) {
            return;
        }
        if self.lines[connection].calls.is_empty() {
            self.queue.push(self.now + Duration::from_secs(15), Happening::Ping(connection));
        } else {
            self.news(connection, News::Closed(CauseKind::PingTimeout));
        }
    }

    /// Tells the core something of a connection.
    pub(crate) fn tell(&mut self, connection: usize, input: EndpointInput) {
        let key = self.connections[connection].key;
        if matches!(input, EndpointInput::Received | EndpointInput::GoingAway) {
            self.connections[connection].heard = Some(self.now);
        }
        self.trace.add(self.since_start(), &(key, &input));
        self.woken = None;
        self.core.handle_endpoint(self.now, key, input);
    }
}
