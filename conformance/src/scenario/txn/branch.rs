//! Conditions choose a branch, and its operations are carried out.

use etcdium_client::{Compare, Delete, Get, Op, OpResponse, Put, Txn, TxnResponse};

use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq, only, some, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("TXN-004", Topology::ThreeMembers, "a transaction writes", |ctx| Box::pin(txn_004(ctx))),
    Scenario::new("TXN-006", Topology::ThreeMembers, "a transaction within another", |ctx| {
        Box::pin(txn_006(ctx))
    }),
    Scenario::new("TXN-007", Topology::OneMember, "conditions that hold; results in their order", |ctx| {
        Box::pin(txn_007(ctx))
    }),
    Scenario::new("TXN-007", Topology::ThreeMembers, "conditions that hold; results in their order", |ctx| {
        Box::pin(txn_007(ctx))
    })
    .variant("3N"),
    Scenario::new("TXN-008", Topology::OneMember, "conditions that do not hold", |ctx| {
        Box::pin(txn_008(ctx))
    }),
    Scenario::new("TXN-008", Topology::ThreeMembers, "conditions that do not hold", |ctx| {
        Box::pin(txn_008(ctx))
    })
    .variant("3N"),
    Scenario::new("TXN-019", Topology::OneMember, "greater, not equal, nested", |ctx| Box::pin(txn_019(ctx)))
        .needs(&[Need::Client]),
    Scenario::new(
        "TXN-020",
        Topology::OneMember,
        "reading and deleting a prefix in the other branch",
        |ctx| Box::pin(txn_020(ctx)),
    )
    .needs(&[Need::Client]),
    Scenario::new("TXN-022", Topology::OneMember, "several conditions; both branches", |ctx| {
        Box::pin(txn_022(ctx))
    })
    .needs(&[Need::Client]),
    Scenario::new("TXN-023", Topology::OneMember, "put and return the old value, then read", |ctx| {
        Box::pin(txn_023(ctx))
    })
    .needs(&[Need::Client]),
];

async fn value(ctx: &Context, key: &str) -> Result<String, Failure> {
    Ok(text(&only(ctx.send(Get::new(key)).await?)?.value))
}

async fn txn_004(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let response = ctx.send(Txn::new().and_then([Put::new(&key, "bar")])).await?;
    check!(response.succeeded && response.results.len() == 1, "{response:?}");
    check_eq!(value(&ctx, &key).await?, "bar");
    Ok(())
}

async fn txn_006(ctx: Context) -> Result<(), Failure> {
    let (outer, abc) = (ctx.key("foo"), ctx.key("abc"));
    let inner = Txn::new().and_then([Put::new(&abc, "123")]);
    let txn = Txn::new()
        .when([Compare::version(&outer).equal(0)])
        .and_then([Op::from(Put::new(&outer, "bar")), inner.into()])
        .or_else([Put::new(&outer, "baz")]);
    let response = ctx.send(txn).await?;
    check!(response.succeeded);
    check_eq!(response.results.len(), 2);
    check_eq!(response.txns().map(|txn| (txn.succeeded, txn.results.len())).collect::<Vec<_>>(), [(true, 1)]);
    check_eq!(value(&ctx, &outer).await?, "bar");
    check_eq!(value(&ctx, &abc).await?, "123");
    Ok(())
}

/// Results as texts: keys and values of reads, `OK` of puts.
fn results(response: &TxnResponse) -> Vec<String> {
    let one = |result: &OpResponse| match result {
        OpResponse::Get(get) => get.kvs.iter().flat_map(|kv| [text(&kv.key), text(&kv.value)]).collect(),
        OpResponse::Put(_) => vec!["OK".to_owned()],
        other => vec![format!("{other:?}")],
    };
    response.results.iter().flat_map(one).collect()
}

async fn txn_007(ctx: Context) -> Result<(), Failure> {
    let (key1, key2, odd) = (ctx.key("key1"), ctx.key("key2"), ctx.key("key \"with\" space"));
    ctx.send(Put::new(&key1, "value1")).await?;
    ctx.send(Put::new(&key2, "value2")).await?;
    let found = [&key1, "value1", &key2, "value2"];

    let txn = Txn::new()
        .when([Compare::value(&key1).not_equal("value2"), Compare::value(&key2).not_equal("value1")])
        .and_then([Get::new(&key1), Get::new(&key2)]);
    let response = ctx.send(txn).await?;
    check!(response.succeeded);
    check_eq!(results(&response), found);

    let txn = Txn::new()
        .when([Compare::version(&key1).equal(1), Compare::version(&key2).equal(1)])
        .and_then([Get::new(&key1), Get::new(&key2)])
        .and_then([Put::new(&odd, "value \x23")])
        .or_else([Put::new(&key1, "fail"), Put::new(&key2, "fail")]);
    let response = ctx.send(txn).await?;
    check!(response.succeeded);
    check_eq!(results(&response)[..4], found);
    check_eq!(results(&response)[4..], ["OK"]);

    let txn = Txn::new().when([Compare::version(&odd).equal(1)]).and_then([Get::new(&odd)]);
    let response = ctx.send(txn).await?;
    check!(response.succeeded);
    check_eq!(results(&response), [&odd, "value \x23"]);
    Ok(())
}

