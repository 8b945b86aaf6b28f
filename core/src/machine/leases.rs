//! Leases that are kept alive: begun, looked at when something is due for them, given up. How they are renewed stands in
//! `renewals`, how they are granted and revoked in `grants`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use etcdium_proto::StreamMethod;
use etcdium_proto::streams::LeaseKeepAlive;

use super::{Core, Timer};
use crate::backoff::{Backoff, BackoffConfig};
use crate::key::LeaseKey;
use crate::lease::{Fate, Keeper, Kept, OnDrop, Renewal, Renewals, Role, Stage, Starting};
use crate::slab::Slab;
use crate::trace::event;
use crate::{
    CallOptions, ConnectionKey, EndpointKey, Error, ErrorKind, Event, InvalidRequest, KeeperKey, LeaseId,
    LeaseLost, LeaseState, Outcome, StreamKey,
};

/// All leases that are kept alive.
#[derive(Debug)]
pub(super) struct Leases {
    /// What the grid of renewals begins at.
    pub(super) epoch: Instant,
    pub(super) keepers: Slab<LeaseKey, Keeper>,
    handles: Slab<KeeperKey, Handle>,
    /// Those that are renewed, once for all their handles.
    pub(super) by_id: BTreeMap<LeaseId, LeaseKey>,
    pub(super) streams: BTreeMap<StreamKey, Renewals>,
    /// The stream that renewals are asked for on.
    pub(super) main: Option<StreamKey>,
    /// When which lease is looked at.
    pub(super) due: BTreeSet<(Instant, LeaseKey)>,
    /// Those whose renewal waits for a stream, the most urgent first.
    pub(super) wanted: BTreeSet<(Instant, LeaseKey)>,
    /// No shared stream is opened before this time.
    pub(super) open_at: Option<Instant>,
    /// Where the next stream is opened if it can be.
    pub(super) prefer: Option<ConnectionKey>,
    /// Where it is opened only if nothing else is ready.
    pub(super) avoid: Option<EndpointKey>,
    pub(super) backoff: Backoff,
    pub(super) retry: BackoffConfig,
    /// When the timer fires.
    pub(super) armed: Option<Instant>,
}

/// What the application holds of a lease.
#[derive(Debug)]
struct Handle {
    lease: LeaseKey,
    /// The next change is to be told.
    awaited: bool,
}

impl Leases {
    pub(super) fn new(epoch: Instant, retry: BackoffConfig) -> Self {
        Self {
            epoch,
            keepers: Slab::default(),
            handles: Slab::default(),
            by_id: BTreeMap::new(),
            streams: BTreeMap::new(),
            main: None,
            due: BTreeSet::new(),
            wanted: BTreeSet::new(),
            open_at: None,
            prefer: None,
            avoid: None,
            backoff: Backoff::new(retry),
            retry,
            armed: None,
        }
    }

    pub(super) fn is_armed(&self, at: Instant) -> bool {
        self.armed == Some(at)
    }

    fn keeper_of(&self, handle: KeeperKey) -> Option<&Keeper> {
        self.keepers.get(self.handles.get(handle)?.lease)
    }

    /// A keeper with one handle, which is told of the beginning.
    pub(super) fn insert(&mut self, now: Instant, id: LeaseId, stage: Stage) -> (LeaseKey, KeeperKey) {
        // Each needs the other's key: the handle is there first, naming a lease that is about to be.
        let lease = self.keepers.next_key();
        let handle = self.handles.insert(Handle { lease, awaited: true });
        let lease = self.keepers.insert(Keeper::new(now, id, stage, handle));
        (lease, handle)
    }

    /// Enters what is due for a lease.
    pub(super) fn schedule(&mut self, key: LeaseKey) {
        let Some(keeper) = self.keepers.get_mut(key) else { return };
        let next = keeper.next_at();
        if next != keeper.due {
            if let Some(at) = core::mem::replace(&mut keeper.due, next) {
                self.due.remove(&(at, key));
            }
            if let Some(at) = next {
                self.due.insert((at, key));
            }
        }
    }

    /// Its renewal waits for a stream.
    pub(super) fn want(&mut self, key: LeaseKey) {
        self.unwant(key);
        let Some(keeper) = self.keepers.get_mut(key).filter(|keeper| keeper.is_renewed()) else { return };
        let urgency = keeper.urgency();
        keeper.renewal = Renewal::Wanted(urgency);
        self.wanted.insert((urgency, key));
    }

    pub(super) fn unwant(&mut self, key: LeaseKey) {
        if let Some(Renewal::Wanted(urgency)) = self.keepers.get(key).map(|keeper| keeper.renewal) {
            self.wanted.remove(&(urgency, key));
        }
    }

