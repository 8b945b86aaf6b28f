//! Leases by plain calls.

use std::time::Duration;

use etcdium_client::{
    Delete, ErrorKind, EtcdError, Get, Grant, LeaseId, Leases, Op, Put, Revoke, TimeToLive, Txn,
};

use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, failed, refused, some,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("LEASE-001", Topology::OneMember, "a put with an unknown lease", |ctx| {
        Box::pin(lease_001(ctx))
    }),
    Scenario::new("LEASE-003", Topology::ThreeMembers, "a put with a revoked lease", |ctx| {
        Box::pin(lease_003(ctx))
    }),
    Scenario::new("LEASE-009", Topology::OneMember, "no lease of a closed client", |ctx| {
        Box::pin(lease_009(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("LEASE-011", Topology::OneMember, "no revocation by a closed client", |ctx| {
        Box::pin(lease_011(ctx))
    }),
    Scenario::new("LEASE-015", Topology::ThreeMembers, "time to live, with keys and without", |ctx| {
        Box::pin(lease_015(ctx))
    }),
    Scenario::new("LEASE-016", Topology::OneMember, "the time to live of a revoked lease", |ctx| {
        Box::pin(lease_016(ctx))
    }),
    Scenario::new("LEASE-022", Topology::OneMember, "the time that was granted", |ctx| {
        Box::pin(lease_022(ctx))
    }),
    Scenario::new("LEASE-022", Topology::ThreeMembers, "the time that was granted", |ctx| {
        Box::pin(lease_022(ctx))
    })
    .variant("3N"),
    Scenario::new("LEASE-023", Topology::OneMember, "the list of leases", |ctx| Box::pin(lease_023(ctx))),
    Scenario::new("LEASE-023", Topology::ThreeMembers, "the list of leases", |ctx| Box::pin(lease_023(ctx)))
        .variant("3N"),
    Scenario::new("LEASE-026", Topology::OneMember, "revoking deletes the key", |ctx| {
        Box::pin(lease_026(ctx))
    }),
    Scenario::new("LEASE-026", Topology::ThreeMembers, "revoking deletes the key", |ctx| {
        Box::pin(lease_026(ctx))
    })
    .variant("3N"),
    Scenario::new("LEASE-027", Topology::ThreeMembers, "ids of one's own, and taken ones", |ctx| {
        Box::pin(lease_027(ctx))
    }),
    Scenario::new("LEASE-034", Topology::ThreeMembers, "a granted lease exists and is listed", |ctx| {
        Box::pin(lease_034(ctx))
    }),
    Scenario::new("LEASE-037", Topology::ThreeMembers, "a lease that is gone, on every member", |ctx| {
        Box::pin(lease_037(ctx))
    }),
    Scenario::new("LEASE-038", Topology::ThreeMembers, "a key goes from one lease to another", |ctx| {
        Box::pin(lease_038(ctx))
    }),
    Scenario::new("LEASE-043", Topology::ThreeMembers, "a closed client refuses at once", |ctx| {
        Box::pin(lease_043(ctx))
    }),
    Scenario::new("LEASE-051", Topology::OneMember, "leases by put and by transaction; one renewal", |ctx| {
        Box::pin(lease_051(ctx))
    })
    .needs(&[Need::Client]),
];

const MINUTE: Duration = Duration::from_secs(60);

/// An id that nobody else has: out of the case's prefix.
pub(super) fn own_id(ctx: &Context, number: u8) -> Result<LeaseId, Failure> {
    let seed = ctx.key("").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let id = (seed >> 8 << 7 >> 1) as i64 | i64::from(number) | 0x40;
    some(LeaseId::new(id), "an id")
}

/// How many pairs there are under a name.
pub(super) async fn count(ctx: &Context, name: &str) -> Result<usize, Failure> {
    Ok(ctx.send(Get::new(ctx.key(name))).await?.kvs.len())
}

async fn lease_001(ctx: Context) -> Result<(), Failure> {
    let id = some(LeaseId::new(500), "an id")?;
    refused(ctx.send(Put::new(ctx.key("foo"), "bar").lease(id)).await, EtcdError::LeaseNotFound)?;
    Ok(())
}

async fn lease_003(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(10 * MINUTE)).await?.id;
    ctx.send(Revoke::new(id)).await?;
    refused(ctx.send(Put::new(ctx.key("foo"), "bar").lease(id)).await, EtcdError::LeaseNotFound)?;
    Ok(())
}

async fn lease_009(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let client = subject.client()?;
    client.get(ctx.key("foo")).await?;
    client.close();
    for error in [
        failed(client.grant(MINUTE).await)?,
        failed(client.lease(MINUTE).await)?,
        failed(client.clone().lease(MINUTE).await)?,
    ] {
        check_eq!(error.kind(), &ErrorKind::Closed);
    }
    Ok(())
}

async fn lease_011(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(MINUTE)).await?.id;
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    subject.close();
    let error = failed(subject.send(Revoke::new(id)).await)?;
    check_eq!(error.kind(), &ErrorKind::Closed);
    ctx.send(Revoke::new(id)).await?;
    Ok(())
}

async fn lease_015(ctx: Context) -> Result<(), Failure> {
    let granted = Duration::from_secs(10);
    let id = ctx.send(Grant::new(granted)).await?.id;
    let keys = [ctx.key("foo1"), ctx.key("foo2")];
    for key in &keys {
        ctx.send(Put::new(key, "bar").lease(id)).await?;
    }
    let with = some(ctx.send(TimeToLive::new(id).keys()).await?.lease, "the lease")?;
    check_eq!((with.id, with.granted), (id, granted));
    check!(!with.remaining.is_zero() && with.remaining <= granted, "{:?} left", with.remaining);
    let mut named: Vec<_> = with.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    named.sort_unstable();
    check_eq!(named, keys);
    let without = some(ctx.send(TimeToLive::new(id)).await?.lease, "the lease")?;
    check!(without.keys.is_empty(), "keys that nobody asked for");
    ctx.send(Revoke::new(id)).await?;
    Ok(())
}

async fn lease_016(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(MINUTE)).await?.id;
    ctx.send(Revoke::new(id)).await?;
    let answer = ctx.send(TimeToLive::new(id)).await?;
    check_eq!(answer.lease, None);
    check!(!answer.header.revision.is_zero(), "the answer has no header");
    Ok(())
}

