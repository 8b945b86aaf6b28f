//! What happened is told: every change, in order, once.

use std::collections::BTreeMap;
use std::time::Duration;

use etcdium_client::{Event, Grant, Op, Put, Revision, Txn};

use super::read::{PATIENCE, delete};
use super::read::{caught_up, created, detail, event, events, expect, open, past, put, told};
use crate::scenario::{Context, Failure, Scenario, Setup, Topology, Watch, Watching, check, check_eq};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("WATCH-001", Topology::ThreeMembers, "several watches at once get what is theirs", |ctx| {
        Box::pin(watch_001(ctx))
    }),
    Scenario::new("WATCH-002", Topology::ThreeMembers, "a range of keys", |ctx| Box::pin(watch_002(ctx))),
    Scenario::new("WATCH-016", Topology::OneMember, "creations, modifications, deletions, expiries", |ctx| {
        Box::pin(watch_016(ctx))
    }),
    Scenario::new("WATCH-037", Topology::ThreeMembers, "from now on: seven selections of keys", |ctx| {
        Box::pin(watch_037(ctx))
    }),
    Scenario::new("WATCH-038", Topology::OneMember, "from a revision of the future", |ctx| {
        Box::pin(watch_038(ctx))
    }),
    Scenario::new("WATCH-043", Topology::OneMember, "an empty value is no deletion", |ctx| {
        Box::pin(watch_043(ctx))
    }),
    Scenario::new("WATCH-047", Topology::ThreeMembers, "the events of a transaction come together", |ctx| {
        Box::pin(watch_047(ctx))
    }),
    Scenario::new("WATCH-048", Topology::ThreeMembers, "past and present puts, without a seam", |ctx| {
        Box::pin(watch_048(ctx))
    }),
    Scenario::new("WATCH-061", Topology::OneMember, "key, prefix and range from a revision", |ctx| {
        Box::pin(watch_061(ctx))
    }),
    Scenario::new("WATCH-061", Topology::ThreeMembers, "key, prefix and range from a revision", |ctx| {
        Box::pin(watch_061(ctx))
    })
    .variant("3N"),
    Scenario::new("WATCH-081", Topology::ThreeMembers, "one put, one deletion", |ctx| {
        Box::pin(watch_081(ctx))
    }),
    Scenario::new("WATCH-095", Topology::ThreeMembers, "the documented examples: prefix and range", |ctx| {
        Box::pin(watch_095(ctx))
    }),
];

async fn watch_001(ctx: Context) -> Result<(), Failure> {
    const KEYS: [&str; 3] = ["foo", "bar", "baz"];
    let mut single = Vec::new();
    for key in KEYS {
        single.push((key, open(&ctx, ctx.watch(ctx.key(key))).await?));
    }
    let mut prefix = open(&ctx, ctx.watch(ctx.key("b")).prefix()).await?;
    let endpoints = ctx.endpoints();
    let other = ctx.open(&Setup::new(&endpoints[endpoints.len() - 1..]))?;
    // A last round, to see that nothing more comes before it.
    for round in 0..5 {
        for key in KEYS {
            other.send(Put::new(ctx.key(key), format!("{key}-{round}"))).timeout(PATIENCE).await?;
        }
    }
    for round in 0..5 {
        for (key, watch) in &mut single {
            expect(&ctx, watch, &[&format!("PUT {key}={key}-{round}")]).await?;
        }
        let both = [format!("PUT bar=bar-{round}"), format!("PUT baz=baz-{round}")];
        expect(&ctx, &mut prefix, &both.each_ref().map(String::as_str)).await?;
    }
    Ok(())
}

async fn watch_002(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("a")).range(&ctx.key("c"))).await?;
    for key in ["a", "b", "bar"] {
        put(&ctx, key, key).await?;
        expect(&ctx, &mut watch, &[&format!("PUT {key}={key}")]).await?;
    }
    put(&ctx, "c", "outside").await?;
    put(&ctx, "a", "open").await?;
    expect(&ctx, &mut watch, &["PUT a=open"]).await
}

async fn watch_016(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).prefix()).await?;
    put(&ctx, "foo", "bar").await?;
    put(&ctx, "foo", "baz").await?;
    delete(&ctx, "foo").await?;
    let lease = ctx.send(Grant::new(Duration::from_secs(1))).await?.id;
    ctx.send(Put::new(ctx.key("foo"), "qux").lease(lease)).await?;
    let expected = [
        ("PUT foo=bar", true, false),
        ("PUT foo=baz", false, true),
        ("DELETE foo", false, false),
        ("PUT foo=qux", true, false),
        ("DELETE foo", false, false),
    ];
    for (what, creates, modifies) in expected {
        let event = event(&ctx, &mut watch).await?;
        check_eq!(told(&ctx, &event), what);
        check_eq!((event.is_create(), event.is_modify()), (creates, modifies), "kind of {what}");
        check_eq!(event.is_delete(), what.starts_with("DELETE"), "kind of {what}");
    }
    Ok(())
}

