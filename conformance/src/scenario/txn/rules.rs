//! What etcd refuses, and what transactions do to revisions.

use etcdium_client::{Compact, Compare, Delete, EtcdError, Get, Op, Put, Txn, TxnResponse};

use crate::scenario::{Context, Failure, Need, Scenario, Topology, check, check_eq, only, refused, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("TXN-001", Topology::OneMember, "a key put twice, too many operations", |ctx| {
        Box::pin(txn_001(ctx))
    }),
    Scenario::new("TXN-010", Topology::OneMember, "which operations contradict each other", |ctx| {
        Box::pin(txn_010(ctx))
    }),
    Scenario::new("TXN-011", Topology::OneMember, "only what changes something makes a revision", |ctx| {
        Box::pin(txn_011(ctx))
    })
    .needs(&[Need::Quiet]),
    Scenario::new("TXN-013", Topology::OneMember, "conditions on ranges", |ctx| Box::pin(txn_013(ctx)))
        .needs(&[Need::WholeStore]),
    Scenario::new("TXN-015", Topology::OneMember, "a read of a wrong revision refuses the whole", |ctx| {
        Box::pin(txn_015(ctx))
    })
    .needs(&[Need::Compaction]),
    Scenario::new("TXN-015", Topology::ThreeMembers, "a read of a wrong revision refuses the whole", |ctx| {
        Box::pin(txn_015(ctx))
    })
    .variant("3N")
    .needs(&[Need::Compaction, Need::Since(3, 7)]),
];

/// etcd's `--max-txn-ops`, unless it is set.
const MAX_OPS: usize = 128;

async fn txn_001(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let twice = Txn::new().and_then([Put::new(&key, "bar1"), Put::new(&key, "bar2")]);
    refused(ctx.send(twice).await, EtcdError::DuplicateKey)?;
    let puts =
        |count: usize| (0..count).map(|n| Put::new(ctx.key(&format!("foo{n}")), "")).collect::<Vec<_>>();
    refused(ctx.send(Txn::new().and_then(puts(MAX_OPS + 10))).await, EtcdError::TooManyOps)?;
    refused(ctx.send(Txn::new().or_else(puts(MAX_OPS + 1))).await, EtcdError::TooManyOps)?;
    check_eq!(
        ctx.send(Get::new(ctx.key("")).prefix()).await?.count,
        0,
        "refused transactions left something"
    );
    check_eq!(ctx.send(Txn::new().and_then(puts(MAX_OPS))).await?.puts().count(), MAX_OPS);
    Ok(())
}

async fn txn_010(ctx: Context) -> Result<(), Failure> {
    let (key, before, start, end) = (ctx.key("abc"), ctx.key("abb"), ctx.key("a"), ctx.key("b"));
    let put = || Op::from(Put::new(&key, "def"));
    let delete = || Op::from(Delete::new(&key));
    let delete_around = || Op::from(Delete::new(&start).range(&end));
    let delete_before = || Op::from(Delete::new(&before).range(&key));
    let then = |op: Op| Op::from(Txn::new().and_then([op]));
    let both = |one: Op, other: Op| Op::from(Txn::new().and_then([one]).or_else([other]));

    let contradictions = [
        vec![put(), put()],
        vec![put(), delete()],
        vec![put(), delete_around()],
        vec![put(), then(delete_around())],
        vec![delete_around(), then(put())],
        vec![both(put(), put()), both(put(), put())],
    ];
    for operations in contradictions {
        let what = format!("{operations:?}");
        let sent = ctx.send(Txn::new().and_then(operations)).await;
        refused(sent, EtcdError::DuplicateKey).map_err(|failure| failure.and(&format!(" ({what})")))?;
    }
    check_eq!(ctx.send(Get::new(&key)).await?.count, 0, "refused transactions left something");

    let good = [
        vec![delete_before(), both(put(), put())],
        vec![then(delete_around()), both(delete_around(), delete_around())],
        vec![delete(), delete_around(), delete(), delete_around()],
        vec![put(), delete_before()],
    ];
    for operations in good {
        let count = operations.len();
        check_eq!(ctx.send(Txn::new().and_then(operations)).await?.results.len(), count);
    }
    check_eq!(text(&only(ctx.send(Get::new(&key)).await?)?.value), "def");
    Ok(())
}

async fn txn_011(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("abc");
    let revision = ctx.send(Put::new(&key, "def")).await?.header.revision.get();
    let of = |response: &TxnResponse| response.header.revision.get();
    let read = ctx.send(Txn::new().and_then([Get::new(&key)])).await?;
    check_eq!(of(&read), revision, "after a read");
    let nothing = ctx.send(Txn::new().and_then([Delete::new(ctx.key("def"))])).await?;
    check_eq!(of(&nothing), revision, "after deleting nothing");
    let put = ctx.send(Txn::new().and_then([Put::new(&key, "123")])).await?;
    check_eq!(of(&put), revision + 1, "after a put");
    let several = [Put::new(&key, "456"), Put::new(ctx.key("abd"), "456")];
    check_eq!(of(&ctx.send(Txn::new().and_then(several)).await?), revision + 2, "after two puts at once");
    Ok(())
}

async fn txn_013(ctx: Context) -> Result<(), Failure> {
    let start = ctx.wipe().await?.get();
    for key in ["/a/1", "/a/2", "/a/3", "/f/4"] {
        ctx.send(Put::new(key, "x")).await?;
    }
    let created = |key: &str, less: i64| Compare::create_revision(key).less(start + less);
    let conditions = [
        (created("/a/", 5).from_key(), true),
        (created("/a/", 4).from_key(), false),
        (created("/a/", 4).prefix(), true),
        (created("/a/", 3).prefix(), false),
        (Compare::value("/b/").equal("x").prefix(), false),
        (Compare::lease("/a/").greater(None).prefix(), false),
        (Compare::lease("/a/").equal(None).prefix(), true),
        // A range given by its end, and one without keys that is compared as a key that does not exist.
        (created("/a/1", 3).range("/a/3"), true),
        (Compare::version("/b/").equal(0).prefix(), true),
    ];
    for (condition, holds) in conditions {
        let what = format!("{condition:?}");
        check_eq!(ctx.send(Txn::new().when([condition])).await?.succeeded, holds, "{what}");
    }
    Ok(())
}

/// With several members since etcd 3.7 only: before, the members that did not take the request skip its read, so they
/// carry out the put that the others refuse, and differ from then on.
async fn txn_015(ctx: Context) -> Result<(), Failure> {
    let key = ctx.key("foo");
    let mut last = 0;
    for _ in 0..3 {
        last = ctx.send(Put::new(&key, "bar")).await?.header.revision.get();
    }
    ctx.send(Compact::new(last - 1)).await?;
    let put_and_read = |revision: i64| {
        Txn::new().and_then([Op::from(Put::new(&key, "wrong")), Get::new(&key).revision(revision).into()])
    };
    refused(ctx.send(put_and_read(last + 96)).await, EtcdError::FutureRev)?;
    refused(ctx.send(put_and_read(last - 2)).await, EtcdError::Compacted)?;
    let kv = only(ctx.send(Get::new(&key)).await?)?;
    check_eq!(text(&kv.value), "bar", "a part of a refused transaction was applied");
    check!(kv.version == 3, "a part of a refused transaction was applied: version {}", kv.version);
    Ok(())
}
