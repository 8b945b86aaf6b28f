//! Writing single keys.

use std::time::Duration;

use etcdium_client::{Compare, EtcdError, Get, Grant, LeaseId, Put, Revoke, Txn};

use crate::proxy::{Direction, Proxy};
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, only, refused, some, text,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("KV-003", Topology::OneMember, "ignore_value keeps the value", |ctx| Box::pin(kv_003(ctx))),
    Scenario::new("KV-004", Topology::OneMember, "ignore_lease keeps the lease", |ctx| Box::pin(kv_004(ctx))),
    Scenario::new("KV-023", Topology::OneMember, "what is put is got", |ctx| Box::pin(kv_023(ctx))),
    Scenario::new("KV-023", Topology::ThreeMembers, "what is put is got", |ctx| Box::pin(kv_023(ctx)))
        .variant("3N"),
    Scenario::new("KV-023", Topology::ThreeMembers, "what is put is got, by slow ways that break", |ctx| {
        Box::pin(kv_023_proxy(ctx))
    })
    .variant("proxy")
    .needs(&[Need::Proxy]),
    Scenario::new("KV-023", Topology::OneMember, "what is put is got, by etcd's grpc-proxy", |ctx| {
        Box::pin(kv_023_grpc_proxy(ctx))
    })
    .variant("grpc-proxy")
    .needs(&[Need::GrpcProxy]),
    Scenario::new("KV-029", Topology::OneMember, "overwriting makes the next revision and version", |ctx| {
        Box::pin(kv_029(ctx))
    })
    .needs(&[Need::Quiet]),
    Scenario::new("KV-039", Topology::OneMember, "puts that contradict themselves are refused", |ctx| {
        Box::pin(kv_039(ctx))
    }),
    Scenario::new("KV-052", Topology::OneMember, "a lease that does not exist is refused", |ctx| {
        Box::pin(kv_052(ctx))
    })
    .needs(&[Need::Client]),
];

const LEASE_TIME: Duration = Duration::from_secs(60);

async fn kv_003(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let touch = || ctx.send(Put::new(&key, "").ignore_value());
    refused(touch().await, EtcdError::KeyNotFound)?;
    ctx.send(Put::new(&key, "bar")).await?;
    touch().await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!(text(&kv.value), "bar");
    check_eq!(kv.version, 2, "version after the second put");
    Ok(())
}

async fn kv_004(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("zoo");
    let lease = ctx.send(Grant::new(LEASE_TIME)).await?.id;
    let change = || ctx.send(Put::new(&key, "bar1").ignore_lease());
    refused(change().await, EtcdError::KeyNotFound)?;
    ctx.send(Put::new(&key, "bar").lease(lease)).await?;
    change().await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!(text(&kv.value), "bar1");
    check_eq!(kv.lease, Some(lease));
    ctx.send(Revoke::new(lease)).await?;
    Ok(())
}

/// Over plain connections; the TLS variants come with TLS.
async fn kv_023_proxy(ctx: Context) -> Result<(), Failure> {
    for proxy in ctx.proxies() {
        proxy.set_latency(Direction::ToClient, Duration::from_millis(20));
    }
    kv_023(ctx.clone()).await?;
    let delivered = |proxy: &Proxy| proxy.counts().delivered(Direction::ToClient);
    check!(ctx.proxies().iter().any(|proxy| delivered(proxy) > 0), "the proxies have seen nothing");
    ctx.proxies().iter().for_each(Proxy::reset);
    // A write on a connection that breaks may have been applied and is not repeated; a read finds the next connection.
    ctx.send(Get::new(ctx.key("foo"))).await?;
    kv_023(ctx).await
}

async fn kv_023_grpc_proxy(ctx: Context) -> Result<(), Failure> {
    check_eq!(ctx.endpoints(), [ctx.grpc_proxy()?.endpoint()]);
    kv_023(ctx.clone()).await?;
    // And it is in the server itself.
    let direct = ctx.open(&Setup::new(ctx.direct_endpoints()))?;
    check_eq!(text(&only(direct.send(Get::new(ctx.key("foo"))).await?)?.value), "bar");
    Ok(())
}

