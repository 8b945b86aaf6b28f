//! Reading keys and ranges.

use etcdium_client::{Delete, EtcdError, Get, KeyValue, Put, SortOrder, SortTarget};

use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, only, refused, text,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("KV-006", Topology::ThreeMembers, "a range over the whole store", |ctx| {
        Box::pin(kv_006(ctx))
    })
    .needs(&[Need::WholeStore]),
    Scenario::new("KV-013", Topology::OneMember, "count_only outweighs keys_only", |ctx| {
        Box::pin(kv_013(ctx))
    })
    .needs(&[Need::WholeStore]),
    Scenario::new("KV-044", Topology::OneMember, "the empty key stands for a range only if asked", |ctx| {
        Box::pin(kv_044(ctx))
    })
    .needs(&[Need::WholeStore]),
    Scenario::new("KV-051", Topology::OneMember, "prefixes, order and revisions", |ctx| {
        Box::pin(kv_051(ctx))
    })
    .needs(&[Need::Client]),
];

/// Puts them with empty values, one after the other.
async fn put_all(ctx: &Context, keys: &[&str]) -> Result<(), Failure> {
    for &key in keys {
        ctx.send(Put::new(key, "")).await?;
    }
    Ok(())
}

const KEYS: [&str; 8] = ["a", "b", "c", "c", "c", "foo", "foo/abc", "fop"];

async fn kv_006(ctx: Context) -> Result<(), Failure> {
    let start = ctx.wipe().await?.get();
    put_all(&ctx, &KEYS).await?;
    // Headers are those of one member, so one is asked.
    let member = ctx.open(&Setup::new(&ctx.endpoints()[..1]))?;
    let header = member.send(Get::new("a")).await?.header;
    check_eq!(header.revision.get(), start + 8);

    let all = member.send(Get::new("\0").from_key().sort(SortTarget::Key, SortOrder::Ascend)).await?;
    check_eq!(all.header, header);
    let seen = |kv: &KeyValue| {
        let since_start = |revision: etcdium_client::Revision| revision.get() - start;
        (text(&kv.key), since_start(kv.create_revision), since_start(kv.mod_revision), kv.version)
    };
    let expected = [
        ("a", 1, 1, 1),
        ("b", 2, 2, 1),
        ("c", 3, 5, 3),
        ("foo", 6, 6, 1),
        ("foo/abc", 7, 7, 1),
        ("fop", 8, 8, 1),
    ];
    let expected =
        expected.map(|(key, create, modified, version)| (key.to_owned(), create, modified, version));
    check_eq!(all.kvs.iter().map(seen).collect::<Vec<_>>(), expected);
    check!(all.kvs.iter().all(|kv| kv.value.is_empty() && kv.lease.is_none()), "values or leases: {all:?}");
    check_eq!((all.count, all.more), (6, false));
    Ok(())
}

async fn kv_013(ctx: Context) -> Result<(), Failure> {
    ctx.wipe().await?;
    put_all(&ctx, &KEYS).await?;
    let header = ctx.send(Get::new("a")).await?.header;
    let all = ctx.send(Get::new("").from_key().count_only().keys_only()).await?;
    check_eq!(all.header, header);
    check_eq!((all.count, all.kvs.len(), all.more), (6, 0, false));
    Ok(())
}

/// The namespaced half comes with namespaces.
async fn kv_044(ctx: Context) -> Result<(), Failure> {
    ctx.wipe().await?;
    put_all(&ctx, &["a", "b"]).await?;
    check_eq!(ctx.names(&ctx.send(Get::new("").from_key()).await?), ["a", "b"]);
    refused(ctx.send(Get::new("")).await, EtcdError::EmptyKey)?;
    refused(ctx.send(Delete::new("")).await, EtcdError::EmptyKey)?;
    refused(ctx.send(Put::new("", "v")).await, EtcdError::EmptyKey)?;
    check_eq!(ctx.send(Delete::new("").from_key()).await?.deleted, 2);
    check_eq!(ctx.send(Get::new("").from_key()).await?.count, 0);
    Ok(())
}

async fn kv_051(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let name = |n: u32| format!("sorted/{n}");
    for n in 0..10 {
        client.put(ctx.key(&name(n)), n.to_string()).await?;
    }
    let prefix = ctx.key("sorted/");
    let down = client.get(&prefix).prefix().sort(SortTarget::Key, SortOrder::Descend).await?;
    check_eq!(ctx.names(&down), (0..10).rev().map(name).collect::<Vec<_>>());
    check_eq!(down.count, 10);
    check_eq!(client.delete(&prefix).prefix().await?.deleted, 10);
    check_eq!(client.get(&prefix).prefix().await?.count, 0);

    let key = ctx.key("history");
    let old = client.put(&key, "old").await?.header.revision;
    client.put(&key, "new").await?;
    check_eq!(text(&only(client.get(&key).await?)?.value), "new");
    check_eq!(text(&only(client.get(&key).revision(old).await?)?.value), "old");
    check_eq!(client.delete(&key).await?.deleted, 1);
    check_eq!(client.get(&key).await?.kvs, []);
    check_eq!(client.delete(&key).await?.deleted, 0);
    Ok(())
}
