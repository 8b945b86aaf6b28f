//! Leases granted to be kept alive, and revoked in the background when nobody wants them any more.
//!
//! The core chooses the lease's id, so that a grant can be repeated when nobody knows what became of it: that the lease
//! exists already is a success then.

use std::time::{Duration, Instant};

use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest};
use prost::Message;

use super::{Core, Life};
use crate::key::LeaseKey;
use crate::lease::pacing::{MAX_TTL, seconds};
use crate::lease::{Kept, Stage};
use crate::op::{Answer, OpOwner, Phase};
use crate::trace::event;
use crate::{
    CallOptions, Error, ErrorKind, EtcdError, InvalidRequest, KeeperKey, LeaseId, OpKey, Outcome,
    ProtocolError,
};

/// How long a revocation in the background may take: nobody waits for it, and so the client's own time-out does not count.
const BEHIND: Duration = Duration::from_secs(10);

/// A grant under way.
#[derive(Debug)]
pub(super) struct Grant {
    ttl: i64,
    /// The id is the core's choice.
    chosen: bool,
    options: CallOptions,
    deadline: Option<Instant>,
}

impl Core {
    /// Grants a lease and keeps it alive until [`release`](Self::release). Its beginning is told by
    /// [`Event::KeeperChanged`](crate::Event::KeeperChanged): see [`started`](Self::started).
    ///
    /// `ttl` is rounded up to whole seconds. Without an `id` the core chooses one. The grant is repeated until it is
    /// answered, within the time-out of `options`; a lease that was made for a grant that failed, or was released, is
    /// revoked in the background if its id was the core's choice.
    pub fn lease(
        &mut self,
        now: Instant,
        ttl: Duration,
        id: Option<LeaseId>,
        options: &CallOptions,
    ) -> KeeperKey {
        self.advance(now);
        let id_or_own = id.unwrap_or_else(|| self.choose_lease());
        let (key, handle) = self.leases.insert(self.now, id_or_own, Stage::Granting(None));
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        match granted_seconds(ttl) {
            Err(invalid) => {
                let error = Error::from(invalid).with_method(LeaseGrantRequest::METHOD);
                self.keeping_failed(key, error);
            }
            Ok(ttl) => {
                let deadline = timeout.and_then(|timeout| self.now.checked_add(timeout));
                let options = options.clone().idempotent(true);
                self.grants.insert(key, Grant { ttl, chosen: id.is_none(), options, deadline });
                self.grant(key, timeout);
            }
        }
        handle
    }

    /// An id for a lease: positive, as the server's own are, and any of these as likely as another.
    fn choose_lease(&mut self) -> LeaseId {
        loop {
            // Half of a u64 fits.
            if let Some(id) = LeaseId::new((self.rng.next_u64() >> 1) as i64) {
                return id;
            }
        }
    }

    fn grant(&mut self, key: LeaseKey, timeout: Option<Duration>) {
        let Some(grant) = self.grants.get(&key) else { return };
        let Some(keeper) = self.leases.keepers.get(key) else { return };
        let request = LeaseGrantRequest { ttl: grant.ttl, id: keeper.id.get() };
        let options = grant.options.clone().timeout(timeout);
        let op = self.start_op(&request, &options, OpOwner::Grant(key));
        if self.ops.contains(op) {
            if let Some(keeper) = self.leases.keepers.get_mut(key) {
                keeper.stage = Stage::Granting(Some(op));
            }
        }
    }

    /// What may have become of a grant if it is ended now.
    pub(super) fn grant_outcome(&self, key: LeaseKey) -> Outcome {
        match self.leases.keepers.get(key).map(|keeper| &keeper.stage) {
            Some(Stage::Granting(Some(op))) => {
                self.ops.get(*op).map_or(Outcome::NotApplied, |op| op.outcome_if_ended())
            }
            _ => Outcome::NotApplied,
        }
    }

    /// Nobody wants the lease that is being granted. If the request went out it goes on in the background, so that the
    /// revocation cannot overtake it.
    pub(super) fn abandon_grant(&mut self, key: LeaseKey, op: Option<OpKey>) {
        let op = op.filter(|op| self.ops.contains(*op));
        let sent = op.is_some_and(|op| self.grant_may_be_applied(op));
        if sent {
            self.background += 1;
            return;
        }
        if let Some(op) = op {
            self.cancel_op(op);
        }
        self.grants.remove(&key);
        self.forget_lease(key);
    }

    fn grant_may_be_applied(&mut self, op: OpKey) -> bool {
        self.take_back_op(op);
        let taken_back = self.ops.get(op).is_some_and(|op| matches!(op.phase, Phase::Waiting));
        if taken_back {
            self.waiting.insert(op);
        }
        self.ops.get(op).is_some_and(|op| op.outcome_if_ended() == Outcome::Unknown)
    }

