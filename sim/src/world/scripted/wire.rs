//! Calls on their way there and back: latency, cuts, order within a call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::etcdserverpb::LeaseKeepAliveResponse;
use prost::Message;

use super::{Happening, Life};
use crate::model::{CallId, CallStart, Output, Status};
use crate::rng::Rng;
use crate::world::script::{Cut, Fault};

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The watch stream of this session.
    Watch(usize),
    /// The grant of this holder.
    Grant(usize),
    /// The renewals of this holder.
    Renewals(usize),
    /// Somebody else's.
    Other,
}

#[derive(Debug)]
pub(super) enum There {
    Open { path: &'static str, require_leader: bool },
    Message(Bytes),
    Finish,
    Cancel,
}

#[derive(Debug)]
pub(super) enum Here {
    Message(Bytes),
    End(Status),
    /// The connection is gone.
    Broken,
}

/// A call of the client.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) owner: Owner,
    pub(super) place: usize,
    /// How many restores lay behind when it was opened.
    pub(super) epoch: usize,
    there: VecDeque<There>,
    back: VecDeque<Here>,
    there_at: Instant,
    back_at: Instant,
    /// The server has it.
    served: bool,
    /// The connection is gone.
    cut: bool,
    /// The client is done with it.
    pub(super) over: bool,
    rng: Rng,
}

