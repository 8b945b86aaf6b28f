//! Requests made concrete, with what the client knows when they start.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcdium_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, StatusRequest, TxnRequest, request_op,
    response_op,
};
use etcdium_proto::mvccpb::KeyValue;

use super::generate::{KEYS, LEASES};
use super::records::{Answer, Asked};
use super::script::{Reading, Request};
use crate::check::mark;

/// Grants choose ids from here on, so that a repeated grant would name the same lease.
const FIRST_LEASE: i64 = 1_000;

/// What the client learnt from answers.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The latest revision of any answer.
    revision: i64,
    /// The revision at which each key was last seen changed.
    changed: [i64; KEYS as usize],
    /// The lease in each slot, 0 for none.
    leases: [i64; LEASES as usize],
}

pub(crate) fn key(number: u8) -> Bytes {
    const NAMES: [&[u8]; KEYS as usize] = [b"k0", b"k1", b"k2", b"k3", b"k4"];
    Bytes::from_static(NAMES[usize::from(number % KEYS)])
}

fn number(key: &[u8]) -> Option<usize> {
    let digit = key.strip_prefix(b"k")?.first()?.checked_sub(b'0')?;
    (digit < KEYS).then_some(usize::from(digit))
}

impl Known {
    /// The request of the operation `id`.
    pub(crate) fn fill(&self, id: u32, request: Request) -> Asked {
        let lease = |slot: u8| self.leases[usize::from(slot % LEASES)];
        let past = |back: u8| (self.revision - i64::from(back)).max(1);
        match request {
            Request::Put(k, slot) => Asked::Put(PutRequest {
                key: key(k),
                value: mark(id),
                lease: slot.map_or(0, lease),
                ..Default::default()
            }),
            Request::Get(k, reading) => {
                Asked::Range(self.read(RangeRequest { key: key(k), ..Default::default() }, reading))
            }
            Request::List(reading) => {
                let (key, range_end) = (Bytes::from_static(b"k"), Bytes::from_static(b"l"));
                Asked::Range(self.read(RangeRequest { key, range_end, ..Default::default() }, reading))
            }
            Request::Delete(k) => Asked::Delete(DeleteRangeRequest { key: key(k), ..Default::default() }),
            Request::CompareAndSet(k) => {
                let seen = self.changed[usize::from(k % KEYS)];
                Asked::Txn(TxnRequest {
                    compare: vec![Compare {
                        result: CompareResult::Equal as i32,
                        target: CompareTarget::Mod as i32,
                        key: key(k),
                        target_union: Some(TargetUnion::ModRevision(seen)),
                        ..Default::default()
                    }],
                    success: vec![put(k, mark(id))],
                    failure: vec![range(k)],
                })
            }
            Request::Many { first, count, deletions } => {
                let op = |n: u8| {
                    let of = first + n;
                    if deletions >> n & 1 == 1 { delete(of) } else { put(of, mark(id)) }
                };
                let success = (0..count.min(KEYS)).map(op).collect();
                Asked::Txn(TxnRequest { success, ..Default::default() })
            }
            Request::ReadTxn(a, b) => {
                Asked::Txn(TxnRequest { success: vec![range(a), range(b)], ..Default::default() })
            }
            Request::Grant(_, ttl) => {
                let id = FIRST_LEASE + i64::from(id);
                Asked::Grant(LeaseGrantRequest { ttl: i64::from(ttl), id })
            }
            Request::Revoke(slot) => Asked::Revoke(LeaseRevokeRequest { id: lease(slot) }),
            Request::TimeToLive(slot) => {
                Asked::TimeToLive(LeaseTimeToLiveRequest { id: lease(slot), keys: slot % 2 == 0 })
            }
            Request::Compact(back) => {
                Asked::Compact(CompactionRequest { revision: past(back), physical: false })
            }
            Request::Status => Asked::Status(StatusRequest::default()),
            Request::Connect => Asked::Connect,
        }
    }

    fn read(&self, mut request: RangeRequest, reading: Reading) -> RangeRequest {
        match reading {
            Reading::Linearizable => {}
            Reading::Serializable => request.serializable = true,
            Reading::Past(back) => request.revision = (self.revision - i64::from(back)).max(1),
        }
        request
    }

    /// Learns from an answer to `asked`, which was made from `request`.
    pub(crate) fn learn(&mut self, request: Option<Request>, asked: &Asked, answer: &Answer) {
        let revision = answer.revision();
        self.revision = self.revision.max(revision);
        match (asked, answer) {
            (Asked::Put(put), Answer::Put(_)) => self.changed(&put.key, revision),
            (Asked::Range(range), Answer::Range(answer)) => self.saw(&range.key, &answer.kvs),
            (Asked::Delete(delete), Answer::Delete(_)) => self.changed(&delete.key, 0),
            (Asked::Txn(txn), Answer::Txn(answer)) if answer.succeeded => {
                for op in &txn.success {
                    match &op.request {
                        Some(request_op::Request::RequestPut(put)) => self.changed(&put.key, revision),
                        Some(request_op::Request::RequestDeleteRange(delete)) => self.changed(&delete.key, 0),
                        _ => {}
                    }
                }
            }
            (Asked::Txn(txn), Answer::Txn(answer)) => {
                for (op, answer) in txn.failure.iter().zip(&answer.responses) {
                    if let (
                        Some(request_op::Request::RequestRange(range)),
                        Some(response_op::Response::ResponseRange(answer)),
                    ) = (&op.request, &answer.response)
                    {
                        self.saw(&range.key, &answer.kvs);
                    }
                }
            }
            (Asked::Grant(_), Answer::Grant(answer)) => {
                if let Some(Request::Grant(slot, _)) = request {
                    self.leases[usize::from(slot % LEASES)] = answer.id;
                }
            }
            _ => {}
        }
    }

    fn saw(&mut self, key: &[u8], kvs: &[KeyValue]) {
        self.changed(key, 0);
        for kv in kvs {
            self.changed(&kv.key, kv.mod_revision);
        }
    }

    fn changed(&mut self, key: &[u8], revision: i64) {
        if let Some(number) = number(key) {
            self.changed[number] = revision;
        }
    }
}

fn put(k: u8, value: Bytes) -> RequestOp {
    let put = PutRequest { key: key(k), value, ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestPut(put)) }
}

fn delete(k: u8) -> RequestOp {
    let delete = DeleteRangeRequest { key: key(k), ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }
}

fn range(k: u8) -> RequestOp {
    let range = RangeRequest { key: key(k), ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestRange(range)) }
}
