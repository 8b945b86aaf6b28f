//! Leases that are kept alive, while all is well.

use std::time::{Duration, Instant};

use etcdium_client::{ErrorKind, EtcdError, Lease, LeaseId, LeaseLost, LeaseState, OnDrop};

use super::calls::count;
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, describe, failed, refused, some,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("LEASE-004", Topology::ThreeMembers, "one renewal, of a lease and of none", |ctx| {
        Box::pin(lease_004(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-006", Topology::OneMember, "three renewals and more to come", |ctx| {
        Box::pin(lease_006(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-010", Topology::OneMember, "nobody reads, and it is renewed in its time", |ctx| {
        Box::pin(lease_010(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-019", Topology::OneMember, "a closed client keeps nothing alive", |ctx| {
        Box::pin(lease_019(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-025", Topology::OneMember, "one renewal gives a lease its time again", |ctx| {
        Box::pin(lease_025(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-025", Topology::ThreeMembers, "one renewal gives a lease its time again", |ctx| {
        Box::pin(lease_025(ctx))
    })
    .variant("3N")
    .needs(&[Need::Client]),
    Scenario::new("LEASE-030", Topology::ThreeMembers, "renewed again and again, then revoked", |ctx| {
        Box::pin(lease_030(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-042", Topology::ThreeMembers, "keys go when their lease does", |ctx| {
        Box::pin(lease_042(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-044", Topology::ThreeMembers, "whoever waits hears of the close", |ctx| {
        Box::pin(lease_044(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-046", Topology::OneMember, "one renewal of a revoked lease", |ctx| {
        Box::pin(lease_046(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new(
        "LEASE-047",
        Topology::OneMember,
        "renewals one by one leave nothing on the server",
        |ctx| Box::pin(lease_047(ctx)),
    )
    .needs(&[Need::Client, Need::Metrics]),
    Scenario::new("LEASE-050", Topology::None, "nobody listens", |ctx| Box::pin(lease_050(ctx)))
        .needs(&[Need::Client]),
    Scenario::new("LEASE-056", Topology::OneMember, "ids, times, and a revoked lease", |ctx| {
        Box::pin(lease_056(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-057", Topology::OneMember, "the examples of the Go client", |ctx| {
        Box::pin(lease_057(ctx))
    })
    .needs(&[Need::Client]),
];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits for a renewal: for the time until which the lease lives to be later than `than`.
pub(super) async fn renewed(ctx: &Context, lease: &mut Lease, than: Instant) -> Result<Instant, Failure> {
    let renewal = async {
        loop {
            match lease.changed().await {
                LeaseState::Alive { until } if until > than => return Ok(until),
                LeaseState::Lost { reason } => return Err(Failure::new(format!("lost: {reason:?}"))),
                _ => {}
            }
        }
    };
    ctx.within(secs(20), renewal).await?
}

/// There is no lease of the id 0 in this client: its type has none. An id that nobody has stands for it.
async fn lease_004(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = client.grant(secs(60)).await?.id;
    check_eq!(client.keep_alive_once(id).await?.id, id);
    client.revoke(id).await?;
    check_eq!(LeaseId::new(0), None);
    let nobodys = super::calls::own_id(&ctx, 5)?;
    refused(client.keep_alive_once(nobodys).await, EtcdError::LeaseNotFound)?;
    refused(client.keep_alive(nobodys).await, EtcdError::LeaseNotFound)?;
    Ok(())
}

async fn lease_006(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut lease = client.lease(secs(3)).await?;
    let mut until = ctx.now();
    for _ in 0..3 {
        until = renewed(&ctx, &mut lease, until).await?;
    }
    check!(lease.is_alive());
    lease.revoke().await?;
    Ok(())
}

/// etcd tells what is left; between renewals that goes down, which a tight loop of renewals would not let it.
async fn lease_010(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let lease = client.lease(secs(30)).await?;
    ctx.pause(secs(3)).await;
    let left = some(client.time_to_live(lease.id()).await?.lease, "the lease")?.remaining;
    check!(left < secs(29), "it was renewed too early: {left:?}");
    check!(lease.is_alive());
    lease.revoke().await?;
    Ok(())
}

/// The Go client has an error of its own for this, that its loop is halted. Ours says what is so: the client is closed.
async fn lease_019(ctx: Context) -> Result<(), Failure> {
    let id = ctx.client()?.grant(secs(60)).await?.id;
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let client = subject.client()?;
    client.get(ctx.key("foo")).await?;
    client.close();
    for error in [failed(client.keep_alive(id).await)?, failed(client.keep_alive_once(id).await)?] {
        check_eq!(error.kind(), &ErrorKind::Closed);
    }
    ctx.client()?.revoke(id).await?;
    Ok(())
}

async fn lease_025(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = client.grant(secs(3)).await?.id;
    ctx.pause(secs(2)).await;
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(3));
    ctx.pause(Duration::from_millis(1_500)).await;
    let known = some(client.time_to_live(id).await?.lease, "the lease, after its first time has passed")?;
    check!(known.remaining < secs(2), "{:?} left", known.remaining);
    client.revoke(id).await?;
    Ok(())
}

async fn lease_030(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let granted = client.grant(secs(3)).await?;
    client.put(ctx.key("foo"), "bar").lease(granted.id).await?;
    for _ in 0..3 {
        ctx.pause(granted.ttl / 2).await;
        let renewal = client.keep_alive_once(granted.id).await?;
        check_eq!((renewal.id, renewal.ttl), (granted.id, granted.ttl));
    }
    check_eq!(count(&ctx, "foo").await?, 1);
    client.revoke(granted.id).await?;
    check_eq!(count(&ctx, "foo").await?, 0);
    Ok(())
}

async fn until_gone(ctx: &Context, name: &str) -> Result<(), Failure> {
    ctx.eventually(secs(20), "the key goes with its lease", || async {
        Ok((count(ctx, name).await? == 0).then_some(()))
    })
    .await
}

async fn lease_042(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    // It lapses.
    let id = client.grant(secs(2)).await?.id;
    client.put(ctx.key("lapsed"), "v").lease(id).await?;
    check_eq!(count(&ctx, "lapsed").await?, 1);
    until_gone(&ctx, "lapsed").await?;
    // It is revoked.
    let id = client.grant(secs(60)).await?.id;
    client.put(ctx.key("revoked"), "v").lease(id).await?;
    let known = some(client.time_to_live(id).keys().await?.lease, "the lease")?;
    check_eq!((known.granted, known.keys.len()), (secs(60), 1));
    client.revoke(id).await?;
    check_eq!(count(&ctx, "revoked").await?, 0);
    // It is kept, then no longer.
    let id = client.grant(secs(2)).await?.id;
    client.put(ctx.key("kept"), "v").lease(id).await?;
    let keeper = client.keep_alive(id).await?;
    ctx.pause(secs(5)).await;
    check_eq!(count(&ctx, "kept").await?, 1);
    check!(keeper.is_alive());
    drop(keeper);
    until_gone(&ctx, "kept").await?;
    // It is dropped to be revoked.
    let lease = client.lease(secs(60)).on_drop(OnDrop::Revoke).await?;
    client.put(ctx.key("dropped"), "v").lease(lease.id()).await?;
    drop(lease);
    until_gone(&ctx, "dropped").await
}

async fn lease_044(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let client = subject.client()?;
    let lease = client.lease(secs(60)).await?;
    let mut keeper = client.keep_alive(lease.id()).await?;
    keeper.changed().await;
    let closes = async {
        client.close();
        keeper.changed().await
    };
    let (reason, state) = futures_lite::future::zip(lease.lost(), closes).await;
    check_eq!(reason, LeaseLost::Closed);
    check_eq!(state, LeaseState::Lost { reason: LeaseLost::Closed });
    ctx.client()?.revoke(lease.id()).await?;
    Ok(())
}

async fn lease_046(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = client.grant(secs(60)).await?.id;
    client.revoke(id).await?;
    let error = refused(client.keep_alive_once(id).await, EtcdError::LeaseNotFound)?;
    check!(error.to_string().contains("requested lease not found"), "{}", describe(&error));
    Ok(())
}

/// A stream left open would be two goroutines or more.
async fn lease_047(ctx: Context) -> Result<(), Failure> {
    const TIMES: u32 = 100;
    let client = ctx.client()?;
    let id = client.grant(secs(60)).await?.id;
    let goroutines = async || some(ctx.metric(0, "go_goroutines", &[]).await?, "the number of goroutines");
    client.keep_alive_once(id).await?;
    let before = goroutines().await?;
    for _ in 0..TIMES {
        client.keep_alive_once(id).await?;
    }
    ctx.eventually(secs(20), "the server has ended all but a few", || async {
        Ok((goroutines().await? < before + f64::from(TIMES) / 4.0).then_some(()))
    })
    .await?;
    client.revoke(id).await?;
    Ok(())
}

/// A lease that cannot be granted is an error of the grant, with what was wrong with each endpoint.
async fn lease_050(ctx: Context) -> Result<(), Failure> {
    let setup = Setup::new(["http://127.0.0.1:1"]).timeout(secs(1));
    let subject = ctx.open(&setup)?;
    let client = subject.client()?;
    for error in [
        failed(client.lease(secs(60)).await)?,
        failed(client.grant(secs(60)).await)?,
        failed(client.keep_alive(super::calls::own_id(&ctx, 6)?).await)?,
    ] {
        check!(
            matches!(error.kind(), ErrorKind::Timeout { .. } | ErrorKind::Unavailable),
            "not the server's absence: {}",
            describe(&error)
        );
    }
    Ok(())
}

async fn lease_056(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = super::calls::own_id(&ctx, 7)?;
    let granted = client.grant(secs(123)).id(id).await?;
    check_eq!((granted.id, granted.ttl), (id, secs(123)));
    let mut keeper = client.keep_alive(id).await?;
    check_eq!((keeper.id(), keeper.ttl()), (id, secs(123)));
    let known = some(client.time_to_live(id).await?.lease, "the lease")?;
    check_eq!((known.id, known.granted), (id, secs(123)));
    check!(client.leases().await?.leases.contains(&id));
    check!(matches!(keeper.changed().await, LeaseState::Alive { .. }));
    client.revoke(id).await?;
    refused(client.keep_alive_once(id).await, EtcdError::LeaseNotFound)?;
    Ok(())
}

async fn lease_057(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = client.grant(secs(5)).await?.id;
    client.put(ctx.key("foo"), "bar").lease(id).await?;
    check_eq!(client.keep_alive(id).await?.ttl(), secs(5));
    check_eq!(client.keep_alive_once(id).await?.ttl, secs(5));
    client.revoke(id).await?;
    check_eq!(count(&ctx, "foo").await?, 0);
    Ok(())
}
