//! The soak: watches, leases and writers on every runtime while members are killed, stopped and cut off at random. In the
//! end all that was told has to be what happened, by the history of the server.

mod findings;
mod follower;
mod history;
mod lease;
mod party;
mod place;
mod plan;
mod registrar;
mod summary;
mod verdict;
mod watch;
mod writer;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcdium_client::{Client, Op, Put, Revision};

use self::findings::{Counters, Findings};
use self::history::History;
use self::party::{Invitation, Report};
use self::place::{Place, signal};
use self::plan::{KEYS, SPACES, key, last_key};
use self::registrar::Registrar;
use crate::chaos::Chaos;
use crate::etcd::ClusterConfig;
use crate::scenario::{Failure, Runtime};

pub use self::plan::Plan;
pub use self::summary::Summary;

/// How long the server may take for what is done through no proxy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Soaks. `progress` is told now and then how it stands.
///
/// # Errors
/// The servers cannot be started, or do not recover. Broken promises of the client are no errors: they stand in the
/// summary.
pub fn run(plan: &Plan, progress: impl Fn(&str)) -> Result<Summary, Failure> {
    let config =
        ClusterConfig::three().version(plan.etcd.clone()).flag("watch-progress-notify-interval", "2s");
    let cluster = Arc::new(config.start()?);
    let version = cluster.etcd().to_string();
    progress(&format!("{version}, seed {}", plan.seed));
    let proxies = Chaos::proxies(&cluster).map_err(|error| Failure::new(format!("proxies: {error}")))?;
    let place = Place::on(Runtime::Smol);
    let control = place.client(cluster.endpoints(), plan.seed)?;
    smol::block_on(prepare(&control))?;

    let (findings, counters) = (Findings::new(), Counters::default());
    let registrar = smol::block_on(Registrar::open(&place, &control, &findings))?;
    let ((rest_now, rest), (last_now, last)) = (signal(), signal());
    let clients = Arc::new(Mutex::new(Vec::<Client>::new()));
    let invitation = Invitation {
        plan: plan.clone(),
        endpoints: proxies.iter().map(crate::proxy::Proxy::endpoint).collect(),
        findings: findings.clone(),
        counters: counters.clone(),
        progress: cluster.etcd().version.progress_keeps_order(),
        rest,
        last,
        clients: Arc::clone(&clients),
    };
    let (reports, reported) = channel();
    let memory = summary::resident();
    let begin = Instant::now();
    for (index, runtime) in Place::ALL.into_iter().enumerate() {
        let started = party::start(runtime, index, invitation.clone(), reports.clone());
        started.map_err(|error| Failure::new(format!("{runtime}: {error}")))?;
    }
    drop(reports);
    let chaos = Chaos::start(Arc::clone(&cluster), Arc::clone(&proxies), plan.seed);
    let chaos = chaos.map_err(|error| Failure::new(format!("chaos: {error}")))?;
    let thaws = chaos.thaws();

    // A party that ends early has failed.
    let mut early = None;
    while early.is_none() && begin.elapsed() < plan.time {
        let wait = plan.time.saturating_sub(begin.elapsed()).min(Duration::from_secs(30));
        match reported.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {
                let (writes, events) = (counters.writes.get(), counters.events.get());
                let (found, done) = (findings.count(), chaos.performed().len());
                let at = begin.elapsed().as_secs();
                let grown = summary::resident().saturating_sub(memory) >> 20;
                let clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
                let unread: usize = clients.iter().map(|client| client.stats().queued_bytes).sum();
                let unread = unread >> 20;
                progress(&format!(
                    "{at} s: {writes} writes, {events} events, {done} steps, {grown} MiB more, {unread} MiB \
                     unread, {found} findings"
                ));
            }
            Err(RecvTimeoutError::Disconnected) => early = Some(Failure::new("every party panicked")),
            Ok(Err(failure)) => early = Some(failure),
            Ok(Ok(report)) => early = Some(Failure::new(format!("{} ended early", report.runtime))),
        }
    }
    rest_now.fire(());
    let performed = chaos.stop()?;
    if let Some(failure) = early {
        return Err(failure);
    }
    let healed = Instant::now();
    last_now.fire(smol::block_on(write_last(&control))?);
    let mut ended = Vec::new();
    while ended.len() < Place::ALL.len() {
        match reported.recv_timeout(party::END.saturating_sub(healed.elapsed())) {
            Ok(report) => ended.push(report?),
            Err(error) => {
                let there: Vec<String> = ended.iter().map(|report| report.runtime.to_string()).collect();
                findings.add(format!("of the parties only {there:?} came to an end: {error}"));
                break;
            }
        }
    }
    let caught_up = healed.elapsed();
    let grown = summary::resident().saturating_sub(memory);
    let history = smol::block_on(History::read(&place, &control))?;
    let accounts: Vec<_> = ended.iter().flat_map(|report| report.accounts.iter().cloned()).collect();
    smol::block_on(registrar.judge(&place, &control, &accounts, (&findings, &counters, &thaws)))?;
    control.close();
    judge(&history, &ended, &findings, &counters);
    let bound = summary::memory_bound(&ended);
    if grown > bound {
        findings.add(format!("the memory grew by {grown} bytes, more than {bound}"));
    }
    Ok(Summary::new(summary::Facts {
        plan: plan.clone(),
        etcd: version,
        counters,
        findings,
        performed,
        reports: ended,
        revisions: history.end(),
        history: history.events(),
        grown,
        caught_up,
    }))
}

/// Something to be deleted, and to watch from.
async fn prepare(control: &Client) -> Result<(), Failure> {
    for space in 0..SPACES {
        let puts =
            (0..KEYS).step_by(2).map(|number| Op::from(Put::new(key(space, number), "at the beginning")));
        control.txn().and_then(puts).timeout(PATIENCE).await?;
    }
    Ok(())
}

/// Writes to every group, at one revision.
async fn write_last(control: &Client) -> Result<Revision, Failure> {
    let begin = Instant::now();
    loop {
        let puts = (0..SPACES).map(|space| Op::from(Put::new(last_key(space), "at the end")));
        match control.txn().and_then(puts).timeout(PATIENCE).await {
            Ok(answer) => return Ok(answer.header.revision),
            // To write it twice does no harm.
            Err(_) if begin.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn judge(history: &History, reports: &[Report], findings: &Findings, counters: &Counters) {
    for report in reports {
        report.lives.iter().for_each(|life| counters.bare.add(verdict::judge_life(history, life, findings)));
        report.mirrors.iter().for_each(|mirror| verdict::judge_mirror(history, mirror, findings));
        verdict::judge_writes(history, &report.written, findings);
    }
}