    /// A lease is renewed no more: it stays as long as it has handles.
    fn settle(&mut self, key: LeaseKey) {
        self.unwant(key);
        self.schedule(key);
        let Some(keeper) = self.keepers.get(key) else { return };
        if self.by_id.get(&keeper.id) == Some(&key) {
            self.by_id.remove(&keeper.id);
        }
    }
}

impl Core {
    /// Keeps a lease alive that was granted elsewhere, and goes on until [`release`](Self::release). It begins with the
    /// first answer to a renewal, told by [`Event::KeeperChanged`]: see [`started`](Self::started). Of the options only the
    /// time-out counts: it limits the wait for that.
    ///
    /// Whether any lease is kept alive.
    pub fn keeps_leases(&self) -> bool {
        self.leases.keepers.len() > 0
    }

    /// Leases that are kept alive share a stream, and each is renewed once, whatever its number of keepers.
    pub fn keep_alive(&mut self, now: Instant, lease: LeaseId, options: &CallOptions) -> KeeperKey {
        self.advance(now);
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        let known = self.leases.by_id.get(&lease).copied();
        if let Some(key) = known.filter(|_| timeout != Some(Duration::ZERO)) {
            let handle = self.leases.handles.insert(Handle { lease: key, awaited: true });
            let begins = self.deadline_of(timeout);
            if let Some(keeper) = self.leases.keepers.get_mut(key) {
                keeper.handles.add(handle);
                match &mut keeper.stage {
                    // Whoever waits longest.
                    Stage::Starting(starting) => {
                        starting.deadline = starting.deadline.zip(begins).map(|(one, other)| one.max(other));
                    }
                    _ => self.events.push_back(Event::KeeperChanged(handle)),
                }
            }
            self.leases.schedule(key);
            self.arm_leases();
            return handle;
        }
        self.start_keeping(lease, timeout, false)
    }

    /// Renews a lease once, on a stream of its own that is closed then. The answer is told like the beginning of
    /// [`keep_alive`](Self::keep_alive); nothing follows it.
    pub fn keep_alive_once(&mut self, now: Instant, lease: LeaseId, options: &CallOptions) -> KeeperKey {
        self.advance(now);
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        self.start_keeping(lease, timeout, true)
    }

    fn start_keeping(&mut self, lease: LeaseId, timeout: Option<Duration>, once: bool) -> KeeperKey {
        let stage = Stage::Starting(Box::new(Starting {
            deadline: self.deadline_of(timeout),
            timeout: timeout.unwrap_or(Duration::MAX),
            once,
        }));
        let (key, handle) = self.leases.insert(self.now, lease, stage);
        if let Some(kind) = self.refusal(&CallOptions::new(), timeout) {
            let error = Error::new(kind, Outcome::NotApplied).with_method(LeaseKeepAlive::METHOD);
            self.keeping_failed(key, error);
            return handle;
        }
        self.wake();
        if let Some(keeper) = self.leases.keepers.get_mut(key) {
            keeper.suspect = once;
        }
        if !once {
            self.leases.by_id.insert(lease, key);
        }
        self.leases.want(key);
        self.leases.schedule(key);
        self.renew_waiting();
        self.arm_leases();
        handle
    }

    /// A time-out beyond the clock's range is none.
    fn deadline_of(&self, timeout: Option<Duration>) -> Option<Instant> {
        timeout.and_then(|timeout| self.now.checked_add(timeout))
    }

    /// How the lease of a handle began: `None` as long as it has not. An error stands for good; the handle is to be released
    /// all the same.
    ///
    /// # Errors
    /// [`EtcdError::LeaseNotFound`](crate::EtcdError::LeaseNotFound), [`ErrorKind::Timeout`], [`ErrorKind::Closed`],
    /// [`InvalidRequest`], and of [`lease`](Self::lease) what the grant met.
    pub fn started(&mut self, keeper: KeeperKey) -> Option<Result<Kept, Error>> {
        let lease = self.leases.handles.get(keeper)?.lease;
        let keeper = self.leases.keepers.get_mut(lease)?;
        let bare = Kept { id: keeper.id, ttl: keeper.ttl(), header: None };
        Some(match &mut keeper.stage {
            Stage::Granting(_) | Stage::Starting(_) => return None,
            Stage::Kept(kept) => {
                keeper.unclaimed = false;
                Ok(kept.take().map_or(bare, |kept| *kept))
            }
            Stage::Renewed(kept) => Ok((**kept).clone()),
            Stage::Failed(error) => Err((**error).clone()),
            // It began, and is over already.
            Stage::Lost(_) => Ok(bare),
        })
    }

