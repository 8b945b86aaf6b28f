//! Everything that one runtime does in a soak, on a thread of its own, with one client.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use etcdium_client::{Client, Revision, Stats};
use etcdium_sim::rng::Rng;

use super::findings::{Counters, Findings};
use super::follower::{Follower, Mirror};
use super::lease::{Account, Holder};
use super::place::{Place, Signal, Task};
use super::plan::{Plan, ROOT, SPACES, Shape, space};
use super::watch::{CATCH_UP, Life, Observer};
use super::writer::{Writer, Written};
use crate::scenario::{Failure, Runtime};

/// How long a client may take to put everything away.
const CLEAN: Duration = Duration::from_secs(20);
/// How often a client is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a party may take after the last write, in all.
pub(super) const END: Duration = Duration::from_secs(360);

/// What every task of a party has.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) place: Place,
    pub(super) client: Client,
    pub(super) findings: Findings,
    pub(super) counters: Counters,
    /// The servers can tell the progress of watches.
    pub(super) progress: bool,
    /// Writers end, and nothing is made again.
    pub(super) rest: Signal<()>,
    /// The last write was made, at this revision, and all is well.
    pub(super) last: Signal<Revision>,
}

/// What a party has to show in the end.
pub(super) struct Report {
    pub(super) runtime: Runtime,
    pub(super) lives: Vec<Life>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) written: Vec<Written>,
    pub(super) accounts: Vec<Account>,
    pub(super) stats: Stats,
}

/// What a party is told.
#[derive(Clone)]
pub(super) struct Invitation {
    pub(super) plan: Plan,
    pub(super) endpoints: Vec<String>,
    pub(super) findings: Findings,
    pub(super) counters: Counters,
    /// The servers can tell the progress of watches.
    pub(super) progress: bool,
    pub(super) rest: Signal<()>,
    pub(super) last: Signal<Revision>,
    /// The clients of all parties.
    pub(super) clients: Arc<Mutex<Vec<Client>>>,
}

/// Starts the party of a runtime. It sends its report in the end.
pub(super) fn start(
    runtime: Runtime,
    index: usize,
    invitation: Invitation,
    reports: Sender<Result<Report, Failure>>,
) -> std::io::Result<()> {
    let body = move || {
        let report = runtime.block_on(hold(runtime, index, invitation));
        // Nobody may listen any more.
        let _ = reports.send(report);
    };
    thread::Builder::new().name(format!("soak {runtime}")).spawn(body).map(drop)
}

/// This party's part of so many.
fn share(total: usize, index: usize) -> usize {
    let parties = Place::ALL.len();
    total / parties + usize::from(index < total % parties)
}

async fn hold(runtime: Runtime, index: usize, invitation: Invitation) -> Result<Report, Failure> {
    let Invitation { plan, endpoints, findings, counters, progress, rest, last, clients } = invitation;
    let place = Place::on(runtime);
    let client = place.client(endpoints.as_slice(), plan.seed ^ index as u64)?;
    clients.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
    let guest =
        Guest { place: place.clone(), client: client.clone(), findings, counters, progress, rest, last };
    let cannot = |error| Failure::new(format!("{runtime}: cannot start a task: {error}"));

    let (mut watches, mut followers) = (Vec::new(), Vec::new());
    let (mut writers, mut holders) = (Vec::new(), Vec::new());
    for number in 0..share(plan.watches, index) {
        let mut rng = Rng::of(&[plan.seed, index as u64, number as u64]);
        let guest = guest.clone();
        if number % 10 == 9 {
            let group = rng.index(SPACES + 1);
            let prefix = if group == SPACES { ROOT.to_owned() } else { space(group) };
            let follower = Follower { guest, prefix, rng, number };
            followers.push(place.spawn(follower.run()).map_err(cannot)?);
        } else {
            let observer = Observer { guest, shape: Shape::draw(&mut rng), rng, number };
            watches.push(place.spawn(observer.run()).map_err(cannot)?);
        }
    }
    for number in 0..share(plan.writers, index) {
        let rng = Rng::of(&[plan.seed, index as u64, number as u64, 1]);
        let writer = Writer { guest: guest.clone(), rng, number: index * plan.writers + number };
        writers.push(place.spawn(writer.run()).map_err(cannot)?);
    }
    for number in 0..share(plan.leases, index) {
        let rng = Rng::of(&[plan.seed, index as u64, number as u64, 2]);
        let holder = Holder { guest: guest.clone(), rng, number };
        holders.push(place.spawn(holder.run()).map_err(cannot)?);
    }

    let _ = guest.last.given().await;
    let deadline = Instant::now() + END - CATCH_UP;
    let written = joined(&guest, deadline, "writer", writers).await;
    let lives = joined(&guest, deadline, "watch", watches).await;
    let mirrors = joined(&guest, deadline, "follower", followers).await;
    let accounts = joined(&guest, deadline, "lease", holders).await;
    let stats = client.stats();
    put_away(&guest).await;
    Ok(Report { runtime, lives, mirrors, written, accounts, stats })
}

/// What the tasks give, as far as they end by then.
async fn joined<T>(guest: &Guest, deadline: Instant, what: &str, tasks: Vec<Task<Vec<T>>>) -> Vec<T> {
    let mut results = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let late = async {
            guest.place.until(deadline).await;
            Err("does not end")
        };
        let ended = async { task.join().await.ok_or("panicked") };
        match futures_lite::future::or(ended, late).await {
            Ok(result) => results.extend(result),
            Err(what_else) => guest.findings.add(format!("{} {what} {number} {what_else}", guest.place)),
        }
    }
    results
}

/// Sees that nothing is left of all the watches, and closes the client.
async fn put_away(guest: &Guest) {
    let Guest { place, client, findings, .. } = guest;
    let left = |stats: &Stats| (stats.watches, stats.watch_streams, stats.streams, stats.ops);
    if !becomes(place, || left(&client.stats()) == (0, 0, 0, 0)).await {
        findings.add(format!("{place}: left over when all had ended: {:?}", client.stats()));
    }
    client.close();
    let closed = |stats: &Stats| stats.connections == 0 && stats.in_flight == 0 && stats.waiting == 0;
    if !becomes(place, || closed(&client.stats())).await {
        findings.add(format!("{place}: left over when the client was closed: {:?}", client.stats()));
    }
}

async fn becomes(place: &Place, holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + CLEAN;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        place.pause(LOOK_AGAIN).await;
    }
    true
}
