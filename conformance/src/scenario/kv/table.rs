//! KV-024: one store, every option of a read.

use etcdium_client::{Get, GetResponse, KeyValue, Put, ResponseHeader, SortOrder, SortTarget};

use crate::scenario::{Context, Failure, Need, Scenario, Setup, Topology, check_eq, text};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("KV-024", Topology::OneMember, "every option of a read", |ctx| Box::pin(kv_024(ctx)))
        .needs(&[Need::WholeStore]),
    Scenario::new("KV-024", Topology::ThreeMembers, "every option of a read", |ctx| Box::pin(kv_024(ctx)))
        .variant("3N")
        .needs(&[Need::WholeStore]),
];

/// What is put, in this order, each at the next revision.
const PUTS: [(&str, &str); 8] = [
    ("a", "delta"),
    ("b", "alpha"),
    ("c", "first"),
    ("c", "second"),
    ("c", "charlie"),
    ("foo", "echo"),
    ("foo/abc", "0"),
    ("fop", "zulu"),
];

/// A pair of the store, as which of the puts made its key, which made this state, and the number of puts so far.
type State = (usize, usize, i64);

const A: State = (1, 1, 1);
const B: State = (2, 2, 1);
const C1: State = (3, 3, 1);
const C2: State = (3, 4, 2);
const C: State = (3, 5, 3);
const FOO: State = (6, 6, 1);
const FOO_ABC: State = (7, 7, 1);
const FOP: State = (8, 8, 1);
const ALL: [State; 6] = [A, B, C, FOO, FOO_ABC, FOP];
const REVERSED: [State; 6] = [FOP, FOO_ABC, FOO, C, B, A];
const BY_VALUE: [State; 6] = [FOO_ABC, B, C, A, FOO, FOP];
const BY_VALUE_REVERSED: [State; 6] = [FOP, FOO, A, C, B, FOO_ABC];
const BY_VERSION: [State; 6] = [A, B, FOO, FOO_ABC, FOP, C];
const BY_VERSION_REVERSED: [State; 6] = [C, A, B, FOO, FOO_ABC, FOP];

/// A read and what it must give.
struct Row {
    get: Get,
    states: Vec<State>,
    count: u64,
    more: bool,
}

/// All that match are given.
fn whole(get: Get, states: &[State]) -> Row {
    Row { get, states: states.to_vec(), count: u64::try_from(states.len()).unwrap_or(u64::MAX), more: false }
}

/// A limit leaves some out: the count stays that of all that match.
fn limited(get: Get, states: &[State], count: u64) -> Row {
    Row { get, states: states.to_vec(), count, more: true }
}

/// Bounds of revisions leave some out: the count stays that of all that match, and no more are announced.
fn bounded(get: Get, states: &[State]) -> Row {
    Row { get, states: states.to_vec(), count: 6, more: false }
}

