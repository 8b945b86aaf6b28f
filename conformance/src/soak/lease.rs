//! A lease under way: it is kept alive, tied to a key, given up and granted again, and everything that was said of it is
//! kept.

use std::time::{Duration, Instant};

use etcdium_client::{Error, Lease, LeaseId, LeaseKeeper, LeaseLost, LeaseState, OnDrop};
use etcdium_sim::rng::Rng;

use super::party::Guest;
use super::plan::LEASES;

/// How long a call about a lease may take at most, in spite of everything.
const BOUND: Duration = Duration::from_secs(60);
/// The time-out of such a call.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The longest time to live of a lease. The shortest is 2 s, the least that etcd grants.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// Everything that was said of a lease.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) id: LeaseId,
    /// The key that is tied to it, if it is known to be.
    pub(super) key: Option<String>,
    /// The latest time until which it was said to live.
    pub(super) until: Instant,
    /// Its time to live.
    pub(super) ttl: Duration,
    /// It was revoked behind its keeper's back, at this time or later.
    pub(super) betrayed: Option<Instant>,
    /// When that was confirmed.
    confirmed: Option<Instant>,
    /// When it was looked up and was not there, though said to live and not betrayed.
    pub(super) missed: Option<Instant>,
    /// When it was renewed by a request that was sent after it had been revoked.
    pub(super) risen: Option<Instant>,
    pub(super) end: End,
}

/// How a lease ended, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was said to be lost.
    Lost(LeaseLost),
    /// It was revoked, at this time or later. False if that is not known to have been done.
    Revoked(Instant, bool),
    /// It was left to expire.
    Left,
}

/// What keeps a lease alive.
enum Keeper {
    Own(Lease),
    /// Of a lease that was granted by a plain call.
    Foreign(LeaseKeeper),
}

impl Keeper {
    fn id(&self) -> LeaseId {
        match self {
            Self::Own(lease) => lease.id(),
            Self::Foreign(keeper) => keeper.id(),
        }
    }

    fn state(&self) -> LeaseState {
        match self {
            Self::Own(lease) => lease.state(),
            Self::Foreign(keeper) => keeper.state(),
        }
    }

    async fn changed(&mut self) -> LeaseState {
        match self {
            Self::Own(lease) => lease.changed().await,
            Self::Foreign(keeper) => keeper.changed().await,
        }
    }
}

/// Until when a lease is said to live.
fn until(state: &LeaseState) -> Option<Instant> {
    match state {
        LeaseState::Alive { until } | LeaseState::AtRisk { until, .. } => Some(*until),
        _ => None,
    }
}

/// A holder of leases of a soak, one after the other.
pub(super) struct Holder {
    pub(super) guest: Guest,
    pub(super) rng: Rng,
    pub(super) number: usize,
}

impl Holder {
    /// Holds leases until the last write was made.
    pub(super) async fn run(mut self) -> Vec<Account> {
        let mut accounts = Vec::new();
        let rest = self.guest.rest.clone();
        while !rest.is_given() {
            let ttl = Duration::from_secs(2 + self.rng.below(LONGEST.as_secs() - 1));
            let name = format!("{} lease {}.{} of {ttl:?}", self.guest.place, self.number, accounts.len());
            match self.guest.place.within(BOUND, self.grant(ttl, accounts.len())).await {
                Some(Ok(keeper)) => {
                    self.guest.counters.granted.bump();
                    accounts.push(self.hold(name, ttl, accounts.len(), keeper).await);
                }
                Some(Err(_)) => {
                    self.guest.counters.grants_failed.bump();
                    let pause = self.guest.place.pause(Duration::from_millis(200));
                    let signal = async {
                        rest.given().await;
                    };
                    futures_lite::future::or(signal, pause).await;
                }
                None => {
                    self.guest.findings.add(format!("{name}: not granted, and no error, within {BOUND:?}"));
                    break;
                }
            }
        }
        accounts
    }

    async fn grant(&self, ttl: Duration, count: usize) -> Result<Keeper, Error> {
        let client = &self.guest.client;
        if (self.number + count) % 4 == 0 {
            let id = client.grant(ttl).timeout(TIMEOUT).await?.id;
            return Ok(Keeper::Foreign(client.keep_alive(id).timeout(TIMEOUT).await?));
        }
        let then = if self.number % 2 == 0 { OnDrop::Revoke } else { OnDrop::Expire };
        Ok(Keeper::Own(client.lease(ttl).on_drop(then).timeout(TIMEOUT).await?))
    }

    /// Holds one until it is lost, given up, or all is over.
    async fn hold(&mut self, name: String, ttl: Duration, count: usize, mut keeper: Keeper) -> Account {
        let mut account = Account {
            name,
            id: keeper.id(),
            key: None,
            until: Instant::now(),
            ttl,
            betrayed: None,
            confirmed: None,
            missed: None,
            risen: None,
            end: End::Left,
        };
        let key = format!("{LEASES}{}/{}.{count}", self.guest.place, self.number);
        let put = self.guest.client.put(key.as_str(), "alive").lease(keeper.id()).timeout(TIMEOUT);
        match self.guest.place.within(BOUND, async { put.await }).await {
            Some(Ok(_)) => account.key = Some(key),
            // The lease may be lost by now, or the servers out of reach.
            Some(Err(_)) => {}
            None => self.guest.findings.add(format!("{}: no answer to a put within {BOUND:?}", account.name)),
        }
        let last = self.guest.last.clone();
        let mut act = self.next_act();
        loop {
            let state = async { Some(keeper.changed().await) };
            let signal = async {
                last.given().await;
                None
            };
            let time = async {
                self.guest.place.until(act).await;
                None
            };
            let turn = futures_lite::future::or(state, futures_lite::future::or(signal, time)).await;
            match turn {
                Some(state) => {
                    if let Some(end) = self.learn(&mut account, &state) {
                        account.end = end;
                        return account;
                    }
                }
                None if last.is_given() => {
                    self.check(&mut account, &keeper, BOUND).await;
                    account.end = self.give_up(&mut account, keeper).await;
                    return account;
                }
                None => {
                    act = self.next_act();
                    if self.rng.chance(400) {
                        self.check(&mut account, &keeper, TIMEOUT).await;
                    }
                    if self.rng.chance(50) && account.betrayed.is_none() {
                        self.betray(&mut account).await;
                    } else if self.rng.chance(100) {
                        account.end = self.give_up(&mut account, keeper).await;
                        return account;
                    }
                }
            }
        }
    }

