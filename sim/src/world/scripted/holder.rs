//! A lease of the scripted client: granted, kept alive, given up, granted anew.

use std::time::{Duration, Instant};

use super::mistake::Mistake;
use crate::check::LeaseReport;

/// Who keeps a lease. Calls are named by their numbers.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) lease: i64,
    ttl: Duration,
    /// Until when the lease lives without another renewal; none: there is none.
    until: Option<Instant>,
    /// It was given up.
    lost: bool,
    /// When the client looks for another.
    again_at: Instant,
    /// A call under way that grants, and since when.
    pub(super) granting: Option<(usize, Instant)>,
    /// The stream of renewals.
    pub(super) stream: Option<usize>,
    /// When the renewal that is not answered was sent.
    pub(super) asked: Option<Instant>,
    renewed: Instant,
    mistake: Option<Mistake>,
}

/// What the client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Grant,
    Renew,
    /// On another stream: this one has been silent for too long.
    RenewElsewhere,
}

impl Holder {
    pub(super) fn new(now: Instant, mistake: Option<Mistake>) -> Self {
        Self {
            lease: 0,
            ttl: Duration::ZERO,
            until: None,
            lost: true,
            again_at: now,
            granting: None,
            stream: None,
            asked: None,
            renewed: now,
            mistake,
        }
    }

    fn errs(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// The lease that is under way.
    pub(super) fn grant(&mut self, now: Instant, lease: i64, ttl: i64, call: usize) {
        self.lease = lease;
        self.ttl = seconds(ttl);
        self.until = None;
        self.lost = false;
        self.granting = Some((call, now));
        self.asked = None;
    }

    /// The grant failed, or nobody knows.
    pub(super) fn not_granted(&mut self) {
        self.granting = None;
        self.lost = true;
    }

    /// The grant was answered.
    pub(super) fn granted(&mut self, now: Instant, ttl: i64) -> Option<LeaseReport> {
        let (_, sent) = self.granting.take()?;
        self.extend(now, sent, ttl)
    }

    /// A renewal was answered.
    pub(super) fn renewed(&mut self, now: Instant, ttl: i64) -> Option<LeaseReport> {
        let sent = self.asked.take()?;
        if self.lost && !self.errs(Mistake::Revives) {
            return None;
        }
        if ttl <= 0 && !self.errs(Mistake::IgnoresZero) {
            return Some(self.lose(now, true));
        }
        self.extend(now, sent, ttl)
    }

    fn extend(&mut self, now: Instant, sent: Instant, ttl: i64) -> Option<LeaseReport> {
        let from = if self.errs(Mistake::CountsFromReceipt) { now } else { sent };
        let ttl = if ttl > 0 { seconds(ttl) } else { self.ttl };
        self.ttl = ttl;
        // An answer may come when the time it gives is over.
        let until = self.until.max(Some(from + ttl)).unwrap_or(from);
        self.until = Some(until);
        self.renewed = now;
        if until > now {
            self.lost = false;
            Some(LeaseReport::Alive { until })
        } else {
            Some(self.lose(now, false))
        }
    }

    fn lose(&mut self, now: Instant, not_found: bool) -> LeaseReport {
        self.lost = true;
        self.until = None;
        // One that revives leases waits for the answers.
        let wait = if self.errs(Mistake::Revives) { 10 } else { 1 };
        self.again_at = now + Duration::from_secs(wait);
        LeaseReport::Lost { not_found }
    }

    /// The stream broke.
    pub(super) fn stream_lost(&mut self, now: Instant) -> Option<LeaseReport> {
        self.stream = None;
        self.asked = None;
        let says = self.errs(Mistake::CallsItUnknown) && !self.lost && self.until.is_some();
        says.then(|| self.lose(now, true))
    }

    /// What it believes now.
    pub(super) fn look(&mut self, now: Instant) -> Option<LeaseReport> {
        let until = self.until.filter(|_| !self.lost)?;
        if until > now {
            Some(LeaseReport::Alive { until })
        } else if self.errs(Mistake::NeverExpires) {
            Some(LeaseReport::Alive { until: now })
        } else {
            Some(self.lose(now, false))
        }
    }

    /// What it does next.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some((_, since)) = self.granting {
            if now > since + Duration::from_secs(10) {
                self.not_granted();
            }
            return Next::Nothing;
        }
        if self.lost {
            return if now >= self.again_at { Next::Grant } else { Next::Nothing };
        }
        match self.asked {
            Some(since) if now > since + self.ttl / 2 => Next::RenewElsewhere,
            None if now >= self.renewed + self.ttl / 3 => Next::Renew,
            _ => Next::Nothing,
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0).unsigned_abs())
}
