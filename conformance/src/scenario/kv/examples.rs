//! What the documentation of other clients shows, by the typed client.

use etcdium_client::{Delete, ErrorKind, EtcdError, Get, Op, OpResponse, Put, SortOrder, SortTarget};

use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, failed, only, refused, some, text,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("KV-008", Topology::OneMember, "a closed client refuses every call", |ctx| {
        Box::pin(kv_008(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("KV-059", Topology::OneMember, "previous values, limits, ranges, compaction", |ctx| {
        Box::pin(kv_059(ctx))
    })
    .needs(&[Need::Compaction, Need::Client]),
    Scenario::new("KV-060", Topology::OneMember, "the examples of etcd's own documentation", |ctx| {
        Box::pin(kv_060(ctx))
    })
    .needs(&[Need::Compaction, Need::Client]),
];

async fn kv_008(ctx: Context) -> Result<(), Failure> {
    let subject = ctx.open(&Setup::new(ctx.endpoints()))?;
    let client = subject.client()?;
    let prepared = client.get(ctx.key("foo"));
    client.get(ctx.key("foo")).await?;
    client.close();
    check!(client.is_closed());
    for call in [prepared, client.get(ctx.key("foo")), client.clone().get(ctx.key("foo"))] {
        let error = failed(call.await)?;
        check_eq!(error.kind(), &ErrorKind::Closed);
    }
    // A second time is harmless, and other clients are none of its business.
    client.close();
    ctx.client()?.get(ctx.key("foo")).await?;
    Ok(())
}

async fn kv_059(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let key = ctx.key("put");
    client.put(&key, "123").await?;
    for (value, previous) in [("456", "123"), ("789", "456")] {
        let replaced = client.put(&key, value).prev_kv().await?.prev_kv;
        check_eq!(text(&some(replaced, "the previous pair")?.value), previous);
    }

    for name in ["del00", "del11", "del20", "del22"] {
        client.put(ctx.key(name), name).await?;
    }
    let page = client.get(ctx.key("del00")).from_key().limit(2).await?;
    check_eq!(ctx.names(&page), ["del00", "del11"]);
    check!(page.more && page.count >= 4, "more {}, count {}", page.more, page.count);
    let deleted = client.delete(ctx.key("del11")).range(ctx.key("del22")).prev_kv().await?;
    check_eq!(deleted.deleted, 2);
    let old: Vec<_> = deleted.prev_kvs.iter().map(|kv| text(&kv.value)).collect();
    check_eq!(old, ["del11", "del20"]);

    let before = client.get(&key).await?.header.revision;
    let revision = client.put(&key, "compacted").await?.header.revision;
    client.compact(revision).await?;
    refused(client.get(&key).revision(before).await, EtcdError::Compacted)?;
    check_eq!(text(&only(client.get(&key).revision(revision).await?)?.value), "compacted");
    Ok(())
}

/// The streamed read comes with streams.
async fn kv_060(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    refused(client.put("", "sample_value").await, EtcdError::EmptyKey)?;

    let key = ctx.key("foo");
    let first = client.put(&key, "bar1").await?.header.revision;
    client.put(&key, "bar2").await?;
    check_eq!(text(&only(client.get(&key).await?)?.value), "bar2");
    check_eq!(text(&only(client.get(&key).revision(first).await?)?.value), "bar1");

    for n in 0..3 {
        client.put(ctx.key(&format!("key_{n}")), "value").await?;
    }
    let down = client.get(ctx.key("key")).prefix().sort(SortTarget::Key, SortOrder::Descend).await?;
    check_eq!(ctx.names(&down), ["key_2", "key_1", "key_0"]);
    let found = client.get(ctx.key("key")).prefix().await?;
    let deleted = client.delete(ctx.key("key")).prefix().await?;
    check_eq!(deleted.deleted, found.count);

    let now = client.get(&key).await?.header.revision;
    client.compact(now).physical().await?;

    let kinds: [Op; 4] = [
        Put::new(ctx.key("put-key"), "123").into(),
        Get::new(ctx.key("put-key")).into(),
        Put::new(ctx.key("put-key"), "456").prev_kv().into(),
        Delete::new(ctx.key("put-key")).into(),
    ];
    let mut answers = Vec::new();
    for op in kinds {
        answers.push(match client.do_op(op).await? {
            OpResponse::Put(put) => put.prev_kv.map_or_else(|| "put".to_owned(), |kv| text(&kv.value)),
            OpResponse::Get(get) => text(&only(get)?.value),
            OpResponse::Delete(delete) => delete.deleted.to_string(),
            OpResponse::Txn(_) => "txn".to_owned(),
        });
    }
    check_eq!(answers, ["put", "123", "123", "1"]);
    Ok(())
}