    /// Revokes the lease without telling its keeper, which has to find that out.
    async fn betray(&self, account: &mut Account) {
        self.guest.counters.betrayed.bump();
        account.betrayed = Some(Instant::now());
        let revoke = self.guest.client.revoke(account.id).timeout(TIMEOUT);
        match self.guest.place.within(BOUND, async { revoke.await }).await {
            Some(Ok(_)) => account.confirmed = Some(Instant::now()),
            Some(Err(_)) => {}
            None => {
                self.guest.findings.add(format!("{}: revoked without an answer or an error", account.name))
            }
        }
    }

    fn next_act(&mut self) -> Instant {
        Instant::now() + self.rng.between(Duration::from_secs(1), Duration::from_secs(15))
    }

    /// Notes what is said. Gives the end when that is it.
    fn learn(&self, account: &mut Account, state: &LeaseState) -> Option<End> {
        let counters = &self.guest.counters;
        match state {
            LeaseState::Alive { until } if *until > account.until => counters.renewed.bump(),
            LeaseState::AtRisk { .. } => counters.at_risk.bump(),
            _ => {}
        }
        if let Some(until) = until(state) {
            account.until = account.until.max(until);
            // A renewal that was sent after the end was confirmed cannot have been answered like that.
            if account.confirmed.is_some_and(|confirmed| until > confirmed + account.ttl) {
                account.risen = Some(Instant::now());
                return Some(End::Left);
            }
            return None;
        }
        let LeaseState::Lost { reason } = state else {
            self.guest.findings.add(format!("{}: unknown state {state:?}", account.name));
            return Some(End::Left);
        };
        match reason {
            LeaseLost::Expired => {
                counters.expired.bump();
                if let Some(early) = account.until.checked_duration_since(Instant::now()) {
                    let name = &account.name;
                    self.guest.findings.add(format!("{name}: said to be expired {early:?} before its time"));
                }
            }
            LeaseLost::NotFound => counters.not_found.bump(),
            other => self.guest.findings.add(format!("{}: lost, {other:?}", account.name)),
        }
        Some(End::Lost(*reason))
    }

    /// Asks the servers for the lease: as long as it is said to live, it has to be there.
    async fn check(&self, account: &mut Account, keeper: &Keeper, timeout: Duration) {
        let Some(said) = until(&keeper.state()) else { return };
        account.until = account.until.max(said);
        let asked = self.guest.client.time_to_live(account.id).keys().timeout(timeout);
        let answer = self.guest.place.within(BOUND * 2, async { asked.await }).await;
        let name = &account.name;
        match answer {
            Some(Ok(answer)) => {
                self.guest.counters.looked_up.bump();
                let now = Instant::now();
                match answer.lease {
                    _ if now >= said => {}
                    None if account.betrayed.is_none() => {
                        account.missed.get_or_insert(now);
                    }
                    None => {}
                    Some(lease) => {
                        let has = |key: &String| lease.keys.iter().any(|tied| tied == key.as_bytes());
                        if account.key.as_ref().is_some_and(|key| !has(key)) {
                            self.guest.findings.add(format!("{name}: lives without its key: {lease:?}"));
                        }
                    }
                }
            }
            // Out of reach.
            Some(Err(_)) if !self.guest.last.is_given() => {}
            Some(Err(error)) => self.guest.findings.add(format!("{name}: looked up at the end: {error}")),
            None => self.guest.findings.add(format!("{name}: looked up without an answer or an error")),
        }
    }

    /// Revokes the lease, or leaves it to expire.
    async fn give_up(&mut self, account: &mut Account, keeper: Keeper) -> End {
        let state = keeper.state();
        if let Some(end) = self.learn(account, &state) {
            return end;
        }
        let begin = Instant::now();
        let counters = self.guest.counters.clone();
        match keeper {
            Keeper::Own(lease) if self.rng.chance(500) => {
                counters.revoked.bump();
                match self.guest.place.within(BOUND, lease.revoke()).await {
                    Some(result) => End::Revoked(begin, result.is_ok()),
                    None => {
                        self.guest
                            .findings
                            .add(format!("{}: revoked without an answer or an error", account.name));
                        End::Revoked(begin, false)
                    }
                }
            }
            Keeper::Own(lease) if self.number % 2 == 0 => {
                counters.revoked.bump();
                // As it was made.
                drop(lease);
                End::Revoked(begin, false)
            }
            Keeper::Own(lease) => {
                counters.left.bump();
                let _ = lease.leave();
                End::Left
            }
            Keeper::Foreign(keeper) => {
                counters.left.bump();
                drop(keeper);
                End::Left
            }
        }
    }
}