/// One of the selections of WATCH-037.
struct Selected {
    watch: Watch,
    /// Keys of others are watched as well.
    all_keys: bool,
    puts: &'static [&'static str],
    expected: &'static [&'static str],
}

/// The server's header has the revision of the put at that; it is not shown, the item's revision is the event's.
async fn watch_037(ctx: Context) -> Result<(), Failure> {
    let one = || ctx.watch(ctx.key("foo"));
    let selected = |watch, puts, expected| Selected { watch, all_keys: false, puts, expected };
    let cases = [
        selected(one(), &["foo"], &["foo"]),
        selected(one(), &["helloworld"], &[]),
        selected(ctx.watch(ctx.key("fo")).prefix(), &["fooLong"], &["fooLong"]),
        selected(one().prefix(), &["helloworld"], &[]),
        Selected { all_keys: true, ..selected(ctx.watch("").from_key(), &["fooLong"], &["fooLong"]) },
        selected(one(), &["foo", "foo", "foo"], &["foo", "foo", "foo"]),
        selected(one().prefix(), &["foo", "foo1", "foo2"], &["foo", "foo1", "foo2"]),
    ];
    for Selected { watch, all_keys, puts, expected } in cases {
        for key in puts.iter().chain(&["foo"]) {
            delete(&ctx, key).await?;
        }
        let before = put(&ctx, "other", "").await?;
        caught_up(&ctx).await?;
        let mut watch = open(&ctx, watch.created()).await?;
        let at = created(&ctx, &mut watch).await?;
        check!(at >= before, "created at {at}, after {before}");
        let mut wanted = Vec::new();
        let mut made = BTreeMap::new();
        for &key in puts {
            let revision = put(&ctx, key, "bar").await?;
            let (create, version) = made.entry(key).or_insert((revision, 0));
            *version += 1;
            if expected.contains(&key) {
                wanted.push((format!("PUT {key}=bar"), *create, revision, *version));
            }
        }
        let end = put(&ctx, "foo", "end").await?;
        for wanted in wanted {
            check_eq!(detail(&ctx, &own(&ctx, &mut watch, all_keys).await?), wanted);
        }
        let last = own(&ctx, &mut watch, all_keys).await?;
        check_eq!((told(&ctx, &last).as_str(), last.revision()), ("PUT foo=end", end), "nothing between");
        check_eq!(watch.next_revision(), Some(end.next()));
    }
    Ok(())
}

/// The next event of the case's own keys. Who watches all keys gets those of others as well.
async fn own(ctx: &Context, watch: &mut Watching, all_keys: bool) -> Result<Event, Failure> {
    loop {
        let events = events(ctx, watch).await?;
        let mine = ctx.key("");
        let mut own =
            events.into_iter().filter(|event| !all_keys || event.kv.key.starts_with(mine.as_bytes()));
        if let Some(event) = own.next() {
            return Ok(event);
        }
    }
}

/// Others may write meanwhile, so the puts after the revision are those that come.
async fn watch_038(ctx: Context) -> Result<(), Failure> {
    let now = put(&ctx, "foo", "before").await?;
    let start = Revision::new(now.get() + 8);
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).from_revision(start)).await?;
    let mut late = Vec::new();
    for n in 0.. {
        let revision = put(&ctx, "foo", &n.to_string()).await?;
        if revision >= start {
            late.push((format!("PUT foo={n}"), revision));
        }
        if late.len() == 3 {
            break;
        }
    }
    for expected in late {
        let event = event(&ctx, &mut watch).await?;
        check_eq!((told(&ctx, &event), event.revision()), expected);
    }
    Ok(())
}

async fn watch_043(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo"))).await?;
    let revision = put(&ctx, "foo", "").await?;
    let event = event(&ctx, &mut watch).await?;
    check_eq!(detail(&ctx, &event), ("PUT foo=".to_owned(), revision, revision, 1));
    check!(event.is_create() && !event.is_delete());
    Ok(())
}

