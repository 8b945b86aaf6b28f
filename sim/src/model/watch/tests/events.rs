//! What a synced watch is told.

use super::*;
use etcdium_proto::etcdserverpb::watch_create_request::FilterType;

#[test]
fn synced_watch_hears_each_revision_at_once() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.apply(&["a=1"]);
    bed.apply(&["b=1"]);
    bed.apply(&["a"]);
    assert_eq!(bed.seen(), ["0@1 created", "0@2 a=1@2", "0@4 a-@4"]);
    assert_eq!(bed.engine.poll_timeout(), None);
}

#[test]
fn events_of_one_revision_come_in_one_response() {
    let mut bed = bed();
    bed.create(all());
    bed.apply(&["a=1", "b=2", "c=3"]);
    assert_eq!(bed.seen(), ["0@1 created", "0@2 a=1@2 b=2@2 c=3@2"]);
}

#[test]
fn ranges_match() {
    let table = [
        ("a", "c", "a=1@2 ab=1@2 b=1@2"),
        ("b", "", "b=1@2"),
        ("b", "\0", "b=1@2 c=1@2"),
        ("", "b", "a=1@2 ab=1@2"),
        ("\0", "\0", "a=1@2 ab=1@2 b=1@2 c=1@2"),
    ];
    for (start, end, expected) in table {
        let mut bed = bed();
        bed.create(WatchCreateRequest { range_end: end.into(), ..key(start) });
        bed.apply(&["a=1", "ab=1", "b=1", "c=1"]);
        assert_eq!(bed.seen()[1..], [format!("0@2 {expected}")], "{start:?} {end:?}");
    }
}

#[test]
fn filters_hold_back_events_and_empty_responses() {
    let table: [(&[FilterType], &[&str]); 4] = [
        (&[], &["0@2 a=1@2", "0@3 a-@3 b=1@3"]),
        (&[FilterType::Noput], &["0@3 a-@3"]),
        (&[FilterType::Nodelete], &["0@2 a=1@2", "0@3 b=1@3"]),
        (&[FilterType::Nodelete, FilterType::Noput], &[]),
    ];
    for (filters, expected) in table {
        let mut bed = bed();
        let filters = filters.iter().map(|filter| *filter as i32).collect();
        bed.create(WatchCreateRequest { filters, ..all() });
        bed.apply(&["a=1"]);
        bed.apply(&["a", "b=1"]);
        assert_eq!(bed.seen()[1..], *expected);
    }
}

#[test]
fn previous_values_except_of_creations() {
    let mut bed = bed();
    bed.create(WatchCreateRequest { prev_kv: true, ..key("a") });
    bed.create(key("a"));
    bed.seen();
    for operation in ["a=1", "a=2", "a", "a=3"] {
        bed.apply(&[operation]);
    }
    let with: Vec<String> = bed.seen().into_iter().filter(|seen| seen.starts_with('0')).collect();
    assert_eq!(with, ["0@2 a=1@2", "0@3 a=2@3<1", "0@4 a-@4<2", "0@5 a=3@5"]);
}

#[test]
fn previous_value_is_gone_when_compacted_before_sending() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.create(WatchCreateRequest { prev_kv: true, ..key("a") });
    bed.credit(Some(0));
    bed.apply(&["a=2"]);
    bed.apply(&["a=3"]);
    bed.store.compacted = 3;
    bed.credit(None);
    assert_eq!(bed.seen()[1..], ["0@3 a=2@3", "0@4 a=3@4<2"]);
}

#[test]
fn future_start_waits_for_its_revision() {
    let mut bed = bed();
    bed.create(from("a", 4));
    for value in ["a=2", "a=3", "a=4", "a=5"] {
        bed.apply(&[value]);
    }
    assert_eq!(bed.seen(), ["0@1 created", "0@4 a=4@4", "0@5 a=5@5"]);
}

#[test]
fn large_responses_are_cut_only_when_asked() {
    let value: &'static str = Box::leak(format!("a={}", "v".repeat(1 << 20)).into_boxed_str());
    let other: &'static str = Box::leak(format!("b={}", "v".repeat(1 << 20)).into_boxed_str());
    let third: &'static str = Box::leak(format!("c={}", "v".repeat(1 << 20)).into_boxed_str());
    let mut bed = bed();
    bed.create(all());
    bed.create(WatchCreateRequest { fragment: true, ..all() });
    bed.seen();
    bed.apply(&[value, other, third]);
    let parts: Vec<(i64, usize, bool)> = bed
        .responses()
        .iter()
        .map(|response| (response.watch_id, response.events.len(), response.fragment))
        .collect();
    assert_eq!(parts, [(0, 3, false), (1, 1, true), (1, 1, true), (1, 1, false)]);
}

#[test]
fn a_thousand_watches_of_one_stream_hear_a_revision() {
    let mut bed = bed();
    for number in 0..1000 {
        bed.create(if number % 2 == 0 { all() } else { key("a") });
    }
    bed.seen();
    bed.apply(&["a=1"]);
    let mut ids: Vec<i64> = bed.responses().iter().map(|response| response.watch_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..1000).collect::<Vec<i64>>());
    assert_eq!(bed.engine.poll_timeout(), None);
}
