//! When the server let go of leases: by the deletion of the keys that are tied to them, as seen without a proxy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_client::{Client, WatchItem, Watcher};

use super::findings::{Counters, Findings};
use super::lease::{Account, End, LONGEST};
use super::place::Place;
use super::plan::LEASES;
use crate::chaos::Thaws;
use crate::scenario::Failure;

/// How long the server may take to confirm the watch, and how long it may let a lease live that nobody renews: a new
/// leader gives every lease its whole time again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long a leader that was frozen may take to revoke what it takes for expired: the first sixteen may be lost in its own log,
/// and it waits 7 s for them before it goes on with the others (`ReqTimeout`, server/config/config.go).
const LETTING_GO: Duration = Duration::from_secs(10);

/// Sees the keys of leases go. Clones are the same.
#[derive(Clone)]
pub(super) struct Registrar {
    gone: Arc<Mutex<HashMap<Bytes, Instant>>>,
}

impl Registrar {
    /// Begins to look, from now on.
    pub(super) async fn open(place: &Place, client: &Client, findings: &Findings) -> Result<Self, Failure> {
        let asked = client.watch(LEASES).prefix().no_puts();
        let watcher = place.within(PATIENCE, async { asked.await }).await;
        let watcher = watcher
            .ok_or_else(|| Failure::new("the watch of leases is not confirmed"))?
            .map_err(|error| Failure::new(format!("the watch of leases: {error}")))?;
        let registrar = Self { gone: Arc::default() };
        let task = registrar.clone().look(watcher, findings.clone());
        place.spawn(task).map_err(|error| Failure::new(format!("cannot start a task: {error}")))?;
        Ok(registrar)
    }

    async fn look(self, mut watcher: Watcher, findings: Findings) {
        while let Some(item) = watcher.next().await {
            let seen = Instant::now();
            match item {
                Ok(WatchItem::Events { events, .. }) => {
                    let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                    for event in events {
                        gone.insert(Bytes::copy_from_slice(&event.kv.key), seen);
                    }
                }
                Ok(_) => {}
                Err(error) => findings.add(format!("the watch of leases ended: {error}")),
            }
        }
    }

    fn gone(&self, key: &str) -> Option<Instant> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(key.as_bytes()).copied()
    }

    /// Judges what was said of leases. Waits for those that have to expire.
    pub(super) async fn judge(
        &self,
        place: &Place,
        client: &Client,
        accounts: &[Account],
        (findings, counters, thaws): (&Findings, &Counters, &Thaws),
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + LONGEST + PATIENCE;
        let left = loop {
            let living = client.leases().timeout(PATIENCE).await?.leases;
            let left: Vec<&Account> =
                accounts.iter().filter(|account| living.contains(&account.id)).collect();
            if left.is_empty() || Instant::now() >= deadline {
                break left;
            }
            place.pause(LOOK_AGAIN).await;
        };
        for Account { name, id, end, .. } in left {
            findings.add(format!("{name}: {end:?}, as the client said; the server still has it ({id})"));
        }
        // What the store has no more by now was deleted; it may take a moment to be told here.
        let expected = |account: &&Account| account.key.is_some();
        let mut missing: Vec<&Account> = accounts.iter().filter(expected).collect();
        loop {
            missing.retain(|account| account.key.as_deref().is_some_and(|key| self.gone(key).is_none()));
            if missing.is_empty() || Instant::now() >= deadline {
                break;
            }
            place.pause(LOOK_AGAIN).await;
        }
        for Account { name, end, .. } in missing {
            findings.add(format!("{name}: {end:?}, as the client said; the server did not delete its key"));
        }
        for account in accounts {
            // A leader that was frozen answers renewals by what it last knew, too.
            match account.risen {
                Some(at) if just_thawed(thaws, at, at) => counters.let_go.bump(),
                Some(at) => findings.add(format!(
                    "{}: renewed after it was revoked, at {:.3} s",
                    account.name,
                    findings.seconds(at)
                )),
                None => {}
            }
            let Some(early) = self.early(account, thaws) else { continue };
            match early {
                Early::AfterThaw => counters.let_go.bump(),
                Early::By(gone, long) => findings.add(format!(
                    "{}: said to live until {long:?} after the server let it go at {:.3} s; {:?}",
                    account.name,
                    findings.seconds(gone),
                    account.end
                )),
            }
        }
        Ok(())
    }

    /// How much too early the server let go of a lease, if it did, by the deletion of its key or by a look at the lease.
    fn early(&self, account: &Account, thaws: &Thaws) -> Option<Early> {
        let told = account.key.as_deref().and_then(|key| self.gone(key));
        // When a lease went that was looked up is only known to be later than its last renewal.
        let renewed = account.until.checked_sub(account.ttl)?;
        let (since, gone) = told.map(|gone| (gone, gone)).or(Some((renewed, account.missed?)))?;
        let revoked = matches!(account.end, End::Revoked(at, _) if at <= gone)
            || account.betrayed.is_some_and(|at| at <= gone);
        let long = account.until.checked_duration_since(gone).filter(|_| !revoked)?;
        Some(if just_thawed(thaws, since, gone) { Early::AfterThaw } else { Early::By(gone, long) })
    }
}

/// Whether a leader that was frozen went on not long before something that happened between these times.
fn just_thawed(thaws: &Thaws, from: Instant, to: Instant) -> bool {
    from.checked_sub(LETTING_GO).is_some_and(|from| thaws.any_between(from, to))
}

/// Why a lease went before the time it was said to live until.
enum Early {
    /// A leader that was frozen had just gone on.
    AfterThaw,
    /// It went then, so long before, and there is no excuse.
    By(Instant, Duration),
}
