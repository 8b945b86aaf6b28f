//! The scripted client's side of its calls: streams opened, answers judged.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchRequest,
    WatchResponse,
};
use prost::Message;

use super::holder::Next;
use super::mistake::Mistake;
use super::plan::KEYS;
use super::steps::key;
use super::stream::{Stream, Told};
use super::wire::{Owner, There};
use super::{Granted, Happening, Judge, Life, Session};
use crate::check::{Delivery, LeaseReport, LeaseRule, WatchChecker, WatchSpec};
use crate::rng::Rng;

const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

impl Life<'_> {
    /// The client begins.
    pub(super) fn begin(&mut self) {
        let trusting = self.script.setup.minor >= 5;
        for (number, watches) in self.streams.watches.iter().enumerate() {
            let stream = Stream::new(self.rng.chance(500), trusting, self.mistake);
            self.sessions.push(Session { stream, call: None, judges: Vec::new() });
            for watch in 0..*watches {
                self.begin_watch(number, watch, None);
            }
            self.queue.push(self.now, Happening::Connect(number));
        }
        for holder in 0..self.holders.len() {
            self.queue.push(self.now, Happening::Look(holder));
        }
    }

    /// A new watch in this place; from this revision on or from one of its own choice.
    fn begin_watch(&mut self, session: usize, index: usize, from: Option<i64>) {
        let committed = self.front.committed_revision();
        let rng = &mut self.rng;
        let first = rng.below(u64::from(KEYS)) as u8;
        let range_end = match rng.index(3) {
            0 => Bytes::new(),
            1 => Bytes::from_static(&[0]),
            _ => Bytes::from_static(b"k9"),
        };
        let start_revision = from.unwrap_or_else(|| match rng.index(8) {
            0..=3 => 0,
            4..=5 => 1 + rng.below(committed.unsigned_abs()) as i64,
            6 => committed + 1,
            _ => committed + 1 + rng.below(5) as i64,
        });
        let filter = rng.index(10);
        let spec = WatchSpec {
            key: key(first),
            range_end,
            start_revision,
            no_put: filter == 0,
            no_delete: filter == 1,
            prev_kv: rng.chance(400),
        };
        let extras = (rng.chance(600), rng.chance(600));
        let session = &mut self.sessions[session];
        let judge = Judge { checker: WatchChecker::new(spec.clone()), epoch: None };
        if index < session.judges.len() {
            session.judges[index] = judge;
        } else {
            session.judges.push(judge);
        }
        session.stream.begin(index, spec, extras);
    }

    /// All watches of all streams are begun anew.
    pub(super) fn begin_again(&mut self) {
        for session in 0..self.sessions.len() {
            self.clear(session);
        }
    }

    fn clear(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        session.stream.clear();
        session.judges.clear();
        for watch in 0..self.streams.watches[number] {
            self.begin_watch(number, watch, None);
        }
        self.reset(number);
    }

    /// Drops a stream, to open it again.
    fn reset(&mut self, number: usize) {
        self.sessions[number].stream.lost();
        if let Some(call) = self.sessions[number].call.take() {
            self.drop_call(call);
        }
        if self.mistake != Some(Mistake::NeverResumes) {
            let wait = self.rng.between(Duration::from_millis(20), Duration::from_millis(500));
            self.queue.push(self.now + wait, Happening::Connect(number));
        }
    }

    fn any_place(&mut self) -> usize {
        let member = self.rng.index(self.script.setup.members);
        self.place(member)
    }

    pub(super) fn connect(&mut self, number: usize) {
        if self.sessions[number].call.is_some() {
            return;
        }
        let (place, leader) = (self.any_place(), self.rng.chance(500));
        let call = self.open(Owner::Watch(number), place, WATCH, leader);
        let session = &mut self.sessions[number];
        session.call = Some(call);
        let requests = session.stream.create();
        self.send_all(call, requests);
    }

    fn send_all(&mut self, call: usize, requests: impl IntoIterator<Item = WatchRequest>) {
        for request in requests {
            self.send(call, There::Message(request.encode_to_vec().into()));
        }
    }

    pub(super) fn ask_progress(&mut self, session: usize) {
        let Some(session) = self.sessions.get_mut(session).filter(|_| self.asleep <= Some(self.now)) else {
            return;
        };
        if let Some(call) = session.call {
            let request = session.stream.ask();
            self.send_all(call, [request]);
        }
    }

    /// A message arrives at the client.
    pub(super) fn receive(&mut self, call: usize, message: Bytes) {
        let now = self.now;
        match self.calls[call].owner {
            Owner::Watch(number) => {
                let Ok(response) = WatchResponse::decode(message) else { return };
                self.trace.add(now - self.start, &("received", call, &response));
                for told in self.sessions[number].stream.receive(response) {
                    self.told(number, call, told);
                }
            }
            Owner::Grant(holder) => {
                let Ok(response) = LeaseGrantResponse::decode(message) else { return };
                self.trace.add(now - self.start, &("received", call, &response));
                if self.holders[holder].granting.is_some_and(|(granting, _)| granting == call) {
                    let report = self.holders[holder].granted(now, response.ttl);
                    self.report(holder, report);
                }
            }
            Owner::Renewals(holder) => {
                let Ok(response) = LeaseKeepAliveResponse::decode(message) else { return };
                self.trace.add(now - self.start, &("received", call, &response));
                if self.holders[holder].stream == Some(call) && self.holders[holder].lease == response.id {
                    let report = self.holders[holder].renewed(now, response.ttl);
                    self.report(holder, report);
                }
            }
            Owner::Other => {}
        }
    }

    fn told(&mut self, number: usize, call: usize, told: Told) {
        match told {
            Told::Deliver(watch, delivery) => self.judge(number, watch, call, &delivery),
            Told::Ended(watch) => {
                let oldest = self.front.compact_revision();
                let from = if self.rng.chance(500) { Some(oldest) } else { None };
                self.begin_watch(number, watch, from);
                let requests = self.sessions[number].stream.create();
                self.send_all(call, requests);
            }
            Told::Ask(request) => self.send_all(call, [request]),
            Told::Reset => self.reset(number),
            Told::OtherCluster => self.clear(number),
        }
    }

    fn judge(&mut self, number: usize, watch: usize, call: usize, delivery: &Delivery) {
        self.trace.add(self.now - self.start, &("watch", number, watch, delivery));
        let epoch = self.calls[call].epoch;
        let Some(judge) = self.sessions[number].judges.get_mut(watch) else { return };
        let epoch = *judge.epoch.get_or_insert(epoch);
        let Some(truth) = self.truths.get(epoch) else { return };
        let faults = judge.checker.deliver(truth, delivery);
        if let Some(fault) = faults.into_iter().next() {
            let spec = judge.checker.spec().clone();
            self.violate(fault.rule.name(), format!("watch {number}/{watch} {spec:?}: {}", fault.detail));
        }
    }

    /// A call ended, or its connection broke.
    pub(super) fn lost(&mut self, call: usize) {
        self.calls[call].over = true;
        match self.calls[call].owner {
            Owner::Watch(number) if self.sessions[number].call == Some(call) => {
                self.sessions[number].call = None;
                self.reset(number);
            }
            Owner::Grant(holder) => {
                let known = &mut self.holders[holder];
                if known.granting.is_some_and(|(granting, _)| granting == call) {
                    known.not_granted();
                }
            }
            Owner::Renewals(holder) if self.holders[holder].stream == Some(call) => {
                let report = self.holders[holder].stream_lost(self.now);
                self.report(holder, report);
            }
            _ => {}
        }
    }

    // Leases.

    fn report(&mut self, holder: usize, report: Option<LeaseReport>) {
        let Some(report) = report else { return };
        let lease = self.holders[holder].lease;
        let faults = self.leases.report(self.now, lease, report);
        // A leader of 3.4 that is behind calls a lease unknown that was just granted.
        let unsure = |rule| rule == LeaseRule::Found && self.script.setup.minor < 5;
        if let Some(fault) = faults.into_iter().find(|fault| !unsure(fault.rule)) {
            self.violate(lease_rule(fault.rule), fault.to_string());
        }
    }

    /// The client looks at a lease, and does what is due for it.
    pub(super) fn look(&mut self, holder: usize) {
        let now = self.now;
        let wait = self.rng.between(Duration::from_millis(100), Duration::from_millis(800));
        self.queue.push(now + wait, Happening::Look(holder));
        let report = self.holders[holder].look(now);
        self.report(holder, report);
        match self.holders[holder].next(now) {
            Next::Nothing => {}
            Next::Grant => self.grant(holder),
            Next::Renew => self.renew(holder, now),
            Next::RenewElsewhere => {
                if let Some(call) = self.holders[holder].stream.take() {
                    self.drop_call(call);
                }
                self.renew(holder, now);
            }
        }
    }

    fn grant(&mut self, holder: usize) {
        if let Some(call) = self.holders[holder].stream.take() {
            self.drop_call(call);
        }
        let lease = Rng::of(&[self.script.seed, 28, self.granted.len() as u64]).next_u64();
        let lease = (lease >> 1) as i64 | 1;
        let ttl = 2 + self.rng.below(6) as i64;
        let granted = Granted { ttl: Duration::from_secs(ttl.unsigned_abs()), seen: false };
        self.granted.insert(lease, granted);
        let place = self.any_place();
        let call = self.open(Owner::Grant(holder), place, LeaseGrantRequest::METHOD.path(), false);
        let request = LeaseGrantRequest { ttl, id: lease };
        self.send(call, There::Message(request.encode_to_vec().into()));
        self.send(call, There::Finish);
        self.holders[holder].grant(self.now, lease, ttl, call);
    }

    fn renew(&mut self, holder: usize, now: Instant) {
        let call = match self.holders[holder].stream {
            Some(call) => call,
            None => {
                let (place, leader) = (self.any_place(), self.rng.chance(500));
                self.open(Owner::Renewals(holder), place, KEEP_ALIVE, leader)
            }
        };
        let known = &mut self.holders[holder];
        known.stream = Some(call);
        known.asked = Some(now);
        let request = LeaseKeepAliveRequest { id: known.lease };
        self.send(call, There::Message(request.encode_to_vec().into()));
    }

    // The end.

    /// After all faults every watch has told everything.
    pub(super) fn judge_end(&mut self) {
        if self.violation.is_some() || self.script.setup.proxied {
            return;
        }
        for (number, session) in self.sessions.iter().enumerate() {
            let missing = session.judges.iter().enumerate().find_map(|(watch, judge)| {
                let truth = self.truths.get(judge.epoch?)?;
                let event = judge.checker.missing(truth).next()?;
                Some(format!("watch {number}/{watch} has not delivered {event:?}"))
            });
            let unsettled = || {
                let open = session.stream.is_settled();
                (!open).then(|| format!("stream {number} has not confirmed its watches"))
            };
            if let Some(how) = missing.or_else(unsettled) {
                return self.violate("a watch delivers everything", how);
            }
        }
    }
}

fn lease_rule(rule: LeaseRule) -> &'static str {
    match rule {
        LeaseRule::Expired => "a lease is not alive after its expiry",
        LeaseRule::Promise => "a lease is not promised for longer than it lives",
        LeaseRule::Revived => "a lost lease stays lost",
        LeaseRule::Found => "a lease that exists is not unknown",
    }
}