    /// An operation of the core's own has ended.
    pub(super) fn own_op_done(&mut self, key: OpKey) {
        let Some(op) = self.ops.remove(key) else { return };
        self.own_ops -= 1;
        let Phase::Done(result) = op.phase else { return };
        match op.owner {
            OpOwner::Application => {}
            OpOwner::Nobody => {
                if let Err(error) = &result {
                    event!(DEBUG, "a lease was not revoked", error = error);
                }
                self.background_done();
            }
            OpOwner::Grant(lease) => self.grant_done(lease, result, op.sent, op.doubt),
        }
    }

    fn grant_done(
        &mut self,
        key: LeaseKey,
        result: Result<Answer, Error>,
        sent: Option<Instant>,
        doubt: Option<Instant>,
    ) {
        let Some(grant) = self.grants.remove(&key) else { return };
        let Some(keeper) = self.leases.keepers.get(key) else { return };
        let (id, abandoned) = (keeper.id, keeper.handles.is_empty());
        if !matches!(keeper.stage, Stage::Granting(_)) {
            // The core was closed.
            if abandoned {
                self.forget_lease(key);
                self.background_done();
            }
            return;
        }
        let asked = seconds(grant.ttl);
        let done = match result {
            Ok(answer) => match LeaseGrantResponse::decode(answer.message) {
                Ok(response) => {
                    let id = LeaseId::new(response.id).unwrap_or(id);
                    let ttl = if response.ttl > 0 { seconds(response.ttl) } else { asked };
                    Ok((sent, Kept { id, ttl, header: response.header }))
                }
                Err(error) => {
                    let kind = ErrorKind::Protocol(ProtocolError::Message(error.to_string()));
                    Err(Error::new(kind, Outcome::Unknown).with_method(LeaseGrantRequest::METHOD))
                }
            },
            Err(error) if error.etcd() == Some(EtcdError::LeaseExist) && doubt.is_some() => {
                // An earlier attempt made it. The server raises what is below its minimum, and never lowers it.
                Ok((doubt, Kept { id, ttl: asked, header: None }))
            }
            Err(error) => Err(error),
        };
        if abandoned {
            let made = done.map_or_else(
                |error| (grant.chosen && error.outcome() == Outcome::Unknown).then_some(id),
                |(_, kept)| Some(kept.id),
            );
            self.forget_lease(key);
            if let Some(id) = made {
                self.revoke_behind(id);
            }
            return self.background_done();
        }
        let left = grant.deadline.map(|deadline| deadline.saturating_duration_since(self.now));
        match done {
            Ok((sent, kept)) => {
                if let Some(keeper) = self.leases.keepers.get_mut(key) {
                    keeper.id = kept.id;
                }
                self.keep_granted(key, sent.unwrap_or(self.now), kept, left);
            }
            Err(error) if grant.chosen && error.etcd() == Some(EtcdError::LeaseExist) => {
                // Somebody else's: another one then.
                let id = self.choose_lease();
                if let Some(keeper) = self.leases.keepers.get_mut(key) {
                    keeper.id = id;
                }
                self.grants.insert(key, grant);
                self.grant(key, left);
            }
            Err(error) => {
                if grant.chosen && error.outcome() == Outcome::Unknown {
                    self.revoke_behind(id);
                }
                self.keeping_failed(key, error);
            }
        }
    }

    /// Revokes a lease that nobody knows of any more.
    pub(super) fn revoke_behind(&mut self, id: LeaseId) {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LeaseLeftBehind) {
            return;
        }
        if self.life == Life::Closed {
            return;
        }
        let options = CallOptions::new().idempotent(true).timeout(Some(BEHIND));
        self.background += 1;
        self.start_op(&LeaseRevokeRequest { id: id.get() }, &options, OpOwner::Nobody);
    }

    fn background_done(&mut self) {
        self.background = self.background.saturating_sub(1);
        if self.background == 0 && self.life == Life::Retiring {
            self.close_all();
        }
    }
}

/// Whole seconds, rounded up.
fn granted_seconds(ttl: Duration) -> Result<i64, InvalidRequest> {
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    let invalid = |reason| InvalidRequest::Value { option: "ttl", reason };
    match i64::try_from(seconds) {
        Ok(0) => Err(invalid("must not be zero")),
        Ok(ttl) if seconds <= MAX_TTL => Ok(ttl),
        _ => Err(invalid("must not be more than 9,000,000,000 s")),
    }
}
