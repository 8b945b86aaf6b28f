//! Revisions never go back, whatever happens to the leader.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use etcdium_client::{Error, Get, Put, Revision};
use futures_lite::future::zip;

use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, describe, join_all};

pub(super) const CASES: &[Scenario] = &[Scenario::new(
    "KV-043",
    Topology::ThreeMembers,
    "linearizable reads never go back in time while leaders restart",
    |ctx| Box::pin(kv_043(ctx)),
)
.needs(&[Need::Control])];

/// How often the leader is restarted.
const RESTARTS: usize = 3;
/// How many puts and how many reads have to succeed before, between and after restarts.
const PROGRESS: usize = 30;
const TIMEOUT: Duration = Duration::from_secs(1);
/// So that all servers and clients together leave the leader its heartbeats on a small machine.
const PAUSE: Duration = Duration::from_millis(10);

async fn kv_043(ctx: Context) -> Result<(), Failure> {
    let state = State { key: ctx.key("foo"), ..State::default() };
    let puts = join_all((0..2).map(|worker| put(&ctx, worker, &state)));
    let gets = join_all((0..4).map(|worker| get(&ctx, worker, &state)));
    let faults = async {
        let restarted = restart_leaders(&ctx, &state).await;
        state.over.store(true, Ordering::Relaxed);
        restarted
    };
    let ((puts, gets), restarted) = zip(zip(puts, gets), faults).await;
    puts.into_iter().collect::<Result<(), _>>()?;
    let seen = gets.into_iter().collect::<Result<Vec<Revision>, _>>()?;
    restarted?;
    let last = ctx.send(Get::new(&state.key)).await?.header.revision;
    check!(seen.iter().all(|&seen| last >= seen), "the revision fell from {seen:?} to {last}");
    Ok(())
}

/// What the workers share.
#[derive(Default)]
struct State {
    key: String,
    over: AtomicBool,
    /// How many puts and reads succeeded.
    puts: AtomicUsize,
    gets: AtomicUsize,
}

/// Waits until more puts and reads have succeeded, from all workers together.
async fn progress(ctx: &Context, state: &State) -> Result<(), Failure> {
    let counts = || (state.puts.load(Ordering::Relaxed), state.gets.load(Ordering::Relaxed));
    let before = counts();
    ctx.eventually(Duration::from_secs(20), "puts and reads go on", || async {
        let now = counts();
        Ok((now.0 >= before.0 + PROGRESS && now.1 >= before.1 + PROGRESS).then_some(()))
    })
    .await
}

async fn restart_leaders(ctx: &Context, state: &State) -> Result<(), Failure> {
    for _ in 0..RESTARTS {
        progress(ctx, state).await?;
        let leader = ctx.leader().await?;
        ctx.kill(leader).await?;
        // The others go on without it before it comes back.
        ctx.leader().await?;
        ctx.restart(leader).await?;
    }
    progress(ctx, state).await
}

/// Puts by one member after the other until it is over.
async fn put(ctx: &Context, worker: usize, state: &State) -> Result<(), Failure> {
    for turn in worker.. {
        if state.over.load(Ordering::Relaxed) {
            break;
        }
        let put = ctx.send(Put::new(&state.key, turn.to_string())).endpoint(&ctx.endpoints()[turn % 3]);
        match put.timeout(TIMEOUT).await {
            Ok(_) => {
                state.puts.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tolerate(&error)?,
        }
        ctx.pause(PAUSE).await;
    }
    Ok(())
}

/// Reads from one member after the other until it is over; the last revision.
async fn get(ctx: &Context, worker: usize, state: &State) -> Result<Revision, Failure> {
    let mut last = Revision::ZERO;
    for turn in worker.. {
        if state.over.load(Ordering::Relaxed) {
            break;
        }
        let endpoint = &ctx.endpoints()[turn % 3];
        match ctx.send(Get::new(&state.key)).endpoint(endpoint).timeout(TIMEOUT).await {
            Ok(response) => {
                let revision = response.header.revision;
                check!(revision >= last, "the revision fell from {last} to {revision} at {endpoint}");
                last = revision;
                state.gets.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tolerate(&error)?,
        }
        ctx.pause(PAUSE).await;
    }
    Ok(last)
}

/// With its leader or its own member gone, a call may fail; but then it says that it may succeed later.
fn tolerate(error: &Error) -> Result<(), Failure> {
    check!(error.is_retryable(), "not due to a restart: {}", describe(error));
    Ok(())
}
