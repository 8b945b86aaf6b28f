//! Operations by chance: few keys, so that everything meets everything, and a little of everything that is wrong.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::compare::TargetUnion;
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::healthpb::HealthCheckRequest;
use etcdium_sim::rng::Rng;

use super::operation::{Call, Operation, STREAMS, WATCHES};

const KEYS: &[&str] = &["a", "a", "ab", "abc", "b", "b", "b1", "c", "d", "\u{7f}"];
const ENDS: &[&str] = &["b", "b", "abd", "c", "e", "a", "\u{7f}\u{7f}"];
const VALUES: &[&str] = &["", "1", "2", "2", "x", "long enough to be seen"];
/// Granted for hours, so that none runs out while a script runs.
const LEASES: &[i64] = &[1, 2, 3, 4, -5];
/// Never granted.
const UNKNOWN_LEASE: i64 = 77;
/// Used by [`Operation::Expire`] alone.
const BRIEF_LEASE: i64 = 9;
const LONG: &[i64] = &[10_000, 20_000, 9_000_000_000];
/// An expiry takes seconds, so it comes only once in so many operations: some thirty times in the scripts of CI.
const EXPIRES: u64 = 2000;
/// Large enough that a few of them exceed what one watch response may hold.
const LARGE: usize = 600 << 10;

/// The leases that a script may leave behind.
pub(super) fn leases() -> impl Iterator<Item = i64> {
    LEASES.iter().copied().chain([BRIEF_LEASE])
}

/// What is known of the server when an operation is made. Operations name revisions relative to it, so that a script
/// means the same on servers with different pasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) revision: i64,
    pub(super) compacted: i64,
    /// Whether the server refuses unknown targets of sorting; else it crashes.
    pub(super) checks_sorting: bool,
}

/// The operation at this place of the script.
pub(super) fn operation(seed: u64, index: usize, known: Known) -> Operation {
    let mut generator = Generator { rng: Rng::of(&[seed, index as u64]), known };
    // Waiting for the past to be delivered takes the server up to 100 ms, so only some scripts ask for it.
    let patient = seed % 2 == 0;
    generator.operation(patient)
}

struct Generator {
    rng: Rng,
    known: Known,
}

impl Generator {
    /// True once in so many times.
    fn one_in(&mut self, times: u64) -> bool {
        self.rng.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *self.rng.pick(choices)
    }

    fn operation(&mut self, patient: bool) -> Operation {
        if self.one_in(EXPIRES) {
            return Operation::Expire { lease: BRIEF_LEASE, key: self.pick(KEYS) };
        }
        match self.rng.below(100) {
            0..22 => Operation::Call(Call::Range(self.range())),
            22..45 => Operation::Call(Call::Put(self.put())),
            45..54 => Operation::Call(Call::Delete(self.delete())),
            54..71 => {
                let mut txn = self.txn(0);
                if puts(&txn) {
                    close_ranges(&mut txn);
                }
                Operation::Call(Call::Txn(txn))
            }
            71..73 => Operation::Call(Call::Compact(CompactionRequest {
                revision: self.compact_revision(),
                physical: self.one_in(4),
            })),
            73..78 => self.grant(),
            78..81 => Operation::Call(Call::Revoke(LeaseRevokeRequest { id: self.lease() })),
            81..84 => {
                let request = LeaseTimeToLiveRequest { id: self.lease(), keys: self.one_in(2) };
                Operation::Call(Call::TimeToLive(request))
            }
            84 => Operation::Call(self.question()),
            85..88 => {
                let stream = WATCHES + self.rng.below((STREAMS - WATCHES) as u64) as usize;
                Operation::KeepAlive { stream, lease: self.lease() }
            }
            88..98 => {
                let stream = self.rng.below(WATCHES as u64) as usize;
                let request = WatchRequest { request_union: self.watch(patient) };
                Operation::Watch { stream, request }
            }
            98 if self.one_in(2) => {
                let stream = self.rng.below(STREAMS as u64) as usize;
                Operation::End { stream, politely: self.one_in(2) }
            }
            _ => Operation::Settle,
        }
    }

