//! One member of three is left.

use std::time::Duration;

use etcdium_client::{Get, Outcome, Put};

use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, failed, only, text,
};

pub(super) const CASES: &[Scenario] = &[Scenario::new(
    "KV-027",
    Topology::ThreeMembers,
    "without a quorum serializable reads go on, linearizable ones do not",
    |ctx| Box::pin(kv_027(ctx)),
)
.needs(&[Need::Control])];

async fn kv_027(ctx: Context) -> Result<(), Failure> {
    let survivor = ctx.open(&Setup::new(&ctx.endpoints()[2..]))?;
    let key = ctx.key("foo");
    survivor.send(Put::new(&key, "bar")).await?;
    ctx.kill(0).await?;
    ctx.kill(1).await?;

    let kv = only(survivor.send(Get::new(&key).serializable()).await?)?;
    check_eq!(text(&kv.value), "bar");
    let time = Duration::from_secs(1);
    let begin = ctx.now();
    let error = failed(survivor.send(Get::new(&key)).timeout(time).await)?;
    let took = ctx.now() - begin;
    check!(took < 4 * time, "took {took:?} instead of {time:?}");
    check!(error.is_retryable(), "it may succeed later: {error}");
    check_eq!(error.outcome(), Outcome::NotApplied);
    // The failure of the one leaves the other alone.
    let kv = only(survivor.send(Get::new(&key).serializable()).await?)?;
    check_eq!(text(&kv.value), "bar");
    Ok(())
}
