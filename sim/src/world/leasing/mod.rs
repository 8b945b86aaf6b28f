//! Leases of the core in the world: granted, kept, looked at and given up as an application does it, and judged.
//!
//! | rule | where |
//! |---|---|
//! | what is said of a lease is true | [`LeaseChecker`], at every drain |
//! | a lease is not lost while a member is there to renew it | `lost`, out of `good_since` |
//! | when all is well a lease is renewed as it should, and what nobody wants is revoked | `rest_leases` |

mod plan;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_core::{CallOptions, EndpointStatus, KeeperKey, LeaseId, LeaseLost, LeaseState, OnDrop};
use etcdium_proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use prost::Message;

use super::World;
use super::network::Happening;
use super::script::Fault;
use crate::check::{LeaseChecker, LeaseReport, LeaseRule};
use crate::framing::PREFIX;
use crate::model::CallId;

pub(super) use plan::generate;
pub use plan::{LeasePlan, LeaseSource};

/// Faults may leave a renewal unanswered for so long that one lease is lost which has no more than this to live.
const SHORT: Duration = Duration::from_secs(5);
/// What is revoked in the background is gone after this time, when all is well.
const REVOKED: Duration = Duration::from_secs(15);
/// How long a lease is watched when all is well, and its time to live.
const WATCHED: (Duration, u64) = (Duration::from_secs(24), 6);

const GRANT: &str = "LeaseGrant";
const KEEP_ALIVE: &str = "LeaseKeepAlive";

/// The leases of the client.
#[derive(Debug)]
pub(super) struct Leasing {
    checker: LeaseChecker,
    held: Vec<Held>,
    /// Every lease that was ever asked for, in order, and what is known of it.
    asked: Vec<i64>,
    known: BTreeMap<i64, Known>,
    /// When each grant was sent, by its call.
    grants: BTreeMap<usize, Instant>,
    /// How often the renewal of each lease was asked for.
    renewals: BTreeMap<i64, u32>,
    /// Since when each place is connected and nothing is wrong with it.
    good_since: Vec<Option<Instant>>,
    /// When something last went wrong somewhere.
    trouble: Instant,
}

/// A lease as the client has it.
#[derive(Debug)]
struct Held {
    key: KeeperKey,
    plan: LeasePlan,
    /// The lease, once it began.
    lease: Option<i64>,
    ttl: Duration,
    /// It is lost, or there is nothing more to see of it.
    ended: bool,
    /// It was given up.
    over: bool,
}

/// A lease as the server has it.
#[derive(Debug)]
struct Known {
    ttl: Duration,
    /// It was there at some time.
    seen: bool,
    /// Its renewals are refused.
    denied: bool,
    /// It was granted or renewed, and lives so long at least. What the leader counts is this, unless it lags: then it may
    /// count by a lease of this id that was revoked, or not at all yet.
    granted: Option<Instant>,
}

impl Leasing {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            checker: LeaseChecker::new(now),
            held: Vec::new(),
            asked: Vec::new(),
            known: BTreeMap::new(),
            grants: BTreeMap::new(),
            renewals: BTreeMap::new(),
            good_since: Vec::new(),
            trouble: now,
        }
    }

    fn slot(&self, slot: u8) -> i64 {
        let asked = self.asked.len();
        // The latest first; one that nobody knows if there is none.
        asked
            .checked_sub(1 + usize::from(slot))
            .map_or_else(|| 77 + i64::from(slot), |place| self.asked[place])
    }
}

impl World {
    /// Whether there was ever a lease of this sort.
    pub(super) fn is_leasing(&self) -> bool {
        !self.leasing.held.is_empty()
    }

    /// A step asks for a lease.
    pub(super) fn lease(&mut self, id: u32, plan: LeasePlan) {
        self.trace.add(self.since_start(), &("lease", id, plan));
        let index = self.hold(plan);
        if let Some((wait, _)) = plan.end {
            self.queue.push(self.now + wait, Happening::EndLease(index));
        }
    }

    fn hold(&mut self, plan: LeasePlan) -> usize {
        self.woken = None;
        let options = CallOptions::new().timeout(Some(plan.timeout));
        let lease = |slot| LeaseId::new(self.leasing.slot(slot));
        let now = self.now;
        let key = match plan.source {
            LeaseSource::Grant(ttl) => {
                let ttl = Duration::from_secs(u64::from(ttl));
                Some(self.core.lease(now, ttl, None, &options))
            }
            LeaseSource::Keep(slot) => {
                let lease = lease(slot);
                lease.map(|lease| self.core.keep_alive(now, lease, &options))
            }
            LeaseSource::Once(slot) => {
                let lease = lease(slot);
                lease.map(|lease| self.core.keep_alive_once(now, lease, &options))
            }
        };
        let index = self.leasing.held.len();
        if let Some(key) = key {
            let held = Held { key, plan, lease: None, ttl: Duration::ZERO, ended: false, over: false };
            self.leasing.held.push(held);
            self.touched();
        }
        index
    }