    /// What is known of the lease of a handle at this time: see [`LeaseState`]. `None` before it began, and for a handle
    /// that was released.
    pub fn keeper_state(&self, keeper: KeeperKey, now: Instant) -> Option<LeaseState> {
        let now = now.max(self.now);
        let keeper = self.leases.keeper_of(keeper)?;
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LeaseUndead) && keeper.until().is_some_and(|until| until <= now) {
            return Some(LeaseState::Alive { until: now });
        }
        keeper.state(now)
    }

    /// Has the next change of the handle's lease be told by [`Event::KeeperChanged`], once. Each renewal is a change: it
    /// moves the time until which the lease lives.
    pub fn await_keeper(&mut self, keeper: KeeperKey) {
        if let Some(handle) = self.leases.handles.get_mut(keeper) {
            handle.awaited = true;
        }
    }

    /// Gives a handle up. With its last handle a lease is renewed no more, and `then` says what becomes of it. One whose
    /// grant is still under way, or was never taken by [`started`](Self::started), is revoked in any case: nobody knows of
    /// it.
    pub fn release(&mut self, now: Instant, keeper: KeeperKey, then: OnDrop) {
        self.advance(now);
        let Some(handle) = self.leases.handles.remove(keeper) else { return };
        let key = handle.lease;
        let Some(known) = self.leases.keepers.get_mut(key) else { return };
        known.handles.remove(keeper);
        if !known.handles.is_empty() {
            return;
        }
        if let Stage::Granting(op) = known.stage {
            self.abandon_grant(key, op);
            return;
        }
        let revoke = (then == OnDrop::Revoke || known.unclaimed) && known.is_renewed();
        let id = known.id;
        self.forget_lease(key);
        if revoke {
            self.revoke_behind(id);
        }
        self.arm_leases();
    }

    /// Drops a lease and what is on its way for it.
    pub(super) fn forget_lease(&mut self, key: LeaseKey) {
        self.leases.settle(key);
        let Some(keeper) = self.leases.keepers.remove(key) else { return };
        if let Some(at) = keeper.due {
            self.leases.due.remove(&(at, key));
        }
        let streams = &self.leases.streams;
        let alone = match keeper.renewal {
            Renewal::Flight { stream, .. } => {
                streams.get(&stream).is_some_and(|s| s.role == Role::Alone(key))
            }
            _ => false,
        };
        if let (true, Renewal::Flight { stream, .. }) = (alone, keeper.renewal) {
            self.drop_renewals(stream);
        }
        if self.leases.keepers.len() == 0 {
            for stream in self.leases.streams.keys().copied().collect::<Vec<_>>() {
                self.drop_renewals(stream);
            }
        }
    }

    /// Tells those who wait for it that a lease has changed.
    pub(super) fn lease_changed(&mut self, key: LeaseKey) {
        let Some(keeper) = self.leases.keepers.get(key) else { return };
        for handle in keeper.handles.as_slice() {
            if let Some(known) = self.leases.handles.get_mut(*handle) {
                if core::mem::take(&mut known.awaited) {
                    self.events.push_back(Event::KeeperChanged(*handle));
                }
            }
        }
    }

    /// A lease is over, or never began.
    pub(super) fn lease_over(&mut self, key: LeaseKey) {
        self.leases.settle(key);
        self.lease_changed(key);
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        // Nobody gets to know of a lease that was granted and could not be confirmed.
        let failed = matches!(keeper.stage, Stage::Failed(_));
        if failed && core::mem::take(&mut keeper.unclaimed) {
            let id = keeper.id;
            self.revoke_behind(id);
        }
    }

    pub(super) fn keeping_failed(&mut self, key: LeaseKey, error: Error) {
        if let Some(keeper) = self.leases.keepers.get_mut(key) {
            keeper.fail(error);
        }
        self.lease_over(key);
    }

    /// A lease was granted by a request sent at `sent`.
    pub(super) fn keep_granted(
        &mut self,
        key: LeaseKey,
        sent: Instant,
        kept: Kept,
        timeout: Option<Duration>,
    ) {
        let (epoch, now, deadline) = (self.leases.epoch, self.now, self.deadline_of(timeout));
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        keeper.unclaimed = true;
        self.leases.by_id.entry(kept.id).or_insert(key);
        if keeper.granted(epoch, now, sent, kept) {
            self.lease_changed(key);
        } else {
            // The answer came so late that it proves nothing any more.
            let timeout = timeout.unwrap_or(Duration::MAX);
            keeper.stage = Stage::Starting(Box::new(Starting { deadline, timeout, once: false }));
            self.leases.want(key);
        }
        self.leases.schedule(key);
        self.renew_waiting();
        self.arm_leases();
    }

    // What is due.

    /// Looks at the leases that something is due for.
    pub(super) fn leases_due(&mut self) {
        self.leases.armed = None;
        while let Some(&(at, key)) = self.leases.due.first() {
            if at > self.now {
                break;
            }
            self.leases.due.pop_first();
            self.look_at_lease(key);
        }
        self.renew_waiting();
        self.arm_leases();
    }

    fn look_at_lease(&mut self, key: LeaseKey) {
        let now = self.now;
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        keeper.due = None;
        #[cfg(etcdium_planted)]
        let undead = self.config.has(crate::Planted::LeaseUndead) && keeper.until().is_some_and(|u| u <= now);
        #[cfg(etcdium_planted)]
        if undead {
            return;
        }
        match keeper.look(now) {
            Fate::Over => {
                event!(WARN, "a lease is lost", lease = keeper.id);
                return self.lease_over(key);
            }
            Fate::AtRisk => {
                event!(WARN, "a lease is at risk", lease = keeper.id);
                self.lease_changed(key);
            }
            Fate::Same => {}
        }
        match self.leases.keepers.get(key).map(|keeper| keeper.renewal) {
            Some(Renewal::Rest(at)) if at <= now => self.leases.want(key),
            Some(Renewal::Flight { stream, overdue_at, .. }) if overdue_at <= now => {
                self.overdue(key, stream)
            }
            _ => {}
        }
        self.leases.schedule(key);
    }

    /// The answer to a renewal is late: it is asked for on a further stream. What comes late counts nevertheless.
    fn overdue(&mut self, key: LeaseKey, stream: StreamKey) {
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LeaseStuck) {
            keeper.renewal = Renewal::Rest(super::after(self.now, Duration::from_secs(3_600)));
            return;
        }
        keeper.misses = keeper.misses.saturating_add(1);
        let again = keeper.misses > 1;
        let Some(renewals) = self.leases.streams.get(&stream) else { return self.leases.want(key) };
        let (connection, endpoint, role) = (renewals.connection, renewals.endpoint, renewals.role);
        if self.leases.main == Some(stream) || role != Role::Shared {
            if self.leases.main == Some(stream) {
                self.leases.main = None;
            }
            // The server may be busy with one lease, or the connection may be dead.
            let opened = renewals.first().map_or(self.now, |first| first.sent);
            let silent = self.connections.get(connection).and_then(|known| known.unanswered);
            let lives = silent.is_none_or(|since| since > opened);
            if lives && !again {
                self.leases.prefer = Some(connection);
            } else {
                self.leases.avoid = Some(endpoint);
            }
        }
        if role != Role::Shared {
            self.drop_renewals(stream);
        }
        self.leases.want(key);
    }

    /// Sets the timer to what is due next.
    pub(super) fn arm_leases(&mut self) {
        let waits = !self.leases.wanted.is_empty();
        let open_at = self.leases.open_at.filter(|at| waits && *at > self.now);
        let due = self.leases.due.first().map(|(at, _)| *at);
        let next = due.into_iter().chain(open_at).min();
        if next != self.leases.armed {
            self.leases.armed = next;
            if let Some(at) = next {
                self.timers.arm(at, Timer::Leases);
            }
            self.sweep_timers();
        }
    }

    /// After the set of endpoints was replaced: a lease that waits for its first answer waits in vain if there are none.
    pub(super) fn leases_after_replacement(&mut self) {
        if !self.order.is_empty() {
            return;
        }
        let starting = self.leases.keepers.iter().filter(|(_, k)| matches!(k.stage, Stage::Starting(_)));
        for key in starting.map(|(key, _)| key).collect::<Vec<_>>() {
            self.keeping_failed(key, Error::from(InvalidRequest::NoEndpoints));
        }
    }

    /// The core closes: no lease is kept any more.
    pub(super) fn close_leases(&mut self) {
        let (mut failed, mut lost) = (Vec::new(), Vec::new());
        for (key, keeper) in self.leases.keepers.iter() {
            match keeper.stage {
                Stage::Granting(_) | Stage::Starting(_) => failed.push(key),
                Stage::Kept(_) => lost.push(key),
                Stage::Renewed(_) | Stage::Failed(_) | Stage::Lost(_) => {}
            }
        }
        for key in lost {
            if let Some(keeper) = self.leases.keepers.get_mut(key) {
                let expired = keeper.until().is_some_and(|until| until <= self.now);
                keeper.lose(if expired { LeaseLost::Expired } else { LeaseLost::Closed });
            }
            self.lease_over(key);
        }
        for key in failed {
            let outcome = self.grant_outcome(key);
            self.keeping_failed(key, Error::new(ErrorKind::Closed, outcome));
        }
        self.leases.armed = None;
    }
}
