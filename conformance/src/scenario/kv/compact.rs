//! Compaction of the history.

use etcdium_client::{Compact, EtcdError, Get, Put, Revision};

use crate::scenario::{Context, Failure, Need, Scenario, Topology, check_eq, only, refused, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new(
        "KV-010",
        Topology::OneMember,
        "compactions of the past and of the future are refused",
        |ctx| Box::pin(kv_010(ctx)),
    )
    .needs(&[Need::Compaction, Need::Quiet]),
    Scenario::new("KV-028", Topology::ThreeMembers, "a compacted revision cannot be read", |ctx| {
        Box::pin(kv_028(ctx))
    })
    .needs(&[Need::Compaction, Need::Quiet]),
    Scenario::new("KV-031", Topology::OneMember, "compacting the current revision leaves the keys", |ctx| {
        Box::pin(kv_031(ctx))
    })
    .needs(&[Need::Compaction, Need::Quiet]),
];

/// Puts one value after the other; their revisions.
async fn put_values(ctx: &Context, key: &str, values: &[&str]) -> Result<Vec<Revision>, Failure> {
    let mut revisions = Vec::new();
    for &value in values {
        revisions.push(ctx.send(Put::new(key, value)).await?.header.revision);
    }
    Ok(revisions)
}

async fn kv_010(ctx: Context) -> Result<(), Failure> {
    let revisions = put_values(&ctx, &ctx.key("foo"), &["bar"; 5]).await?;
    let last = revisions[4].get();
    ctx.send(Compact::new(last)).await?;
    refused(ctx.send(Compact::new(last)).await, EtcdError::Compacted)?;
    refused(ctx.send(Compact::new(last - 1)).await, EtcdError::Compacted)?;
    refused(ctx.send(Compact::new(last + 94)).await, EtcdError::FutureRev)?;
    Ok(())
}

async fn kv_028(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("key");
    for physical in [false, true] {
        let revisions = put_values(&ctx, &key, &["val1", "val2", "val3"]).await?;
        let second = only(ctx.send(Get::new(&key).revision(revisions[1])).await?)?;
        check_eq!(text(&second.value), "val2");
        let compact = Compact::new(revisions[2]);
        ctx.send(if physical { compact.physical() } else { compact }).await?;
        // Asked of each member: all know of a compaction that was acknowledged, for linearizable reads.
        for endpoint in ctx.endpoints() {
            let read = ctx.send(Get::new(&key).revision(revisions[1])).endpoint(endpoint);
            refused(read.await, EtcdError::Compacted)?;
            let kept = ctx.send(Get::new(&key).revision(revisions[2])).endpoint(endpoint).await?;
            check_eq!(text(&only(kept)?.value), "val3");
        }
        refused(ctx.send(Compact::new(revisions[0])).await, EtcdError::Compacted)?;
    }
    Ok(())
}

async fn kv_031(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let revisions = put_values(&ctx, &key, &["bar"; 3]).await?;
    ctx.send(Compact::new(revisions[2])).await?;
    let linearizable = only(ctx.send(Get::new(&key)).await?)?;
    let serializable = only(ctx.send(Get::new(&key).serializable()).await?)?;
    check_eq!(text(&linearizable.value), "bar");
    check_eq!(linearizable, serializable);
    Ok(())
}