fn rows(start: i64) -> Vec<Row> {
    use SortOrder::{Ascend, Descend};
    use SortTarget::{CreateRevision, Key, ModRevision, Value, Version};
    let all = || Get::new("").prefix();
    let sorted = |target, order| all().sort(target, order);
    vec![
        whole(Get::new("a"), &[A]),
        whole(Get::new("a").serializable(), &[A]),
        whole(Get::new("nothing"), &[]),
        whole(Get::new("a").range("c"), &[A, B]),
        whole(Get::new("a").range("x"), &ALL),
        whole(Get::new("b").range("b"), &[]),
        whole(Get::new("c").range("a"), &[]),
        whole(all(), &ALL),
        whole(all().serializable(), &ALL),
        whole(Get::new("").from_key(), &ALL),
        whole(Get::new("\0").from_key(), &ALL),
        whole(Get::new("foo").prefix(), &[FOO, FOO_ABC]),
        whole(Get::new("foo").from_key(), &[FOO, FOO_ABC, FOP]),
        whole(all().revision(start + 3), &[A, B, C1]),
        whole(Get::new("c"), &[C]),
        whole(Get::new("c").revision(start + 3), &[C1]),
        whole(Get::new("c").revision(start + 4), &[C2]),
        whole(Get::new("c").revision(start + 5), &[C]),
        whole(Get::new("c").revision(start + 2), &[]),
        limited(all().limit(2), &[A, B], 6),
        limited(sorted(Key, Descend).limit(2), &[FOP, FOO_ABC], 6),
        limited(sorted(Value, Ascend).limit(1), &[FOO_ABC], 6),
        whole(all().limit(6), &ALL),
        whole(all().limit(100), &ALL),
        whole(sorted(Key, Ascend), &ALL),
        whole(sorted(Key, Descend), &REVERSED),
        whole(sorted(CreateRevision, Ascend), &ALL),
        whole(sorted(CreateRevision, Descend), &REVERSED),
        whole(sorted(ModRevision, Ascend), &ALL),
        whole(sorted(ModRevision, Descend), &REVERSED),
        whole(sorted(Version, Ascend), &BY_VERSION),
        whole(sorted(Version, Descend), &BY_VERSION_REVERSED),
        whole(sorted(Value, Ascend), &BY_VALUE),
        whole(sorted(Value, Descend), &BY_VALUE_REVERSED),
        // A target without an order is ascending.
        whole(all().sort_by(Key), &ALL),
        whole(all().sort_by(CreateRevision), &ALL),
        whole(all().sort_by(ModRevision), &ALL),
        whole(all().sort_by(Version), &BY_VERSION),
        whole(all().sort_by(Value), &BY_VALUE),
        bounded(all().min_mod_revision(start + 3), &[C, FOO, FOO_ABC, FOP]),
        bounded(all().min_mod_revision(start + 3).sort_by(ModRevision), &[C, FOO, FOO_ABC, FOP]),
        bounded(sorted(Key, Descend).max_mod_revision(start + 4), &[B, A]),
        bounded(sorted(Version, Descend).min_create_revision(start + 3), &[C, FOO, FOO_ABC, FOP]),
        bounded(sorted(Value, Descend).max_create_revision(start + 6), &[FOO, A, C, B]),
        bounded(all().min_mod_revision(start + 5).max_create_revision(start + 6), &[C, FOO]),
        limited(Get::new("").first_key(), &[A], 6),
        limited(Get::new("").last_key(), &[FOP], 6),
        limited(Get::new("foo").first_create(), &[FOO], 2),
        limited(Get::new("foo").last_create(), &[FOO_ABC], 2),
        limited(Get::new("").first_revision(), &[A], 6),
        limited(Get::new("").last_revision(), &[FOP], 6),
    ]
}

/// All members answer alike, so one is asked: a serializable read of another might not know the last put.
async fn kv_024(ctx: Context) -> Result<(), Failure> {
    let start = ctx.wipe().await?.get();
    let member = ctx.open(&Setup::new(&ctx.endpoints()[..1]))?;
    for (key, value) in PUTS {
        member.send(Put::new(key, value)).await?;
    }
    let header = member.send(Get::new("a")).await?.header;
    check_eq!(header.revision.get(), start + 8);
    for row in rows(start) {
        let request = format!("{:?}", row.get);
        let answer = member.send(row.get.clone()).await?;
        compare(&request, &answer, &row, header, start, true)?;
        let keys = member.send(row.get.clone().keys_only()).await?;
        compare(&format!("keys only, {request}"), &keys, &row, header, start, false)?;
        let count = member.send(row.get.clone().count_only()).await?;
        check_eq!((count.kvs.len(), count.count), (0, row.count), "count only, {request}");
    }
    Ok(())
}

fn compare(
    request: &str,
    answer: &GetResponse,
    row: &Row,
    header: ResponseHeader,
    start: i64,
    values: bool,
) -> Result<(), Failure> {
    let expected: Vec<_> = row.states.iter().map(|&state| pair(state, start, values)).collect();
    let got: Vec<_> = answer.kvs.iter().map(parts).collect();
    check_eq!(got, expected, "pairs of {request}");
    check_eq!((answer.count, answer.more), (row.count, row.more), "count and more of {request}");
    check_eq!(answer.header, header, "header of {request}");
    Ok(())
}

type Parts = (String, String, i64, i64, i64);

fn pair((created, modified, version): State, start: i64, value: bool) -> Parts {
    let (key, text) = PUTS[modified - 1];
    let revision = |put: usize| start + i64::try_from(put).unwrap_or(0);
    let text = if value { text.to_owned() } else { String::new() };
    (key.to_owned(), text, revision(created), revision(modified), version)
}

fn parts(kv: &KeyValue) -> Parts {
    (text(&kv.key), text(&kv.value), kv.create_revision.get(), kv.mod_revision.get(), kv.version)
}