async fn watch_047(ctx: Context) -> Result<(), Failure> {
    let start = past(&ctx).await?;
    let puts = |value| ["foo0", "foo1", "foo2"].map(|key| Op::from(Put::new(ctx.key(key), value)));
    let early = ctx.send(Txn::new().and_then(puts("a"))).await?.header.revision;
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).prefix().from_revision(start)).await?;
    let late = ctx.send(Txn::new().and_then(puts("b"))).await?.header.revision;
    put(&ctx, "foo", "end").await?;
    for (value, revision, version) in [("a", early, 1), ("b", late, 2)] {
        let events = events(&ctx, &mut watch).await?;
        let seen: Vec<_> = events.iter().map(|event| detail(&ctx, event)).collect();
        let wanted = ["foo0", "foo1", "foo2"];
        let wanted = wanted.map(|key| (format!("PUT {key}={value}"), early, revision, version));
        check_eq!(seen, wanted);
    }
    expect(&ctx, &mut watch, &["PUT foo=end"]).await
}

async fn watch_048(ctx: Context) -> Result<(), Failure> {
    let start = past(&ctx).await?;
    let mut wanted = Vec::new();
    let first = [put(&ctx, "foo0", "bar").await?, put(&ctx, "foo1", "bar").await?];
    let mut watch = open(&ctx, ctx.watch(ctx.key("foo")).prefix().from_revision(start)).await?;
    let second = [put(&ctx, "foo0", "bar").await?, put(&ctx, "foo1", "bar").await?];
    for (revisions, version) in [(first, 1), (second, 2)] {
        for (n, revision) in revisions.into_iter().enumerate() {
            wanted.push((format!("PUT foo{n}=bar"), first[n], revision, version));
        }
    }
    put(&ctx, "foo", "end").await?;
    for wanted in wanted {
        check_eq!(detail(&ctx, &event(&ctx, &mut watch).await?), wanted);
    }
    expect(&ctx, &mut watch, &["PUT foo=end"]).await
}

/// What is watched, what is put, and which of that is told.
type Table = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const TABLES: [Table; 4] = [
    ("revision", &[("sample", "value"), ("sample", "again")], &["PUT sample=value", "PUT sample=again"]),
    ("key", &[("sample", "value"), ("other", "no")], &["PUT sample=value"]),
    ("prefix", &[("foo1", "val1"), ("fo", "no"), ("foo2", "val2")], &["PUT foo1=val1", "PUT foo2=val2"]),
    ("range", &[("key1", "val1"), ("key3", "no"), ("key2", "val2")], &["PUT key1=val1", "PUT key2=val2"]),
];

async fn watch_061(ctx: Context) -> Result<(), Failure> {
    for (kind, puts, expected) in TABLES {
        let start = past(&ctx).await?;
        for (key, value) in puts {
            put(&ctx, key, value).await?;
        }
        let watch = match kind {
            "prefix" => ctx.watch(ctx.key("foo")).prefix(),
            "range" => ctx.watch(ctx.key("key")).range(&ctx.key("key3")),
            _ => ctx.watch(ctx.key("sample")),
        };
        let mut watch = open(&ctx, watch.from_revision(start)).await?;
        expect(&ctx, &mut watch, expected).await?;
        // And nothing between these and what comes after.
        let (key, _) = puts[0];
        put(&ctx, key, "end").await?;
        expect(&ctx, &mut watch, &[&format!("PUT {key}=end")]).await?;
    }
    Ok(())
}

async fn watch_081(ctx: Context) -> Result<(), Failure> {
    let mut watch = open(&ctx, ctx.watch(ctx.key("key"))).await?;
    put(&ctx, "key", "value").await?;
    expect(&ctx, &mut watch, &["PUT key=value"]).await?;
    let revision = delete(&ctx, "key").await?;
    let event = event(&ctx, &mut watch).await?;
    check_eq!((told(&ctx, &event).as_str(), event.revision()), ("DELETE key", revision));
    Ok(())
}

/// The example of progress is WATCH-012.
async fn watch_095(ctx: Context) -> Result<(), Failure> {
    let mut prefix = open(&ctx, ctx.watch(ctx.key("foo")).prefix()).await?;
    let mut range = open(&ctx, ctx.watch(ctx.key("foo1")).range(&ctx.key("foo4"))).await?;
    for (key, value) in
        [("foo1", "bar1"), ("foo5", "bar5"), ("foo2", "bar2"), ("foo3", "bar3"), ("foo1", "end")]
    {
        put(&ctx, key, value).await?;
    }
    let all = ["PUT foo1=bar1", "PUT foo5=bar5", "PUT foo2=bar2", "PUT foo3=bar3", "PUT foo1=end"];
    expect(&ctx, &mut prefix, &all).await?;
    expect(&ctx, &mut range, &[all[0], all[2], all[3], all[4]]).await
}
