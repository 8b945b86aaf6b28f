//! One lease that is kept alive: until when it lives, and when it is renewed.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use etcdium_proto::StreamMethod;
use etcdium_proto::streams::LeaseKeepAlive;

use super::pacing;
use super::{Asked, Kept, LeaseLost, LeaseState};
use crate::{Error, ErrorKind, KeeperKey, LeaseId, OpKey, Outcome, StreamKey};

/// For so long after a lease was granted, or before it was ever seen, the answer that there is none is asked for twice: a
/// leader of etcd 3.4 answers so that has not yet applied the grant (`LeaseRenew`, server/etcdserver/v3_server.go; since
/// 3.5 it first applies what is committed).
const FRESH: Duration = Duration::from_secs(5);

/// A lease that is kept alive, for one or more handles.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) id: LeaseId,
    pub(crate) stage: Stage,
    pub(crate) renewal: Renewal,
    /// Asks in a row that were not answered in time, or failed.
    pub(crate) misses: u8,
    /// It may be what ends streams: it is asked for on a stream of its own.
    pub(crate) suspect: bool,
    /// It was granted for a handle that has not been given out: if that is dropped the lease is revoked.
    pub(crate) unclaimed: bool,
    /// The handles that it is kept for.
    pub(crate) handles: Handles,
    /// When it is looked at next.
    pub(crate) due: Option<Instant>,
    ttl: Duration,
    until: Instant,
    /// Whether it was told to be at risk.
    risk_told: bool,
    /// The cluster has said once that there is no such lease.
    doubted: bool,
    /// Until then it may be unknown to a leader that lags.
    fresh_until: Instant,
    /// What the last failed renewal met, since one was answered.
    cause: Option<Arc<Error>>,
}

/// How far a lease is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It is being granted, by this operation.
    Granting(Option<OpKey>),
    /// The first answer to a renewal is waited for.
    Starting(Box<Starting>),
    /// It is kept alive.
    Kept(Option<Box<Kept>>),
    /// It was renewed once, as was asked for.
    Renewed(Box<Kept>),
    /// It never began.
    Failed(Box<Error>),
    /// It is over.
    Lost(LeaseLost),
}

/// The wait for the first answer.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) deadline: Option<Instant>,
    /// How long the wait was to be.
    pub(crate) timeout: Duration,
    /// It is renewed once only.
    pub(crate) once: bool,
}

/// The handles of a lease. Nearly all leases have one, which takes no allocation.
#[derive(Debug)]
pub(crate) enum Handles {
    One(KeeperKey),
    Many(Vec<KeeperKey>),
}

impl Handles {
    pub(crate) fn as_slice(&self) -> &[KeeperKey] {
        match self {
            Self::One(handle) => core::slice::from_ref(handle),
            Self::Many(handles) => handles,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn add(&mut self, handle: KeeperKey) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, handle]),
            Self::Many(handles) => handles.push(handle),
        }
    }

    pub(crate) fn remove(&mut self, handle: KeeperKey) {
        match self {
            Self::One(only) if *only == handle => *self = Self::Many(Vec::new()),
            Self::One(_) => {}
            Self::Many(handles) => handles.retain(|other| *other != handle),
        }
    }
}

/// Where the renewal of a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Not before this time.
    Rest(Instant),
    /// Waits for a stream, in the order of these times.
    Wanted(Instant),
    /// On its way.
    Flight { stream: StreamKey, sent: Instant, overdue_at: Instant },
}

/// What an answer to a renewal made of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing: it is over already.
    Nothing,
    /// It lives on.
    Renewed,
    /// It was renewed once, and that was all.
    Once,
    /// There is none, but ask again then.
    Doubtful(Instant),
    /// It is lost, or never began.
    Over,
}

/// What the time has made of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing new.
    Same,
    /// It is at risk now.
    AtRisk,
    /// It is lost, or failed to start.
    Over,
}