    /// A call about the server rather than about keys, or one that is less common.
    fn question(&mut self) -> Call {
        match self.rng.below(9) {
            0..3 => Call::Leases(LeaseLeasesRequest {}),
            3 => Call::Status(StatusRequest {}),
            4 => Call::Members(MemberListRequest { linearizable: self.one_in(2) }),
            5 => Call::Alarm(AlarmRequest {
                action: alarm_request::AlarmAction::Get as i32,
                member_id: 0,
                alarm: self.pick(&[0, 1, 2]),
            }),
            6 => Call::Health(HealthCheckRequest { service: self.pick(&["", "", "x"]).into() }),
            _ => Call::RangeStream(self.range()),
        }
    }

    fn key(&mut self) -> Bytes {
        let key = if self.one_in(80) { "" } else { self.pick(KEYS) };
        Bytes::from_static(key.as_bytes())
    }

    /// A key and the end of its range.
    fn keys(&mut self) -> (Bytes, Bytes) {
        let zero = Bytes::from_static(&[0]);
        match self.rng.below(10) {
            0..5 => (self.key(), Bytes::new()),
            5..8 => (self.key(), Bytes::from_static(self.pick(ENDS).as_bytes())),
            8 => (self.key(), zero),
            _ => (zero.clone(), zero),
        }
    }

    fn value(&mut self) -> Bytes {
        if self.one_in(1500) {
            return vec![b'v'; LARGE].into();
        }
        Bytes::from_static(self.pick(VALUES).as_bytes())
    }

    fn lease(&mut self) -> i64 {
        match self.rng.below(12) {
            0 => UNKNOWN_LEASE,
            1 if self.one_in(3) => 0,
            _ => self.pick(LEASES),
        }
    }

    /// A revision to read or to watch from: now, past, future, about the last compaction, nonsense.
    fn revision(&mut self) -> i64 {
        let Known { revision, compacted, .. } = self.known;
        match self.rng.below(20) {
            0..8 => 0,
            8..15 => revision - self.rng.below(8) as i64,
            15..17 => revision + 1 + self.rng.below(2) as i64,
            17..19 => compacted + self.rng.below(3) as i64 - 1,
            _ => self.pick(&[-1, 1, i64::MAX, i64::MIN]),
        }
    }

    fn compact_revision(&mut self) -> i64 {
        let Known { revision, compacted, .. } = self.known;
        match self.rng.below(10) {
            0..5 => revision - self.rng.below(10) as i64,
            5 => revision + 1 + self.rng.below(3) as i64,
            6..8 => compacted + self.rng.below(3) as i64 - 1,
            8 => revision,
            _ => self.pick(&[0, -1, 1]),
        }
    }

    /// A bound of a filter: mostly none.
    fn bound(&mut self) -> i64 {
        if self.one_in(6) { self.known.revision - self.rng.below(12) as i64 } else { 0 }
    }

    fn range(&mut self) -> RangeRequest {
        let (key, range_end) = self.keys();
        let mut request = RangeRequest { key, range_end, revision: self.revision(), ..Default::default() };
        request.limit = self.pick(&[0, 0, 0, 0, 1, 2, 3, 1000, -1]);
        if self.one_in(2) {
            request.sort_order = self.pick(&[0, 1, 2]);
            request.sort_target = self.pick(&[0, 1, 2, 3, 4]);
        }
        if self.one_in(60) {
            request.sort_order = self.pick(&[3, -1]);
        }
        if self.known.checks_sorting && self.one_in(60) {
            request.sort_target = self.pick(&[5, -1]);
        }
        request.serializable = self.one_in(4);
        request.keys_only = self.one_in(8);
        request.count_only = self.one_in(8);
        request.min_mod_revision = self.bound();
        request.max_mod_revision = self.bound();
        request.min_create_revision = self.bound();
        request.max_create_revision = self.bound();
        request
    }

    fn put(&mut self) -> PutRequest {
        let mut request = PutRequest { key: self.key(), value: self.value(), ..Default::default() };
        if self.one_in(4) {
            request.lease = self.lease();
        }
        request.prev_kv = self.one_in(3);
        if self.one_in(10) {
            request.ignore_value = true;
            if !self.one_in(4) {
                request.value = Bytes::new();
            }
        }
        if self.one_in(10) {
            request.ignore_lease = true;
            if !self.one_in(4) {
                request.lease = 0;
            }
        }
        request
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let (key, range_end) = self.keys();
        DeleteRangeRequest { key, range_end, prev_kv: self.one_in(2) }
    }

