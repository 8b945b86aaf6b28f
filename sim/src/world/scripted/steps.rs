//! Steps of scripts, carried out: writes of somebody else, faults.

use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseRevokeRequest, PutRequest, RequestOp, TxnRequest, request_op::Request as Op,
};
use prost::Message;

use super::plan::KEYS;
use super::{Happening, Life};
use crate::rng::{Rng, mix};
use crate::world::script::{Action, Cut, Fault, Request};

/// The name of a key.
pub(super) fn key(number: u8) -> Bytes {
    format!("k{}", number % KEYS).into()
}

fn value(id: u32, rng: &mut Rng) -> Bytes {
    let mut value = format!("v{id} ").into_bytes();
    value.resize(value.len() + rng.index(200), b'.');
    value.into()
}

impl Life<'_> {
    pub(super) fn step(&mut self, index: usize) {
        let step = &self.script.steps[index];
        self.trace.add(self.now - self.start, step);
        let members = self.script.setup.members;
        match step.action {
            Action::Start(request, _) => self.write(step.id, request),
            Action::AskProgress(session) => self.ask_progress(session),
            Action::Pause(lasting) => self.asleep = self.asleep.max(Some(self.now + lasting)),
            Action::Fault(fault, member, lasting) if member < members => {
                self.queue.push(self.now + lasting, Happening::Mend(index));
                self.afflict(fault, member, lasting);
            }
            Action::Cut(member, cut) => self.break_lines(self.place(member), cut),
            Action::MoveLeader(member) if member < members => {
                self.front.set_leader(self.now, Some(member));
            }
            Action::Compact(back) => {
                let revision = self.front.committed_revision() - i64::from(back);
                self.front.compact(self.now, revision);
            }
            Action::Backup => self.backup = Some(self.front.backup()),
            Action::Restore { other } => {
                if let Some(backup) = self.backup.take().filter(|_| !self.script.setup.proxied) {
                    self.restore(step.id, &backup, other);
                }
            }
            _ => {}
        }
        self.collect();
    }

    /// Where a member is reached.
    pub(super) fn place(&self, member: usize) -> usize {
        if self.script.setup.proxied { 0 } else { member }
    }

    fn restore(&mut self, id: u32, backup: &crate::model::Backup, other: bool) {
        for member in 0..self.script.setup.members {
            self.break_lines(member, Cut::Mixed);
        }
        self.learn();
        let cluster = mix(&[self.script.seed, 26, u64::from(id)]);
        self.front.restore(self.now, backup, other.then_some(cluster));
        self.learn();
        if !other {
            self.begin_again();
        }
    }

    fn write(&mut self, id: u32, request: Request) {
        let mut rng = Rng::of(&[self.script.seed, 27, u64::from(id)]);
        let members = self.script.setup.members;
        let first = rng.index(members);
        let up = (first..members).chain(0..first).find(|member| self.front.is_up(*member));
        let Some(member) = up else { return };
        match request {
            Request::Put(of, slot) => {
                let holder = slot.and_then(|slot| self.holders.get(usize::from(slot)));
                let lease = holder.map_or(0, |holder| holder.lease);
                let put = PutRequest { lease, ..put(of, id, &mut rng) };
                self.call_at_once(member, PutRequest::METHOD.path(), put.encode_to_vec().into());
            }
            Request::Delete(of) => {
                let range_end = if rng.chance(300) { key(KEYS - 1) } else { Bytes::new() };
                let delete = DeleteRangeRequest { key: key(of), range_end, ..Default::default() };
                self.call_at_once(member, DeleteRangeRequest::METHOD.path(), delete.encode_to_vec().into());
            }
            Request::CompareAndSet(of) => {
                let count = 2 + rng.index(usize::from(KEYS) - 1) as u8;
                let ops = (of..of + count).map(|of| {
                    let request = if rng.chance(250) {
                        Op::RequestDeleteRange(DeleteRangeRequest { key: key(of), ..Default::default() })
                    } else {
                        Op::RequestPut(put(of, id, &mut rng))
                    };
                    RequestOp { request: Some(request) }
                });
                let txn = TxnRequest { success: ops.collect(), ..Default::default() };
                self.call_at_once(member, TxnRequest::METHOD.path(), txn.encode_to_vec().into());
            }
            Request::Revoke(slot) => {
                let lease = self.holders.get(usize::from(slot)).map_or(0, |holder| holder.lease);
                let revoke = LeaseRevokeRequest { id: lease };
                self.call_at_once(member, LeaseRevokeRequest::METHOD.path(), revoke.encode_to_vec().into());
            }
            _ => {}
        }
    }

    /// Every key is written once more.
    pub(super) fn write_last(&mut self) {
        for of in 0..KEYS {
            self.write(u32::MAX - u32::from(of), Request::Put(of, None));
        }
    }

    fn afflict(&mut self, fault: Fault, member: usize, lasting: Duration) {
        self.faults.push((fault, self.place(member), self.now + lasting));
        let now = self.now;
        match fault {
            Fault::Kill => {
                if !self.script.setup.proxied {
                    self.break_lines(member, Cut::Mixed);
                }
                self.front.kill(now, member);
            }
            Fault::Isolate => self.front.isolate(now, member, true),
            Fault::Lag(by) => self.front.set_lag(now, member, by),
            Fault::NoLeader => self.front.set_leader(now, None),
            Fault::NotCapable => self.front.set_capable(member, false),
            _ => {}
        }
    }

    /// Mends what this step broke. Where faults of a kind overlap the first end ends them.
    pub(super) fn mend(&mut self, index: usize) {
        let Action::Fault(fault, member, _) = self.script.steps[index].action else { return };
        let now = self.now;
        self.trace.add(now - self.start, &("mended", fault, member));
        self.faults.retain(|(.., until)| *until > now);
        match fault {
            Fault::Kill => self.front.start(now, member),
            Fault::Isolate => self.front.isolate(now, member, false),
            Fault::Lag(_) => self.front.set_lag(now, member, Duration::ZERO),
            Fault::NoLeader => self.front.set_leader(now, Some(member)),
            Fault::NotCapable => self.front.set_capable(member, true),
            _ => {}
        }
        self.collect();
    }
}

fn put(of: u8, id: u32, rng: &mut Rng) -> PutRequest {
    PutRequest { key: key(of), value: value(id, rng), ..Default::default() }
}