async fn txn_008(ctx: Context) -> Result<(), Failure> {
    let (key, key1) = (ctx.key("key"), ctx.key("key1"));
    ctx.send(Put::new(&key1, "value1")).await?;
    let conditions =
        [(&key, Compare::version(&key).less(0)), (&key1, Compare::value(&key1).not_equal("value1"))];
    for (key, condition) in conditions {
        let txn = Txn::new()
            .when([condition])
            .and_then([Put::new(key, "success")])
            .or_else([Put::new(key, "fail")]);
        let response = ctx.send(txn).await?;
        check!(!response.succeeded);
        check_eq!(results(&response), ["OK"]);
        check_eq!(value(&ctx, key).await?, "fail");
    }
    Ok(())
}

async fn txn_019(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let (key, other) = (ctx.key("key"), ctx.key("other"));
    client.put(&key, "abc").await?;
    let comparisons = [
        (Compare::value(&key).greater("abb"), true),
        (Compare::value(&key).greater("abc"), false),
        (Compare::value(&key).not_equal("xyz"), true),
        (Compare::value(&key).not_equal("abc"), false),
    ];
    for (condition, holds) in comparisons {
        let what = format!("{condition:?}");
        let response = client
            .txn()
            .when([condition])
            .and_then([Put::new(&other, "then")])
            .or_else([Put::new(&other, "else")])
            .await?;
        check_eq!(response.succeeded, holds, "{what}");
        check_eq!(value(&ctx, &other).await?, if holds { "then" } else { "else" }, "{what}");
    }
    let inner = Txn::new().when([Compare::value(&key).equal("abc")]).and_then([Put::new(&key, "nested")]);
    let response = client.txn().and_then([inner]).await?;
    check!(response.txns().all(|txn| txn.succeeded));
    check_eq!(value(&ctx, &key).await?, "nested");
    Ok(())
}

async fn txn_020(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let prefix = ctx.key("all/");
    let puts = (0..10).map(|n| Put::new(format!("{prefix}{n}"), n.to_string()));
    let response = client.txn().and_then(puts).await?;
    check!(response.puts().all(|put| put.prev_kv.is_none()));
    check_eq!(response.puts().count(), 10);

    let response = client
        .txn()
        .when([Compare::version(format!("{prefix}0")).greater(1)])
        .and_then([Put::new(&prefix, "wrong")])
        .or_else([Op::from(Get::new(&prefix).prefix()), Delete::new(&prefix).prefix().prev_kv().into()])
        .await?;
    check!(!response.succeeded);
    let got = some(response.gets().next(), "the read")?;
    check_eq!((got.kvs.len(), got.count), (10, 10));
    let deleted = some(response.deletes().next(), "the deletion")?;
    check_eq!((deleted.deleted, deleted.prev_kvs.len()), (10, 10));
    check_eq!(deleted.prev_kvs, got.kvs);
    check_eq!((response.puts().count(), response.results.len()), (0, 2));
    check_eq!(client.get(&prefix).prefix().await?.count, 0);
    Ok(())
}

async fn txn_022(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let (one, two) = (ctx.key("foo"), ctx.key("bar"));
    client.put(&one, "1").await?;
    client.put(&two, "2").await?;
    let both = || [Compare::value(&one).equal("1"), Compare::version(&two).equal(1)];
    let get = || [Get::new(&two), Get::new(&one)];

    let response = client.txn().when(both()).and_then(get()).or_else([Put::new(&one, "wrong")]).await?;
    check!(response.succeeded);
    check_eq!(results(&response), [&two, "2", &one, "1"]);

    // One that does not hold is enough, also when it is added by a second call.
    let txn = client.txn().when(both()).when([Compare::create_revision(&one).equal(0)]);
    let response = txn.and_then([Put::new(&one, "wrong")]).or_else(get()).await?;
    check!(!response.succeeded);
    check_eq!(results(&response), [&two, "2", &one, "1"]);

    // Without conditions the first branch is taken; without operations nothing happens.
    check!(client.txn().or_else([Put::new(&one, "wrong")]).await?.succeeded);
    check_eq!(client.txn().when(both()).await?.results, []);
    check_eq!(value(&ctx, &one).await?, "1");
    Ok(())
}

async fn txn_023(ctx: Context) -> Result<(), Failure> {
    let client = ctx.client()?;
    let key = ctx.key("txn01");
    client.put(&key, "01").await?;
    let swap = || {
        client
            .txn()
            .when([Compare::value(&key).equal("01")])
            .and_then([Put::new(&key, "02").prev_kv()])
            .or_else([Get::new(&key)])
    };
    let first = swap().await?;
    check!(first.succeeded);
    let put = some(first.puts().next(), "the put")?;
    check_eq!(text(&some(put.prev_kv.clone(), "the previous pair")?.value), "01");
    check_eq!(value(&ctx, &key).await?, "02");

    let second = swap().await?;
    check!(!second.succeeded);
    check_eq!(results(&second), [key.as_str(), "02"]);
    Ok(())
}
