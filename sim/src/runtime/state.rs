//! What one simulated machine consists of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use etcdium_client::BoxFuture;

use super::network::Network;
use super::profile::{Profile, Reactor};
use crate::rng::Rng;

/// On whose processor something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What happens at a time.
pub(super) enum Due {
    /// Someone is woken.
    Wake { side: Side, waker: Waker },
    /// Something arrives at the reader of a pipe: the end of this side of this connection.
    Arrival { connection: u64, reader: Side },
}

/// The machine: what all its parts share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tasks that were woken, in order.
    pub(super) woken: Mutex<Vec<u64>>,
    /// Tasks the executor has yet to take over.
    pub(super) spawned: Mutex<Vec<(Side, BoxFuture<()>)>>,
}

pub(super) struct State {
    pub(super) epoch: Instant,
    pub(super) profile: Profile,
    pub(super) rng: Rng,
    /// The time, in nanoseconds since the epoch.
    pub(super) now: u64,
    /// Whose task is being polled.
    pub(super) side: Side,
    /// How far the client's processor got beyond `now` in this poll.
    pub(super) ahead: u64,
    /// When the client's processor is free again.
    pub(super) client_free: u64,
    /// Up to when the clients' reactor has looked. Only for a lazy one.
    pub(super) horizon: u64,
    /// Whom the clients' reactor will wake.
    pub(super) unseen: Vec<Waker>,
    /// Whom to wake after this poll.
    pub(super) deferred: Vec<Waker>,
    pub(super) due: BTreeMap<(u64, u64), Due>,
    serial: u64,
    pub(super) network: Network,
    transcript: u64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(epoch: Instant, seed: u64, profile: Profile) -> Arc<Self> {
        let state = State {
            epoch,
            profile,
            rng: Rng::new(seed),
            now: 0,
            side: Side::Server,
            ahead: 0,
            client_free: 0,
            horizon: 0,
            unseen: Vec::new(),
            deferred: Vec::new(),
            due: BTreeMap::new(),
            serial: 0,
            network: Network::default(),
            transcript: 0xcbf2_9ce4_8422_2325,
        };
        Arc::new(Self { state: Mutex::new(state), woken: Mutex::default(), spawned: Mutex::default() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn spawn(&self, side: Side, task: BoxFuture<()>) {
        lock(&self.spawned).push((side, task));
    }
}

impl State {
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The time as whoever runs sees it.
    pub(super) fn local_now(&self) -> u64 {
        self.now + self.ahead
    }

    pub(super) fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    pub(super) fn nanos(&self, at: Instant) -> u64 {
        // What is later than five centuries is never.
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Up to when this side knows what has happened.
    pub(super) fn known(&self, side: Side) -> u64 {
        match (side, self.profile.reactor) {
            (Side::Client, Reactor::Every(_)) => self.horizon,
            _ => self.local_now(),
        }
    }

    /// Makes something happen at a time.
    pub(super) fn at(&mut self, time: u64, due: Due) -> (u64, u64) {
        let key = (time, self.next_serial());
        self.due.insert(key, due);
        key
    }

    /// Has someone woken of whom something outside of the processors wants something: a reactor's work.
    pub(super) fn notify(&mut self, side: Side, waker: Waker, wakes: &mut Vec<Waker>) {
        match (side, self.profile.reactor) {
            (Side::Client, Reactor::Every(_)) => self.unseen.push(waker),
            _ => wakes.push(waker),
        }
    }

    /// Charges the client for a read or write, and says whether to be pending for no reason; `waker` is seen to then.
    pub(super) fn io(&mut self, side: Side, waker: &Waker) -> bool {
        if side == Side::Server {
            return false;
        }
        let Self { profile, rng, .. } = self;
        self.ahead += profile.io_cost.draw(rng);
        self.spurious(waker)
    }

    /// Whether a client's future is to be pending for no reason.
    pub(super) fn spurious(&mut self, waker: &Waker) -> bool {
        if !self.rng.chance(self.profile.spurious) {
            return false;
        }
        self.deferred.push(waker.clone());
        true
    }

    /// How many of `most` bytes move.
    pub(super) fn some_of(&mut self, most: usize) -> usize {
        if most > 1 && self.rng.chance(self.profile.partial) {
            return 1 + self.rng.below(most as u64) as usize;
        }
        most
    }

    /// Adds to the transcript (FNV-1a).
    pub(super) fn note(&mut self, connection: u64, side: Side, bytes: &[u8]) {
        let head = [self.local_now(), connection, side as u64, bytes.len() as u64];
        let head = head.into_iter().flat_map(u64::to_le_bytes);
        for byte in head.chain(bytes.iter().copied()) {
            self.transcript = (self.transcript ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn transcript(&self) -> u64 {
        self.transcript
    }
}

/// Takes a task out of those that are ready: the first, or any.
pub(super) fn pick(ready: &mut VecDeque<u64>, in_order: bool, rng: &mut Rng) -> Option<u64> {
    if !in_order && ready.len() > 1 {
        let index = rng.below(ready.len() as u64) as usize;
        return ready.swap_remove_back(index);
    }
    ready.pop_front()
}
