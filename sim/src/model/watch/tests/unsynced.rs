//! Watches that start in the past, fall behind, or find their past compacted.

use super::*;
use crate::model::WatchRules;

fn history(bed: &mut Bed, count: usize) {
    for _ in 0..count {
        bed.apply(&["a=x"]);
    }
}

#[test]
fn past_start_is_served_within_one_round() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.apply(&["b=1"]);
    bed.apply(&["a=2", "b=2"]);
    bed.create(from("a", 2));
    bed.create(from("b", 4));
    assert_eq!(bed.seen(), ["0@4 created", "1@4 created"]);
    bed.pass(100 * MS);
    assert_eq!(bed.seen(), ["0@4 a=1@2 a=2@4", "1@4 b=2@4"]);
    bed.apply(&["a=3"]);
    assert_eq!(bed.seen(), ["0@5 a=3@5"], "synced from now on");
    assert_eq!(bed.engine.poll_timeout(), None);
}

#[test]
fn unsynced_watch_hears_new_revisions_in_its_round_only() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.create(from("a", 1));
    bed.apply(&["a=2"]);
    assert_eq!(bed.seen(), ["0@2 created"]);
    bed.pass(100 * MS);
    assert_eq!(bed.seen(), ["0@3 a=1@2 a=2@3"]);
}

#[test]
fn catching_up_takes_a_thousand_revisions_per_round() {
    let mut bed = bed();
    history(&mut bed, 2500);
    bed.create(from("a", 1));
    bed.seen();
    let mut rounds = Vec::new();
    for _ in 0..4 {
        bed.pass(100 * MS);
        rounds.extend(bed.responses().iter().map(|response| {
            (response.events.len(), response.header.as_ref().map_or(0, |header| header.revision))
        }));
    }
    assert_eq!(rounds, [(1000, 2501), (1000, 2501), (500, 2501)], "the header is ahead of the events");
}

#[test]
fn rounds_serve_512_watches() {
    let mut bed = bed();
    history(&mut bed, 1);
    for _ in 0..600 {
        bed.create(from("a", 2));
    }
    bed.seen();
    let mut first = None;
    while first.is_none() {
        bed.pass(MS / 2);
        first = Some(bed.seen().len()).filter(|count| *count > 0);
    }
    assert_eq!(first, Some(512));
    bed.pass(2 * MS);
    assert_eq!(bed.seen().len(), 88, "the next round follows at once");
}

#[test]
fn compacted_start_is_created_then_canceled() {
    let mut bed = bed();
    history(&mut bed, 5);
    bed.store.compacted = 4;
    bed.create(from("a", 3));
    bed.create(from("a", 4));
    bed.pass(100 * MS);
    assert_eq!(
        bed.seen(),
        ["0@6 created", "1@6 created", "0@0 canceled compacted 4", "1@6 a=x@4 a=x@5 a=x@6"]
    );
}

#[test]
fn lagging_watch_is_canceled_by_compaction() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.credit(Some(0));
    history(&mut bed, 200);
    bed.store.compacted = 180;
    bed.credit(None);
    bed.pass(200 * MS);
    let seen = bed.seen();
    assert_eq!(seen.len(), 1 + 129 + 1, "created, 128 queued and one victim");
    assert_eq!(seen.last().map(String::as_str), Some("0@0 canceled compacted 180"));
}

#[test]
fn deletion_at_the_compacted_revision() {
    for (rules, expected) in [(WatchRules::default(), "0@4 a-@3 b=1@4"), (old().rules, "0@4 b=1@4")] {
        let mut bed = Bed::new(WatchConfig { rules, ..Default::default() });
        bed.apply(&["a=1"]);
        bed.apply(&["a"]);
        bed.apply(&["b=1"]);
        bed.store.compacted = 3;
        bed.create(WatchCreateRequest { start_revision: 3, ..all() });
        bed.pass(100 * MS);
        assert_eq!(bed.seen()[1..], [expected]);
    }
}

#[test]
fn victims_lose_nothing() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.seen();
    bed.credit(Some(0));
    history(&mut bed, 300);
    assert!(bed.seen().is_empty());
    bed.credit(Some(50));
    bed.pass(20 * MS);
    assert_eq!(bed.responses().len(), 50);
    bed.credit(None);
    bed.pass(200 * MS);
    let told: Vec<i64> = bed
        .responses()
        .iter()
        .flat_map(|response| response.events.iter().map(super::super::watcher::mod_revision))
        .collect();
    assert_eq!(told, (52..=301).collect::<Vec<i64>>());
    assert_eq!(bed.engine.poll_timeout(), None);
}

#[test]
fn cancelled_victim_is_forgotten() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.credit(Some(0));
    history(&mut bed, 130);
    bed.cancel(0);
    bed.credit(None);
    bed.pass(100 * MS);
    assert_eq!(bed.engine.watch_count(), 0);
    assert_eq!(bed.engine.poll_timeout(), None);
}

#[test]
fn compaction_finds_a_full_stream() {
    for (rules, told) in [(WatchRules::default(), true), (old().rules, false)] {
        let mut bed = Bed::new(WatchConfig { rules, ..Default::default() });
        bed.create(key("a"));
        bed.create(from("b", 1));
        bed.credit(Some(0));
        history(&mut bed, 140);
        bed.store.compacted = 100;
        bed.pass(300 * MS);
        bed.credit(None);
        bed.pass(300 * MS);
        let seen = bed.seen();
        assert_eq!(seen.contains(&"1@0 canceled compacted 100".to_owned()), told, "{seen:?}");
    }
}

#[test]
fn replaced_store_makes_watches_compare_again() {
    for (rules, repeated) in [(WatchRules::default(), 0), (old().rules, 1)] {
        let mut bed = Bed::new(WatchConfig { rules, ..Default::default() });
        bed.create(key("a"));
        bed.create(from("a", 1_000_000));
        bed.apply(&["a=1"]);
        bed.seen();
        // A snapshot brings revision 3.
        let mut event = bed.store.events[0].clone();
        if let Some(kv) = &mut event.kv {
            (kv.mod_revision, kv.version) = (3, 2);
        }
        bed.store.events.push(event);
        bed.store.revision = 3;
        bed.engine.store_replaced(bed.now, &bed.store);
        bed.pass(100 * MS);
        let events: usize = bed.responses().iter().map(|response| response.events.len()).sum();
        assert_eq!(events, 1 + repeated);
        bed.apply(&["a=4"]);
        let ids: Vec<i64> = bed.responses().iter().map(|response| response.watch_id).collect();
        let expected: &[i64] = if repeated == 1 { &[0, 1] } else { &[0] };
        assert_eq!(ids, expected, "a start in the future is kept, except by old servers");
    }
}

#[test]
fn older_store_leaves_watches_waiting() {
    let mut bed = bed();
    history(&mut bed, 9);
    bed.create(key("a"));
    bed.seen();
    bed.store.events.truncate(4);
    bed.store.revision = 5;
    bed.engine.store_replaced(bed.now, &bed.store);
    bed.pass(100 * MS);
    history(&mut bed, 4);
    assert!(bed.seen().is_empty(), "revisions it knew already");
    history(&mut bed, 2);
    assert_eq!(bed.seen(), ["0@11 a=x@11"]);
}