    /// The client gives a lease up.
    pub(super) fn end_lease(&mut self, index: usize) {
        let Some(held) = self.leasing.held.get_mut(index).filter(|held| !held.over) else { return };
        held.over = true;
        let revoke = held.plan.end.is_some_and(|(_, revoke)| revoke);
        let key = held.key;
        self.trace.add(self.now - self.start, &("release", key, revoke));
        self.woken = None;
        self.core.release(self.now, key, if revoke { OnDrop::Revoke } else { OnDrop::Expire });
        if self.core.keeper_state(key, self.now).is_some() {
            self.violate("a released lease is gone", format!("{key:?}"));
        }
        self.touched();
    }

    /// From now on renewals of one of the leases are refused.
    pub(super) fn deny_renewals(&mut self, slot: u8) {
        let lease = self.leasing.slot(slot);
        if let Some(known) = self.leasing.known.get_mut(&lease) {
            known.denied = true;
            self.cluster.deny_renewals(lease);
        }
    }

    /// Somebody else revokes one of the leases.
    pub(super) fn revoke_lease(&mut self, slot: u8) {
        let lease = self.leasing.slot(slot);
        self.cluster.revoke(self.now, lease);
    }

    /// The client asks something about leases.
    pub(super) fn lease_asked(&mut self, call: usize, method: &str, message: &Bytes) {
        let message = message.slice(PREFIX..);
        if method == GRANT {
            let Ok(request) = LeaseGrantRequest::decode(message) else { return };
            // What is below etcd's minimum is raised to it.
            let ttl = Duration::from_secs(request.ttl.unsigned_abs().max(2));
            self.leasing.grants.insert(call, self.now);
            // A grant may be repeated.
            if let Entry::Vacant(unknown) = self.leasing.known.entry(request.id) {
                unknown.insert(Known { ttl, seen: false, denied: false, granted: None });
                self.leasing.asked.push(request.id);
            }
        } else if method == KEEP_ALIVE {
            self.renewal_asked(&message);
        }
    }

    /// A renewal is asked for.
    pub(super) fn renewal_asked(&mut self, message: &[u8]) {
        if let Ok(request) = LeaseKeepAliveRequest::decode(message) {
            *self.leasing.renewals.entry(request.id).or_default() += 1;
        }
    }

    /// A member says something on a call.
    pub(super) fn hear_of_leases(&mut self, call: CallId, said: &Bytes) {
        let Some(stream) = self.streams.get(call.0 as usize).filter(|_| self.is_leasing()) else { return };
        let (path, there) = (stream.path, stream.message.clone());
        self.lease_said(call.0 as usize, path, &there, said);
    }

    /// A member says something about leases: what it promises counts, though the lease may be gone since the last look.
    fn lease_said(&mut self, call: usize, path: &str, there: &Bytes, said: &Bytes) {
        if path.ends_with(GRANT) {
            let sent = self.leasing.grants.get(&call).copied();
            if let (Ok(request), Some(sent)) = (LeaseGrantRequest::decode(there.clone()), sent) {
                self.learn_leases();
                if let Some(known) = self.leasing.known.get_mut(&request.id) {
                    // It was granted after this request was sent, whoever counts since when. A member that lags may say so
                    // when the lease was renewed and revoked already.
                    let until = sent + known.ttl;
                    known.seen = true;
                    known.granted = known.granted.max(Some(until));
                    self.leasing.checker.promised(request.id, until);
                }
            }
        } else if path.ends_with(KEEP_ALIVE) {
            if let Ok(answer) = LeaseKeepAliveResponse::decode(said.clone()) {
                self.promised(answer.id, answer.ttl);
            }
        }
    }

    /// A renewal is answered. Most leases are counted; one may be gone since.
    fn promised(&mut self, lease: i64, ttl: i64) {
        let counted = self.cluster.lease_expiry(lease).is_some();
        let Some(known) = self.leasing.known.get_mut(&lease).filter(|_| !counted && ttl > 0) else { return };
        let until = self.now + Duration::from_secs(ttl.unsigned_abs());
        known.seen = true;
        known.granted = known.granted.max(Some(until));
        self.leasing.checker.promised(lease, until);
    }