impl Life<'_> {
    fn fault(&self, place: usize, is: impl Fn(Fault) -> bool) -> Option<Instant> {
        let faults = self.faults.iter().filter(|(fault, at, _)| *at == place && is(*fault));
        faults.map(|(.., until)| *until).max()
    }

    pub(super) fn held_there(&self, place: usize) -> Option<Instant> {
        self.fault(place, |fault| matches!(fault, Fault::Blackhole | Fault::CutThere))
    }

    pub(super) fn held_back(&self, place: usize) -> Option<Instant> {
        self.fault(place, |fault| matches!(fault, Fault::Blackhole | Fault::CutBack))
    }

    fn latency(&self, rng: &mut Rng) -> Duration {
        let (least, most) = self.script.setup.latency;
        rng.between(least, most)
    }

    /// Opens a call to a place.
    pub(super) fn open(&mut self, owner: Owner, place: usize, path: &'static str, leader: bool) -> usize {
        let call = self.calls.len();
        self.calls.push(Call {
            owner,
            place,
            epoch: 0,
            there: VecDeque::new(),
            back: VecDeque::new(),
            there_at: self.now,
            back_at: self.now,
            served: false,
            cut: false,
            over: false,
            rng: Rng::of(&[self.script.seed, 25, call as u64]),
        });
        self.send(call, There::Open { path, require_leader: leader });
        call
    }

    pub(super) fn send(&mut self, call: usize, what: There) {
        self.trace.add(self.now - self.start, &("send", call, &what));
        let mut rng = self.calls[call].rng.clone();
        let at = self.now + self.latency(&mut rng);
        let known = &mut self.calls[call];
        known.rng = rng;
        if !known.cut {
            known.there_at = known.there_at.max(at);
            known.there.push_back(what);
            self.queue.push(known.there_at, Happening::Arrive(call));
        }
    }

    /// The client drops a call.
    pub(super) fn drop_call(&mut self, call: usize) {
        if !self.calls[call].over {
            self.calls[call].over = true;
            self.send(call, There::Cancel);
        }
    }

    pub(super) fn arrive(&mut self, call: usize) {
        let refused = self.fault(self.calls[call].place, |fault| fault == Fault::RefuseDials).is_some();
        let epoch = self.truths.epoch();
        let known = &mut self.calls[call];
        let Some(what) = known.there.pop_front() else { return };
        let id = CallId(call as u64);
        match what {
            There::Open { path, require_leader } => {
                if refused || !self.front.is_up(known.place) {
                    known.cut = true;
                    known.there.clear();
                    return self.reply(call, Here::Broken);
                }
                known.served = true;
                known.epoch = epoch;
                let start = CallStart { call: id, member: known.place, path, require_leader, timeout: None };
                self.front.open(self.now, start);
            }
            _ if !known.served => {}
            There::Message(message) => self.front.message(self.now, id, message),
            There::Finish => self.front.finish(self.now, id),
            There::Cancel => {
                known.served = false;
                self.front.cancel(self.now, id);
            }
        }
        self.collect();
    }

    /// Takes what the servers send.
    pub(super) fn collect(&mut self) {
        while let Some(output) = self.front.poll_output() {
            match output {
                Output::Message { call, message } => {
                    let call = call.0 as usize;
                    match self.calls.get(call).map(|call| call.owner) {
                        Some(Owner::Grant(holder)) => {
                            self.learn();
                            self.learn_promise(self.holders[holder].lease, None);
                        }
                        Some(Owner::Renewals(_)) => {
                            if let Ok(answer) = LeaseKeepAliveResponse::decode(message.clone()) {
                                self.learn_promise(answer.id, Some(answer.ttl));
                            }
                        }
                        _ => {}
                    }
                    self.reply(call, Here::Message(message));
                }
                Output::End { call, status } => {
                    if let Some(call) = self.calls.get_mut(call.0 as usize) {
                        call.served = false;
                    }
                    self.reply(call.0 as usize, Here::End(status));
                }
            }
        }
        self.learn();
    }

    fn reply(&mut self, call: usize, what: Here) {
        let Some(known) = self.calls.get(call).filter(|call| !call.over) else { return };
        let mut rng = known.rng.clone();
        let at = self.now + self.latency(&mut rng);
        let known = &mut self.calls[call];
        known.rng = rng;
        known.back_at = known.back_at.max(at);
        known.back.push_back(what);
        self.queue.push(known.back_at, Happening::Back(call));
    }

    pub(super) fn back(&mut self, call: usize) {
        let known = &mut self.calls[call];
        let Some(what) = known.back.pop_front().filter(|_| !known.over) else { return };
        match what {
            Here::Message(message) => self.receive(call, message),
            Here::End(status) => {
                self.trace.add(self.now - self.start, &("end", call, &status));
                self.lost(call);
            }
            Here::Broken => self.broken(call),
        }
    }

    pub(super) fn broken(&mut self, call: usize) {
        if !self.calls[call].over {
            self.trace.add(self.now - self.start, &("broken", call));
            self.lost(call);
        }
    }

    /// All connections to a place break.
    pub(super) fn break_lines(&mut self, place: usize, cut: Cut) {
        for call in 0..self.calls.len() {
            let known = &self.calls[call];
            if known.place != place || known.cut || known.over || known.owner == Owner::Other {
                continue;
            }
            while !self.calls[call].there.is_empty() {
                let arrives = match cut {
                    Cut::BeforeArrival => false,
                    Cut::AfterArrival => true,
                    Cut::Mixed | Cut::Silent => self.calls[call].rng.chance(500),
                };
                if !arrives {
                    break;
                }
                self.arrive(call);
            }
            let known = &mut self.calls[call];
            known.cut = true;
            known.there.clear();
            let kept = known.rng.index(known.back.len() + 1);
            known.back.truncate(kept);
            if std::mem::take(&mut known.served) {
                self.front.cancel(self.now, CallId(call as u64));
                self.collect();
            }
            if cut == Cut::Silent {
                self.queue.push(self.now + Duration::from_secs(15), Happening::Notice(call));
            } else {
                self.reply(call, Here::Broken);
            }
        }
    }

    /// A call of somebody else, without a network between.
    pub(super) fn call_at_once(&mut self, member: usize, path: &'static str, message: Bytes) {
        self.ops += 1;
        let call = self.calls.len();
        self.open(Owner::Other, member, path, false);
        let known = &mut self.calls[call];
        known.there.clear();
        known.over = true;
        let id = CallId(call as u64);
        let start = CallStart { call: id, member, path, require_leader: false, timeout: None };
        self.front.open(self.now, start);
        self.front.message(self.now, id, message);
        self.front.finish(self.now, id);
        self.collect();
    }
}
