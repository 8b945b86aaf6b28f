//! Leases that are kept alive while members are down.

use std::time::Duration;

use etcdium_client::{ErrorKind, EtcdError, LeaseLost, LeaseState};

use super::calls::count;
use super::kept::renewed;
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, cause, check, check_eq, failed, some,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("LEASE-007", Topology::ThreeMembers, "the only known member is down for a while", |ctx| {
        Box::pin(lease_007(ctx))
    })
    .needs(&[Need::Control, Need::Client]),
    Scenario::new("LEASE-012", Topology::ThreeMembers, "revoked elsewhere while its member is down", |ctx| {
        Box::pin(lease_012(ctx))
    })
    .needs(&[Need::Control, Need::Client]),
    Scenario::new("LEASE-014", Topology::OneMember, "the server is gone for good", |ctx| {
        Box::pin(lease_014(ctx))
    })
    .needs(&[Need::Control, Need::Client]),
    Scenario::new("LEASE-031", Topology::ThreeMembers, "a member without a leader renews nothing", |ctx| {
        Box::pin(lease_031(ctx))
    })
    .variant("no-leader")
    .needs(&[Need::Control, Need::Client]),
    Scenario::new("LEASE-039", Topology::ThreeMembers, "the leader is stopped in the middle of it", |ctx| {
        Box::pin(lease_039(ctx))
    })
    .needs(&[Need::Control, Need::Client, Need::Flags]),
    Scenario::new(
        "LEASE-052",
        Topology::OneMember,
        "the network falls silent for a while, then for good",
        |ctx| Box::pin(lease_052(ctx)),
    )
    .needs(&[Need::Client, Need::Proxy]),
];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn lease_007(ctx: Context) -> Result<(), Failure> {
    let member = (ctx.leader().await? + 1) % 3;
    let subject = ctx.open(&Setup::new(&ctx.endpoints()[member..=member]))?;
    let mut lease = subject.client()?.lease(secs(30)).await?;
    let LeaseState::Alive { until } = lease.changed().await else {
        return Err(Failure::new("a new lease is not alive"));
    };
    ctx.kill(member).await?;
    ctx.pause(secs(11)).await;
    check_eq!(lease.state(), LeaseState::Alive { until });
    ctx.restart(member).await?;
    renewed(&ctx, &mut lease, until).await?;
    subject.close();
    check_eq!(lease.lost().await, LeaseLost::Closed);
    Ok(())
}

async fn lease_012(ctx: Context) -> Result<(), Failure> {
    let leader = ctx.leader().await?;
    let (member, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let subject = ctx.open(&Setup::new(&ctx.endpoints()[member..=member]))?;
    let mut lease = subject.client()?.lease(secs(10)).await?;
    let begin = ctx.now();
    lease.changed().await;
    ctx.terminate(member).await?;
    let elsewhere = ctx.open(&Setup::new(&ctx.endpoints()[other..=other]))?;
    elsewhere.client()?.revoke(lease.id()).await?;
    ctx.restart(member).await?;
    let reason = ctx.within(secs(20), lease.lost()).await?;
    // On a busy machine its time may have passed before the member was back.
    let late = ctx.now() - begin >= secs(10);
    check!(reason == LeaseLost::NotFound || (late && reason == LeaseLost::Expired), "{reason:?}");
    Ok(())
}

async fn lease_014(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut lease = client.lease(secs(5)).await?;
    lease.changed().await;
    ctx.kill(0).await?;
    let begin = ctx.now();
    check_eq!(ctx.within(secs(10), lease.lost()).await?, LeaseLost::Expired);
    check!(ctx.now() - begin <= secs(7), "noticed after {:?}", ctx.now() - begin);
    check_eq!(lease.changed().await, LeaseState::Lost { reason: LeaseLost::Expired });
    ctx.restart(0).await?;
    check_eq!(lease.state(), LeaseState::Lost { reason: LeaseLost::Expired });
    Ok(())
}

/// Renewals always ask for a member with a leader, so there is only the form in which the refusal comes at once. It is
/// tried again until the time-out.
async fn lease_031(ctx: Context) -> Result<(), Failure> {
    const SHORT: Duration = secs(1);
    let leader = ctx.leader().await?;
    let (member, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let subject = ctx.open(&Setup::new(&ctx.endpoints()[member..=member]))?;
    let client = subject.client()?;
    let id = client.grant(secs(60)).await?.id;
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(60));
    ctx.kill(leader).await?;
    ctx.kill(third).await?;
    for once in [true, false] {
        ctx.eventually(secs(30), "the member says that it has no leader", || async {
            let error = failed(if once {
                client.keep_alive_once(id).timeout(SHORT).await.map(drop)
            } else {
                client.keep_alive(id).timeout(SHORT).await.map(drop)
            })?;
            check_eq!(error.kind(), &ErrorKind::Timeout { after: SHORT });
            Ok((cause(&error) == Some(EtcdError::NoLeader)).then_some(()))
        })
        .await?;
    }
    ctx.restart(leader).await?;
    ctx.restart(third).await?;
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(60));
    client.revoke(id).await?;
    Ok(())
}

/// The client knows all members: its lease does not depend on the one that is stopped.
async fn lease_039(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut lease = client.lease(secs(10)).await?;
    client.put(ctx.key("foo"), "bar").lease(lease.id()).await?;
    let LeaseState::Alive { until } = lease.changed().await else {
        return Err(Failure::new("a new lease is not alive"));
    };
    let leader = ctx.leader().await?;
    ctx.freeze(leader).await?;
    let after = renewed(&ctx, &mut lease, until).await;
    ctx.thaw(leader).await?;
    let after = after?;
    // What was promised holds.
    let wait = (after - Duration::from_millis(500)).saturating_duration_since(ctx.now());
    ctx.pause(wait).await;
    check!(lease.is_alive(), "{lease:?}");
    let known = ctx
        .eventually(secs(20), "a member answers", || async {
            match client.time_to_live(lease.id()).await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if error.etcd() == Some(EtcdError::LeaseNotFound) => Err(error.into()),
                Err(_) => Ok(None),
            }
        })
        .await?;
    some(known.lease, "the lease at its last promised time")?;
    check_eq!(count(&ctx, "foo").await?, 1);
    lease.revoke().await?;
    Ok(())
}

async fn lease_052(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut lease = client.lease(secs(8)).await?;
    lease.changed().await;
    ctx.proxy(0)?.blackhole();
    let at_risk = async {
        loop {
            match lease.changed().await {
                LeaseState::AtRisk { until, .. } => return Ok(until),
                LeaseState::Lost { reason } => return Err(Failure::new(format!("lost: {reason:?}"))),
                _ => {}
            }
        }
    };
    let until = ctx.within(secs(10), at_risk).await??;
    heal(&ctx)?;
    renewed(&ctx, &mut lease, until).await?;
    check!(client.time_to_live(lease.id()).await?.lease.is_some(), "the same lease lives on");
    // Silence past its time.
    ctx.proxy(0)?.blackhole();
    check_eq!(ctx.within(secs(20), lease.lost()).await?, LeaseLost::Expired);
    heal(&ctx)?;
    check_eq!(lease.state(), LeaseState::Lost { reason: LeaseLost::Expired });
    Ok(())
}

fn heal(ctx: &Context) -> Result<(), Failure> {
    ctx.proxy(0)?.heal().map_err(|error| Failure::new(format!("the proxy: {error}")))
}