async fn lease_022(ctx: Context) -> Result<(), Failure> {
    let granted = ctx.send(Grant::new(Duration::from_secs(10))).await?;
    check_eq!(granted.ttl, Duration::from_secs(10));
    ctx.send(Revoke::new(granted.id)).await?;
    Ok(())
}

/// Others may have leases too: ours are there, and go.
async fn lease_023(ctx: Context) -> Result<(), Failure> {
    for wanted in [0, 1, 3] {
        let mut ours = Vec::new();
        for _ in 0..wanted {
            ours.push(ctx.send(Grant::new(MINUTE)).await?.id);
        }
        for gone in [false, true] {
            if gone {
                for id in &ours {
                    ctx.send(Revoke::new(*id)).await?;
                }
            }
            ctx.eventually(Duration::from_secs(10), "a member lists what there is", || async {
                let listed = ctx.send(Leases::new()).await?.leases;
                let right = ours.iter().all(|id| listed.contains(id) != gone);
                Ok(right.then_some(()))
            })
            .await?;
        }
    }
    Ok(())
}

async fn lease_026(ctx: Context) -> Result<(), Failure> {
    let id = ctx.send(Grant::new(MINUTE)).await?.id;
    ctx.send(Put::new(ctx.key("foo"), "bar").lease(id)).await?;
    check_eq!(count(&ctx, "foo").await?, 1);
    ctx.send(Revoke::new(id)).await?;
    check_eq!(ctx.send(TimeToLive::new(id)).await?.lease, None);
    check_eq!(count(&ctx, "foo").await?, 0);
    Ok(())
}