    /// The checker learns what the server has.
    pub(super) fn learn_leases(&mut self) {
        let current = self.cluster.leases_are_current();
        for (lease, known) in &mut self.leasing.known {
            let (expiry, exists) = (self.cluster.lease_expiry(*lease), self.cluster.has_lease(*lease));
            if expiry.is_some() {
                known.granted = if current { expiry } else { known.granted.max(expiry) };
                self.leasing.checker.observe(*lease, known.granted);
            } else if exists && !known.seen {
                // The leader has yet to apply the grant, and counts from then.
                self.leasing.checker.observe(*lease, Some(self.now + known.ttl));
            }
            if !exists {
                known.granted = None;
                self.leasing.checker.observe(*lease, None);
            }
            known.seen |= exists;
        }
    }

    /// Something goes wrong, or did until now; `None` is everywhere.
    pub(super) fn trouble_at(&mut self, place: Option<usize>) {
        match place {
            None => self.trouble_until(self.now),
            Some(place) => {
                if let Some(good) = self.leasing.good_since.get_mut(place) {
                    *good = None;
                }
            }
        }
    }

    /// Something is wrong everywhere until then.
    pub(super) fn trouble_until(&mut self, until: Instant) {
        self.leasing.trouble = self.leasing.trouble.max(until);
    }

    /// Which places are well.
    fn look_at_places(&mut self) {
        let whole = self.faults.iter().any(|(fault, ..)| is_of_cluster(*fault)) || self.asleep.is_some();
        if whole {
            self.trouble_until(self.now);
        }
        let ready: Vec<bool> = self
            .places
            .iter()
            .map(|place| {
                let status = self.core.endpoints().find(|(_, address, _)| **address == place.address);
                matches!(status, Some((_, _, Some(EndpointStatus::Ready))))
            })
            .collect();
        self.leasing.good_since.resize(ready.len(), None);
        for (place, ready) in ready.into_iter().enumerate() {
            let faulty = self.faults.iter().any(|(_, at, _)| *at == place);
            let good = &mut self.leasing.good_since[place];
            if !ready || faulty {
                *good = None;
            } else if good.is_none() {
                *good = Some(self.now);
            }
        }
    }

    /// Looks at all leases, as often as the driver does anything.
    pub(super) fn look_at_leases(&mut self) {
        self.learn_leases();
        self.look_at_places();
        for index in 0..self.leasing.held.len() {
            self.look_at_lease(index);
        }
    }

    fn look_at_lease(&mut self, index: usize) {
        let (now, held) = (self.now, &mut self.leasing.held[index]);
        if held.over || (held.ended && held.lease.is_none()) {
            return;
        }
        if held.lease.is_none() {
            match self.core.started(held.key) {
                None => return,
                Some(Err(error)) => {
                    self.trace.add(now - self.start, &("no lease", held.key, error.kind()));
                    held.ended = true;
                    self.queue.push(now, Happening::EndLease(index));
                    return;
                }
                Some(Ok(kept)) => {
                    self.trace.add(now - self.start, &("leased", held.key, kept.id, kept.ttl));
                    if matches!(held.plan.source, LeaseSource::Once(_)) {
                        held.ended = true;
                        self.queue.push(now, Happening::EndLease(index));
                        return;
                    }
                    (held.lease, held.ttl) = (Some(kept.id.get()), kept.ttl);
                }
            }
        }
        let held = &mut self.leasing.held[index];
        let Some(lease) = held.lease else { return };
        let state = self.core.keeper_state(held.key, now);
        let report = match &state {
            Some(LeaseState::Alive { until } | LeaseState::AtRisk { until, .. }) => {
                LeaseReport::Alive { until: *until }
            }
            Some(LeaseState::Lost { reason: LeaseLost::Closed }) => return,
            Some(LeaseState::Lost { .. }) if held.ended => return,
            Some(LeaseState::Lost { reason }) => {
                LeaseReport::Lost { not_found: *reason == LeaseLost::NotFound }
            }
            _ => {
                let how = format!("{:?} has no state", held.key);
                return self.violate("a lease that began has a state", how);
            }
        };
        let key = held.key;
        if held.ended {
            return self.violate("a lost lease stays lost", format!("{key:?}: {state:?}"));
        }
        // A leader of 3.4 that is behind calls a lease unknown that was just granted. What is granted elsewhere is not followed.
        // Whoever holds it anew may find alive what was lost to another.
        let unsure =
            |rule| rule == LeaseRule::Revived || (rule == LeaseRule::Found && self.script.setup.minor < 5);
        if self.leasing.known.contains_key(&lease) {
            let faults = self.leasing.checker.report(now, lease, report);
            if let Some(fault) = faults.into_iter().find(|fault| !unsure(fault.rule)) {
                self.violate(lease_rule(fault.rule), fault.to_string());
            }
        }
        if matches!(report, LeaseReport::Lost { .. }) {
            self.leasing.held[index].ended = true;
            self.trace.add(now - self.start, &("lost", key, report));
            self.lost(index, lease, report);
        }
    }

