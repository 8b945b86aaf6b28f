//! What a lease's holder may believe: never that it lives past its expiry on the server.
//!
//! The server's truth is told with [`LeaseChecker::observe`] and [`LeaseChecker::promised`], what the client says with
//! [`LeaseChecker::report`]; both as often as the simulation likes, at the least whenever one of them changes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

/// What a client says of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReport {
    /// It lives, and will until then at least; also when its renewal is in trouble.
    Alive {
        /// Until when it lives without another renewal.
        until: Instant,
    },
    /// It is over.
    Lost {
        /// Whether the client says that the server does not know it, rather than that its time has run out.
        not_found: bool,
    },
}

/// A guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseRule {
    /// Never reported alive at or after its expiry on the server.
    Expired,
    /// Never promised for longer than the server has promised.
    Promise,
    /// Lost once, lost for ever.
    Revived,
    /// Never said to be unknown to a server that has had it without interruption.
    Found,
}

/// A guarantee that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseViolation {
    /// The lease.
    pub lease: i64,
    /// Which guarantee.
    pub rule: LeaseRule,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for LeaseViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {:x}, {:?}: {}", self.lease, self.rule, self.detail)
    }
}

/// All leases of one cluster and what one client says of them.
#[derive(Clone, Debug)]
pub struct LeaseChecker {
    epoch: Instant,
    leases: BTreeMap<i64, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The latest expiry that the server had for it. Kept when the lease goes: a client cannot know at once that someone
    /// else has revoked it, but must not believe in it for longer than it would have lived.
    expiry: Option<Instant>,
    /// Whether it was gone at some time after it was there.
    gone: bool,
    /// Whether the client has said that it is lost.
    lost: bool,
}

impl LeaseChecker {
    /// No lease yet. Times are told relative to `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, leases: BTreeMap::new() }
    }

    /// The server has this expiry for the lease now, or none if the lease is not in its log (`Cluster::has_lease`). While
    /// there is no leader a lease has no expiry either, and yet is not gone: then there is nothing to observe.
    pub fn observe(&mut self, lease: i64, expiry: Option<Instant>) {
        match expiry {
            Some(_) => self.leases.entry(lease).or_default().expiry = expiry,
            None => {
                if let Some(known) = self.leases.get_mut(&lease) {
                    known.gone = true;
                }
            }
        }
    }

    /// The server has said that the lease lives until then. An answer may come late: it takes nothing back of what was said
    /// in the meantime, also when the lease is gone.
    pub fn promised(&mut self, lease: i64, until: Instant) {
        let known = self.leases.entry(lease).or_default();
        known.expiry = known.expiry.max(Some(until));
    }

    /// The client says this of the lease at this time. A lease that no server ever had is not alive.
    pub fn report(&mut self, now: Instant, lease: i64, report: LeaseReport) -> Vec<LeaseViolation> {
        let epoch = self.epoch;
        let time = |at: Instant| at.saturating_duration_since(epoch);
        let known = self.leases.entry(lease).or_default();
        let mut faults = Vec::new();
        let mut add = |rule, detail| faults.push(LeaseViolation { lease, rule, detail });
        match report {
            LeaseReport::Alive { until } => {
                if known.lost {
                    add(LeaseRule::Revived, format!("alive at {:?} after it was lost", time(now)));
                }
                match known.expiry {
                    None => add(LeaseRule::Expired, format!("alive at {:?}, but never granted", time(now))),
                    Some(expiry) if now >= expiry => {
                        let detail = format!("alive at {:?}, expired at {:?}", time(now), time(expiry));
                        add(LeaseRule::Expired, detail);
                    }
                    Some(expiry) if until > expiry => {
                        let detail = format!("alive until {:?}, expires at {:?}", time(until), time(expiry));
                        add(LeaseRule::Promise, detail);
                    }
                    Some(_) => {}
                }
            }
            LeaseReport::Lost { not_found } => {
                if not_found && known.expiry.is_some() && !known.gone {
                    add(LeaseRule::Found, format!("unknown to the server at {:?}, which has it", time(now)));
                }
                known.lost = true;
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LEASE: i64 = 7;

    /// Seconds since the epoch.
    struct World {
        epoch: Instant,
        checker: LeaseChecker,
    }

    impl World {
        fn new() -> Self {
            let epoch = Instant::now();
            Self { epoch, checker: LeaseChecker::new(epoch) }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.epoch + Duration::from_secs(seconds)
        }

        fn server(&mut self, expiry: Option<u64>) {
            let expiry = expiry.map(|seconds| self.at(seconds));
            self.checker.observe(LEASE, expiry);
        }

        fn alive(&mut self, now: u64, until: u64) -> Vec<LeaseRule> {
            self.say(now, LeaseReport::Alive { until: self.at(until) })
        }

        fn say(&mut self, now: u64, report: LeaseReport) -> Vec<LeaseRule> {
            let faults = self.checker.report(self.at(now), LEASE, report);
            faults.iter().map(|fault| fault.rule).collect()
        }
    }

    #[test]
    fn a_lease_lives_until_its_expiry_and_no_longer() {
        let mut world = World::new();
        world.server(Some(10));
        assert_eq!(world.alive(0, 10), []);
        assert_eq!(world.alive(9, 10), []);
        assert_eq!(world.alive(10, 10), [LeaseRule::Expired]);
        world.server(Some(20));
        assert_eq!(world.alive(11, 19), []);
        assert_eq!(world.alive(12, 21), [LeaseRule::Promise]);
    }

    #[test]
    fn a_lease_that_went_early_may_be_believed_in_until_its_expiry() {
        let mut world = World::new();
        world.server(Some(10));
        world.server(None);
        assert_eq!(world.alive(9, 10), []);
        assert_eq!(world.alive(11, 12), [LeaseRule::Expired]);
    }

    #[test]
    fn an_answer_that_comes_late_takes_back_nothing() {
        let mut world = World::new();
        // Granted at 0, renewed at 3, revoked; then a member that lagged says that it was granted.
        world.server(Some(10));
        world.server(Some(13));
        world.server(None);
        world.checker.promised(LEASE, world.at(10));
        assert_eq!(world.alive(5, 13), []);
        assert_eq!(world.alive(5, 14), [LeaseRule::Promise]);
        assert_eq!(world.alive(13, 14), [LeaseRule::Expired]);
    }

    #[test]
    fn what_a_late_answer_promises_counts() {
        let mut world = World::new();
        world.checker.promised(LEASE, world.at(10));
        assert_eq!(world.alive(5, 10), []);
        assert_eq!(world.alive(5, 11), [LeaseRule::Promise]);
    }

    #[test]
    fn a_lease_that_was_never_granted_is_not_alive() {
        assert_eq!(World::new().alive(0, 10), [LeaseRule::Expired]);
    }

    #[test]
    fn a_lost_lease_stays_lost() {
        let mut world = World::new();
        world.server(Some(10));
        assert_eq!(world.say(3, LeaseReport::Lost { not_found: false }), []);
        assert_eq!(world.alive(4, 10), [LeaseRule::Revived]);
    }

    #[test]
    fn a_lease_is_unknown_only_where_it_is() {
        let mut world = World::new();
        world.server(Some(10));
        assert_eq!(world.say(3, LeaseReport::Lost { not_found: true }), [LeaseRule::Found]);
        world.server(None);
        assert_eq!(world.say(4, LeaseReport::Lost { not_found: true }), []);
    }
}