async fn lease_027(ctx: Context) -> Result<(), Failure> {
    let (one, two) = (own_id(&ctx, 1)?, own_id(&ctx, 2)?);
    check_eq!(ctx.send(Grant::new(MINUTE).id(one)).await?.id, one);
    refused(ctx.send(Grant::new(MINUTE).id(one)).await, EtcdError::LeaseExist)?;
    check_eq!(ctx.send(Grant::new(MINUTE).id(two)).await?.id, two);
    for id in [one, two] {
        ctx.send(Revoke::new(id)).await?;
    }
    Ok(())
}

async fn lease_034(ctx: Context) -> Result<(), Failure> {
    let id = own_id(&ctx, 3)?;
    ctx.send(Grant::new(MINUTE).id(id)).await?;
    refused(ctx.send(Grant::new(MINUTE).id(id)).await, EtcdError::LeaseExist)?;
    let mut ours = vec![id];
    for _ in 0..4 {
        ours.push(ctx.send(Grant::new(MINUTE)).await?.id);
    }
    ctx.eventually(Duration::from_secs(10), "a member lists all five", || async {
        let listed = ctx.send(Leases::new()).await?.leases;
        Ok(ours.iter().all(|id| listed.contains(id)).then_some(()))
    })
    .await?;
    for id in ours {
        ctx.send(Revoke::new(id)).await?;
    }
    Ok(())
}

async fn lease_037(ctx: Context) -> Result<(), Failure> {
    let bogus = own_id(&ctx, 4)?;
    refused(ctx.send(Put::new(ctx.key("foo"), "bar").lease(bogus)).await, EtcdError::LeaseNotFound)?;
    let id = ctx.send(Grant::new(MINUTE)).await?.id;
    ctx.send(Put::new(ctx.key("foo"), "bar").lease(id)).await?;
    ctx.send(Revoke::new(id)).await?;
    for endpoint in ctx.endpoints() {
        // Before 3.5 a member that lags may answer for a moment as if it were still there.
        ctx.eventually(Duration::from_secs(10), "every member knows that it is gone", || async {
            let answer = ctx.send(TimeToLive::new(id).keys()).endpoint(endpoint.clone()).await?;
            Ok(answer.lease.is_none().then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn lease_038(ctx: Context) -> Result<(), Failure> {
    let (one, two) = (ctx.send(Grant::new(MINUTE)).await?.id, ctx.send(Grant::new(MINUTE)).await?.id);
    ctx.send(Put::new(ctx.key("foo"), "bar").lease(one)).await?;
    ctx.send(Put::new(ctx.key("foo"), "bar").lease(two)).await?;
    ctx.send(Revoke::new(one)).await?;
    check_eq!(count(&ctx, "foo").await?, 1);
    ctx.send(Revoke::new(two)).await?;
    check_eq!(count(&ctx, "foo").await?, 0);
    Ok(())
}

async fn lease_043(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    subject.send(Get::new(ctx.key("foo"))).await?;
    subject.close();
    let grant = subject.send(Grant::new(MINUTE)).timeout(MINUTE);
    let error = failed(ctx.within(Duration::from_secs(5), async { grant.await }).await?)?;
    check_eq!(error.kind(), &ErrorKind::Closed);
    Ok(())
}

async fn lease_051(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let id = client.grant(Duration::from_secs(100)).await?.id;
    client.put(ctx.key("put"), "1").lease(id).await?;
    let put = Op::from(Put::new(ctx.key("txn"), "2").lease(id));
    ctx.send(Txn::new().and_then([put])).await?;
    let once = client.keep_alive_once(id).await?;
    check_eq!((once.id, once.ttl), (id, Duration::from_secs(100)));
    check!(!once.header.revision.is_zero(), "the answer has no header");
    client.revoke(id).await?;
    check_eq!((count(&ctx, "put").await?, count(&ctx, "txn").await?), (0, 0));
    ctx.send(Delete::new(ctx.key("")).prefix()).await?;
    Ok(())
}
