//! The member that a transaction is sent to is down.

use std::future::IntoFuture;
use std::time::Duration;

use etcdium_client::{Get, Outcome, Put, Txn};
use futures_lite::future::zip;

use crate::scenario::{Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, describe, failed};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new(
        "TXN-002",
        Topology::ThreeMembers,
        "a transaction that failed is not repeated elsewhere",
        |ctx| Box::pin(txn_002(ctx)),
    )
    .needs(&[Need::Control]),
    Scenario::new(
        "TXN-003",
        Topology::ThreeMembers,
        "a transaction that only reads waits for its member",
        |ctx| Box::pin(txn_003(ctx)),
    )
    .needs(&[Need::Control]),
];

const PATIENCE: Duration = Duration::from_secs(20);

async fn txn_002(ctx: Context) -> Result<(), Failure> {
    let bound = ctx.open(&Setup::new(&ctx.endpoints()[..1]))?;
    let key = ctx.key("foo");
    bound.send(Get::new(&key)).await?;
    ctx.kill(0).await?;

    let time = Duration::from_secs(1);
    let begin = ctx.now();
    let error = failed(bound.send(Txn::new().and_then([Put::new(&key, "bar")])).timeout(time).await)?;
    let took = ctx.now() - begin;
    check!(took < 4 * time, "took {took:?} instead of {time:?}");
    check!(error.is_retryable(), "not the member's absence: {}", describe(&error));

    // A subject that knows all members is free to go elsewhere; this is what it sees, now and when the member is back.
    let read = || ctx.send(Get::new(&key)).timeout(PATIENCE);
    check_eq!(read().await?.kvs, [], "the failed transaction was applied");
    ctx.restart(0).await?;
    check_eq!(bound.send(Get::new(&key)).timeout(PATIENCE).await?.kvs, [], "it sneaked in later");
    check_eq!(read().await?.kvs, [], "it sneaked in later");
    Ok(())
}

/// etcd's own client does not do this; this one treats a transaction that only reads as a read.
async fn txn_003(ctx: Context) -> Result<(), Failure> {
    let bound = ctx.open(&Setup::new(&ctx.endpoints()[..1]).timeout(PATIENCE))?;
    let key = ctx.key("foo");
    bound.send(Put::new(&key, "bar")).await?;
    let reads = [
        Txn::new().and_then([Get::new(&key)]),
        Txn::new().and_then([Txn::new().and_then([Get::new(&key)])]),
        Txn::new().and_then([Txn::new()]),
        Txn::new(),
    ];
    for txn in reads {
        let what = format!("{txn:?}");
        ctx.kill(0).await?;
        let before = bound.stats().connects;
        let restart = async {
            ctx.eventually(PATIENCE, "the client has tried to connect", || async {
                Ok((bound.stats().connects > before).then_some(()))
            })
            .await?;
            ctx.restart(0).await
        };
        let (answered, restarted) = zip(bound.send(txn).into_future(), restart).await;
        restarted?;
        match answered {
            Ok(response) => check!(response.succeeded, "{what}"),
            Err(error) => {
                check_eq!(error.outcome(), Outcome::NotApplied, "outcome of {what}");
                return Err(Failure::new(format!("{what}: {}", describe(&error))));
            }
        }
    }
    Ok(())
}