    fn txn(&mut self, depth: u64) -> TxnRequest {
        let compares = self.rng.below(3);
        let compare = (0..compares).map(|_| self.compare()).collect();
        // Beyond the server's limit now and then.
        let many = depth == 0 && self.one_in(300);
        let branch = |generator: &mut Self| {
            let count = if many { 129 } else { generator.rng.below(4) };
            (0..count).map(|_| generator.request_op(depth)).collect()
        };
        let success = branch(self);
        let failure = branch(self);
        TxnRequest { compare, success, failure }
    }

    fn request_op(&mut self, depth: u64) -> RequestOp {
        if self.one_in(150) {
            return RequestOp { request: None };
        }
        let request = match self.rng.below(10) {
            0..3 => Request::RequestRange(self.range()),
            3..7 => Request::RequestPut(self.put()),
            7..9 => Request::RequestDeleteRange(self.delete()),
            _ if depth < 2 => Request::RequestTxn(self.txn(depth + 1)),
            _ => Request::RequestRange(self.range()),
        };
        RequestOp { request: Some(request) }
    }

    fn compare(&mut self) -> Compare {
        let (key, range_end) = self.keys();
        let kind = self.rng.below(5);
        let revision = match self.rng.below(3) {
            0 => 0,
            _ => self.known.revision - self.rng.below(8) as i64,
        };
        // The union may belong to another target.
        let told = if self.one_in(40) { self.rng.below(6) } else { kind };
        let target_union = match told {
            0 => Some(TargetUnion::Version(self.rng.below(4) as i64)),
            1 => Some(TargetUnion::CreateRevision(revision)),
            2 => Some(TargetUnion::ModRevision(revision)),
            3 => Some(TargetUnion::Value(self.pick(VALUES).into())),
            4 => Some(TargetUnion::Lease(self.lease())),
            _ => None,
        };
        let mut compare =
            Compare { result: self.rng.below(4) as i32, target: kind as i32, key, range_end, target_union };
        if self.one_in(80) {
            compare.result = self.pick(&[4, -1]);
        }
        if self.one_in(80) {
            compare.target = self.pick(&[5, -1]);
        }
        compare
    }

    fn grant(&mut self) -> Operation {
        match self.rng.below(10) {
            // The shortest times, and one that is too long.
            0 => {
                let ttl = self.pick(&[0, -1, 1, 2, 9_000_000_001, i64::MAX]);
                Operation::Brief(LeaseGrantRequest { ttl, id: self.pick(LEASES) })
            }
            1 => Operation::Brief(LeaseGrantRequest { ttl: self.pick(LONG), id: 0 }),
            _ => {
                let request = LeaseGrantRequest { ttl: self.pick(LONG), id: self.pick(LEASES) };
                Operation::Call(Call::Grant(request))
            }
        }
    }

    fn watch(&mut self, patient: bool) -> Option<RequestUnion> {
        Some(match self.rng.below(20) {
            0..12 => {
                let (key, range_end) = self.keys();
                let Known { revision, .. } = self.known;
                let start_revision = match self.rng.below(10) {
                    0..3 if patient => self.revision(),
                    3 => revision + self.rng.below(4) as i64 + 1,
                    4 => revision + 1,
                    _ => 0,
                };
                let filters: &[i32] = self.pick(&[&[], &[], &[], &[0], &[1], &[0, 1], &[1, 1], &[7]]);
                RequestUnion::CreateRequest(WatchCreateRequest {
                    key,
                    range_end,
                    start_revision,
                    progress_notify: self.one_in(4),
                    filters: filters.to_vec(),
                    prev_kv: self.one_in(3),
                    watch_id: self.pick(&[0, 0, 0, 0, 0, 1, 2, 3, 7, -1]),
                    fragment: self.one_in(3),
                })
            }
            12..17 => RequestUnion::CancelRequest(WatchCancelRequest {
                watch_id: self.pick(&[0, 0, 1, 1, 2, 3, 7, 9, -1]),
            }),
            17..19 => RequestUnion::ProgressRequest(WatchProgressRequest {}),
            _ => return None,
        })
    }
}

/// Whether anything in it may put.
fn puts(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(inner)) => puts(inner),
        _ => false,
    })
}

/// Gives every deletion of all keys from one on an end behind all keys there are; see "What etcd does not survive".
fn close_ranges(txn: &mut TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Request::RequestDeleteRange(delete)) if delete.range_end == [0][..] => {
                delete.range_end = Bytes::from_static(b"\x7f\x7f");
            }
            Some(Request::RequestTxn(inner)) => close_ranges(inner),
            _ => {}
        }
    }
}
