//! Connections: made, broken, hung up, and what the client hears of them.

use std::time::{Duration, Instant};

use etcdium_core::{Cause, CauseKind, Connect, EndpointInput, ResetCause, WrongServer};

use super::World;
use super::answers::Piece;
use super::network::Happening;
use super::records::{ConnectionRecord, LinkStage, Passage};
use super::script::{Cut, Decoy, Fault};
use crate::rng::Rng;

/// News of a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// The server leaves; calls with a higher number than this it will not carry out.
    GoAway(i64),
    /// It is broken.
    Closed(CauseKind),
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

impl World {
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

    pub(crate) fn hung_up(&mut self, connection: usize) {
        if std::mem::take(&mut self.lines[connection].served) {
            for call in 0..self.calls.len() {
                if self.calls[call].connection == connection {
                    self.abort(call);
                }
            }
        }
    }

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

    pub(crate) fn dialled(&mut self, connection: usize) {
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

    pub(crate) fn news(&mut self, connection: usize, news: News) {
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
    pub(crate) fn ping(&mut self, connection: usize) {
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