    /// A lease that expired had nobody to renew it: for all of its time there was trouble everywhere, or with more than one
    /// member.
    fn lost(&mut self, index: usize, lease: i64, report: LeaseReport) {
        let held = &self.leasing.held[index];
        let denied = self.leasing.known.get(&lease).is_none_or(|known| known.denied);
        if report != (LeaseReport::Lost { not_found: false }) || denied || held.ttl <= SHORT {
            return;
        }
        let Some(from) = self.now.checked_sub(held.ttl) else { return };
        let members = self.script.setup.members - self.script.setup.learners;
        let good = |since: &Option<Instant>| since.is_some_and(|since| since <= from);
        let places = &self.leasing.good_since;
        let ready = places.iter().take(members).filter(|since| good(since)).count();
        let others = places.iter().filter(|since| !good(since) && since.is_some()).count();
        let faulty =
            (0..places.len()).filter(|place| self.faults.iter().any(|(_, at, _)| at == place)).count();
        if ready > 0 && others + faulty <= 1 && self.leasing.trouble <= from {
            let how = format!("lease {lease:x} of {:?}: {places:?} since {from:?}", held.ttl);
            self.violate("a lease is not lost while a member is there to renew it", how);
        }
    }

    /// All is well: leases are renewed as they should be, and nobody's leases are revoked.
    pub(super) fn rest_leases(&mut self) {
        if !self.is_leasing() || self.violation.is_some() {
            return;
        }
        self.cluster.allow_renewals();
        for index in 0..self.leasing.held.len() {
            self.end_lease(index);
        }
        let timeout = Duration::from_secs(30);
        let grant = |ttl| LeasePlan { source: LeaseSource::Grant(ttl), timeout, end: Some((timeout, true)) };
        // One that is given up before its answer.
        let first = self.leasing.asked.len();
        let unwanted = self.hold(grant(3_600));
        self.end_lease(unwanted);
        let kept = self.hold(grant(WATCHED.1 as u16));
        let start = self.now;
        self.advance(start + REVOKED, |_| true);
        for place in first..self.leasing.asked.len() {
            let lease = self.leasing.asked[place];
            let wanted = self.leasing.held.get(kept).and_then(|held| held.lease) == Some(lease);
            if !wanted && self.cluster.has_lease(lease) {
                self.violate("what nobody wants is revoked", format!("lease {lease:x}"));
            }
        }
        let Some(lease) = self.leasing.held[kept].lease else {
            return self
                .violate("a lease is granted when all is well", format!("{:?}", self.leasing.held[kept]));
        };
        let before = self.leasing.renewals.get(&lease).copied().unwrap_or(0);
        let looked = self.now;
        self.advance(looked + WATCHED.0, |_| true);
        if self.violation.is_some() {
            return;
        }
        let state = self.core.keeper_state(self.leasing.held[kept].key, self.now);
        if !matches!(state, Some(LeaseState::Alive { .. })) {
            return self.violate("a lease lives when all is well", format!("lease {lease:x}: {state:?}"));
        }
        let renewals = self.leasing.renewals.get(&lease).copied().unwrap_or(0) - before;
        // A third of the time to live, and answers that take up to some hundred milliseconds.
        if !(9..=15).contains(&renewals) {
            let how = format!("{renewals} renewals in {:?} of a lease of {} s", WATCHED.0, WATCHED.1);
            self.violate("a lease is renewed at a third of its time", how);
        }
    }
}

/// What a fault takes from all clients, wherever they are connected.
pub(super) fn is_of_cluster(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Kill | Fault::Isolate | Fault::Lag(_) | Fault::NoLeader | Fault::NotCapable | Fault::Slow(_)
    )
}

fn lease_rule(rule: LeaseRule) -> &'static str {
    match rule {
        LeaseRule::Expired => "a lease is not alive after its expiry",
        LeaseRule::Promise => "a lease is not promised for longer than it lives",
        LeaseRule::Revived => "a lost lease stays lost",
        LeaseRule::Found => "a lease that exists is not unknown",
    }
}