async fn kv_023(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    ctx.send(Put::new(&key, "bar")).await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!(text(&kv.key), key);
    check_eq!(text(&kv.value), "bar");
    Ok(())
}

async fn kv_029(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let first = ctx.send(Put::new(&key, "bar").prev_kv()).await?;
    check_eq!(first.prev_kv, None);
    let second = ctx.send(Put::new(&key, "baz").prev_kv()).await?;
    check_eq!(second.header.revision.get(), first.header.revision.get() + 1);
    let replaced = some(second.prev_kv, "the pair that was replaced")?;
    check_eq!(text(&replaced.value), "bar");

    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!(text(&kv.value), "baz");
    check_eq!(kv.create_revision, first.header.revision);
    check_eq!(kv.mod_revision, second.header.revision);
    check_eq!(kv.version, 2);
    Ok(())
}

async fn kv_039(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let lease = ctx.send(Grant::new(LEASE_TIME)).await?.id;
    let bogus = some(LeaseId::new(123_456), "a lease id")?;

    let missing = [
        (Put::new(&key, "").ignore_value(), EtcdError::KeyNotFound),
        (Put::new(&key, "bar").ignore_lease(), EtcdError::KeyNotFound),
        (Put::new(&key, "bar").lease(bogus), EtcdError::LeaseNotFound),
    ];
    both_refused(&ctx, missing).await?;
    // The branch of a transaction that is not taken may name it.
    let txn = Txn::new().and_then([Get::new(&key)]).or_else([Put::new(&key, "bar").lease(bogus)]);
    ctx.send(txn).await?;
    let taken = Txn::new()
        .when([Compare::create_revision(&key).greater(0)])
        .or_else([Put::new(&key, "bar").lease(bogus)]);
    refused(ctx.send(taken).await, EtcdError::LeaseNotFound)?;
    check_eq!(ctx.send(Get::new(&key)).await?.count, 0, "refused puts left something");

    ctx.send(Put::new(&key, "bar")).await?;
    let contradictions = [
        (Put::new(&key, "baz").ignore_value(), EtcdError::ValueProvided),
        (Put::new(&key, "baz").lease(lease).ignore_lease(), EtcdError::LeaseProvided),
    ];
    both_refused(&ctx, contradictions).await?;

    // What is kept is kept in a transaction as well.
    ctx.send(Txn::new().and_then([Put::new(&key, "").lease(lease).ignore_value()])).await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!((text(&kv.value), kv.lease), ("bar".to_owned(), Some(lease)));
    ctx.send(Txn::new().and_then([Put::new(&key, "bar1").ignore_lease()])).await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!((text(&kv.value), kv.lease), ("bar1".to_owned(), Some(lease)));

    // A put without a lease unties the key, so that it outlives the lease.
    let put = ctx.send(Put::new(&key, "").ignore_value()).await?;
    check_eq!(put.prev_kv, None, "previous pair nobody asked for");
    ctx.send(Revoke::new(lease)).await?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!((text(&kv.value), kv.lease), ("bar1".to_owned(), None));
    Ok(())
}

/// Each is refused alone and within a transaction.
async fn both_refused(
    ctx: &Context,
    puts: impl IntoIterator<Item = (Put, EtcdError)>,
) -> Result<(), Failure> {
    for (put, error) in puts {
        refused(ctx.send(put.clone()).await, error)?;
        refused(ctx.send(Txn::new().and_then([put])).await, error)?;
    }
    Ok(())
}

async fn kv_052(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let bogus = some(LeaseId::new(99_999), "a lease id")?;
    let error = refused(ctx.client()?.put(&key, "bar").lease(bogus).await, EtcdError::LeaseNotFound)?;
    check_eq!(EtcdError::LeaseNotFound.text(), "etcdserver: requested lease not found");
    check!(error.to_string().contains("requested lease not found"), "the error does not say so: {error}");
    check_eq!(ctx.client()?.get(&key).await?.count, 0, "the refused put left something");
    Ok(())
}