impl Keeper {
    pub(crate) fn new(now: Instant, id: LeaseId, stage: Stage, handle: KeeperKey) -> Self {
        Self {
            id,
            stage,
            renewal: Renewal::Rest(now),
            misses: 0,
            suspect: false,
            unclaimed: false,
            handles: Handles::One(handle),
            due: None,
            ttl: pacing::UNKNOWN_TTL,
            until: now,
            risk_told: false,
            doubted: false,
            fresh_until: pacing::after(now, FRESH),
            cause: None,
        }
    }

    /// Whether it is to be renewed.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self.stage, Stage::Starting(_) | Stage::Kept(_))
    }

    /// Its time to live as last told.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Until when it lives at least; `None` if it is not known to live.
    pub(crate) fn until(&self) -> Option<Instant> {
        matches!(self.stage, Stage::Kept(_)).then_some(self.until)
    }

    /// The time it has left; much, if it is not known.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until().map_or(self.ttl, |until| until.saturating_duration_since(now))
    }

    /// What it is asked for by, among all that wait: the one with the least time first.
    pub(crate) fn urgency(&self) -> Instant {
        self.until
    }

    /// Notes that its renewal was asked for.
    pub(crate) fn asked(&mut self, epoch: Instant, now: Instant, stream: StreamKey) -> Instant {
        let overdue_at = pacing::overdue_at(epoch, now, self.ttl, self.until());
        self.renewal = Renewal::Flight { stream, sent: now, overdue_at };
        overdue_at
    }

    /// It was granted by a request sent at `sent`. Says whether it is known to live now.
    pub(crate) fn granted(&mut self, epoch: Instant, now: Instant, sent: Instant, kept: Kept) -> bool {
        self.fresh_until = pacing::after(sent, FRESH);
        self.ttl = kept.ttl;
        self.until = pacing::after(sent, kept.ttl);
        if self.until <= now {
            return false;
        }
        self.renewal = Renewal::Rest(pacing::renew_at(epoch, sent, kept.ttl));
        self.stage = Stage::Kept(Some(Box::new(kept)));
        true
    }

    /// A renewal sent at `sent` was answered. A time to live of zero, or less, says that there is no such lease.
    pub(crate) fn answered(&mut self, epoch: Instant, now: Instant, asked: &Asked, kept: Kept) -> Answered {
        let sent = asked.sent;
        match self.stage {
            Stage::Kept(_) if self.until <= now => return self.lose(LeaseLost::Expired),
            Stage::Kept(_) | Stage::Starting(_) => {}
            _ => return Answered::Nothing,
        }
        if kept.ttl.is_zero() {
            return self.unknown(now);
        }
        let until = pacing::after(sent, kept.ttl);
        if let Stage::Starting(starting) = &self.stage {
            if starting.once {
                self.stage = Stage::Renewed(Box::new(kept));
                return Answered::Once;
            }
            if until <= now {
                // It lived when it was asked for; whether it does now has to be asked again.
                self.renewal = Renewal::Rest(now);
                return Answered::Renewed;
            }
            self.ttl = kept.ttl;
            self.until = until;
            self.stage = Stage::Kept(Some(Box::new(kept)));
        } else {
            // A lease keeps its time to live: less means that it is another one of the same id.
            self.until = if kept.ttl < self.ttl { until } else { self.until.max(until) };
            self.ttl = kept.ttl;
            if self.until <= now {
                return self.lose(LeaseLost::Expired);
            }
        }
        self.misses = 0;
        (self.suspect, self.risk_told, self.doubted, self.cause) = (false, false, false, None);
        // A late answer leaves the next renewal on its way.
        if !matches!(self.renewal, Renewal::Flight { sent: later, .. } if later > sent) {
            self.renewal = Renewal::Rest(pacing::renew_at(epoch, sent, self.ttl));
        }
        Answered::Renewed
    }

    fn unknown(&mut self, now: Instant) -> Answered {
        if now < self.fresh_until && !core::mem::replace(&mut self.doubted, true) {
            let wait = pacing::hurry(Duration::from_millis(250), self.left(now));
            let error = Error::new(ErrorKind::Etcd(crate::EtcdError::LeaseNotFound), Outcome::NotApplied);
            self.cause = Some(Arc::new(error.with_method(LeaseKeepAlive::METHOD)));
            self.suspect = true;
            return Answered::Doubtful(pacing::after(now, wait));
        }
        match self.stage {
            Stage::Starting(_) => {
                let error = Error::new(ErrorKind::Etcd(crate::EtcdError::LeaseNotFound), Outcome::NotApplied);
                self.fail(error.with_method(LeaseKeepAlive::METHOD));
                Answered::Over
            }
            _ => self.lose(LeaseLost::NotFound),
        }
    }

    /// It is over.
    pub(crate) fn lose(&mut self, reason: LeaseLost) -> Answered {
        self.stage = Stage::Lost(reason);
        self.cause = None;
        Answered::Over
    }

    /// It never begins.
    pub(crate) fn fail(&mut self, error: Error) {
        self.stage = Stage::Failed(Box::new(error));
        self.cause = None;
    }

    /// Its renewal failed.
    pub(crate) fn failed(&mut self, cause: &Arc<Error>) {
        self.misses = self.misses.saturating_add(1);
        self.cause = Some(cause.clone());
    }

    /// A renewal failed that is asked for elsewhere by now. That is told if no answer has come since.
    pub(crate) fn failed_late(&mut self, cause: &Arc<Error>) {
        if self.misses > 0 {
            self.cause = Some(cause.clone());
        }
    }

    /// Lets time pass.
    pub(crate) fn look(&mut self, now: Instant) -> Fate {
        match &self.stage {
            Stage::Kept(_) if self.until <= now => {
                self.lose(LeaseLost::Expired);
                Fate::Over
            }
            Stage::Kept(_) if pacing::risk_at(self.until, self.ttl) <= now && !self.risk_told => {
                self.risk_told = true;
                Fate::AtRisk
            }
            Stage::Starting(starting) if starting.deadline.is_some_and(|deadline| deadline <= now) => {
                let error = Error::new(ErrorKind::Timeout { after: starting.timeout }, Outcome::NotApplied)
                    .with_method(LeaseKeepAlive::METHOD)
                    .with_source(self.cause.take().map(|cause| (*cause).clone()));
                self.fail(error);
                Fate::Over
            }
            _ => Fate::Same,
        }
    }

    /// When it is to be looked at next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let renewal = match self.renewal {
            Renewal::Rest(at) => Some(at),
            Renewal::Flight { overdue_at, .. } => Some(overdue_at),
            Renewal::Wanted(_) => None,
        };
        let fate = match &self.stage {
            Stage::Kept(_) if self.risk_told => Some(self.until),
            Stage::Kept(_) => Some(pacing::risk_at(self.until, self.ttl)),
            Stage::Starting(starting) => starting.deadline,
            _ => return None,
        };
        renewal.into_iter().chain(fate).min()
    }

    /// What is known of it, judged against `now`; `None` before it is kept alive.
    pub(crate) fn state(&self, now: Instant) -> Option<LeaseState> {
        let until = self.until;
        match &self.stage {
            Stage::Kept(_) if until <= now => Some(LeaseState::Lost { reason: LeaseLost::Expired }),
            Stage::Kept(_) if pacing::risk_at(until, self.ttl) <= now => {
                Some(LeaseState::AtRisk { until, cause: self.trouble(now) })
            }
            Stage::Kept(_) => Some(LeaseState::Alive { until }),
            Stage::Lost(reason) => Some(LeaseState::Lost { reason: *reason }),
            Stage::Granting(_) | Stage::Starting(_) | Stage::Renewed(_) | Stage::Failed(_) => None,
        }
    }

    fn trouble(&self, now: Instant) -> Error {
        match &self.cause {
            Some(cause) => (**cause).clone(),
            None => {
                let renewed = self.until.checked_sub(self.ttl).unwrap_or(now);
                let after = now.saturating_duration_since(renewed);
                Error::new(ErrorKind::Timeout { after }, Outcome::NotApplied)
                    .with_method(LeaseKeepAlive::METHOD)
            }
        }
    }
}
