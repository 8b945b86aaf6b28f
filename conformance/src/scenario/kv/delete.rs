//! Deleting keys and ranges.

use etcdium_client::{Delete, Get, Put};

use crate::scenario::{Context, Failure, Need, Scenario, Topology, check_eq, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new(
        "KV-009",
        Topology::ThreeMembers,
        "deleting from the lowest key on empties the store",
        |ctx| Box::pin(kv_009(ctx)),
    )
    .needs(&[Need::WholeStore]),
    Scenario::new("KV-032", Topology::ThreeMembers, "deletions of ranges count what they delete", |ctx| {
        Box::pin(kv_032(ctx))
    }),
];

async fn kv_009(ctx: Context) -> Result<(), Failure> {
    ctx.wipe().await?;
    for key in ["a", "b", "c", "c/abc", "d"] {
        ctx.send(Put::new(key, "")).await?;
    }
    check_eq!(ctx.send(Delete::new("\0").from_key()).await?.deleted, 5);
    check_eq!(ctx.send(Get::new("a").from_key()).await?.kvs, []);
    Ok(())
}

/// The range of a deletion: a key, or from a key to an end.
type Range = (&'static str, Option<&'static str>);

/// Keys that are put, what is deleted of them with or without asking for the previous pairs, how many that must be, and
/// what must be left.
type Row<'a> = (&'a [&'a str], Range, bool, u64, &'a [&'a str]);

async fn kv_032(ctx: Context) -> Result<(), Failure> {
    let three: &[&str] = &["foo", "foo/abc", "fop"];
    let rows: [Row<'_>; 8] = [
        (three, ("foo/", Some("fop")), false, 1, &["foo", "fop"]),
        (three, ("foo/", Some("foo/")), false, 0, three),
        (three, ("fo", Some("fop")), false, 2, &["fop"]),
        (three, ("foo/", Some("fos")), false, 2, &["foo"]),
        (three, ("foo/abc", None), false, 1, &["foo", "fop"]),
        (&["foo"], ("foo", Some("foo")), false, 0, &["foo"]),
        (three, ("foo/", Some("fop")), true, 1, &["foo", "fop"]),
        (three, ("fo", Some("fos")), true, 3, &[]),
    ];
    let prefix = ctx.key("");
    for (keys, (from, end), prev_kv, deleted, left) in rows {
        ctx.send(Delete::new(&prefix).prefix()).await?;
        for key in keys {
            ctx.send(Put::new(ctx.key(key), format!("value of {key}"))).await?;
        }
        let what = format!("deleting from {from} to {end:?} of {keys:?}");
        let mut delete = Delete::new(ctx.key(from));
        if let Some(end) = end {
            delete = delete.range(ctx.key(end));
        }
        if prev_kv {
            delete = delete.prev_kv();
        }
        let response = ctx.send(delete).await?;
        check_eq!(response.deleted, deleted, "{what}");
        let expected = if prev_kv { deleted } else { 0 };
        check_eq!(u64::try_from(response.prev_kvs.len()).ok(), Some(expected), "previous pairs of {what}");
        for kv in &response.prev_kvs {
            let key = text(&kv.key).replace(&prefix, "");
            check_eq!(text(&kv.value), format!("value of {key}"), "previous pair of {what}");
        }
        let rest = ctx.send(Get::new(&prefix).prefix()).await?;
        check_eq!(ctx.names(&rest), left, "left after {what}");
    }
    Ok(())
}
