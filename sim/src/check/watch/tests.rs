//! Histories that keep the rules and histories that break each of them: ROB-001, 002, 003, 005, 006 and 008 of the
//! catalogue, then what this project asks beyond them.

use bytes::Bytes;
use etcdium_proto::mvccpb::KeyValue;

use super::*;

/// Revisions 2 to 8: three puts, a deletion, the key made anew, and a transaction of two writes.
fn truth() -> Truth {
    let mut truth = Truth::new();
    truth.put(2, "a".into(), "1".into(), 0);
    truth.put(3, "a".into(), "2".into(), 0);
    truth.put(4, "b".into(), "3".into(), 0);
    truth.delete(5, "a".into());
    truth.put(6, "a".into(), "4".into(), 0);
    truth.put(7, "x".into(), "5".into(), 0);
    truth.put(8, "ab".into(), "6".into(), 0);
    truth.put(8, "b".into(), "7".into(), 0);
    truth
}

fn key(key: &'static str) -> WatchSpec {
    WatchSpec { key: key.into(), ..Default::default() }
}

fn everything() -> WatchSpec {
    WatchSpec { key: "a".into(), range_end: Bytes::from_static(&[0]), ..Default::default() }
}

fn prefix_a() -> WatchSpec {
    WatchSpec { key: "a".into(), range_end: "b".into(), ..Default::default() }
}

fn from(spec: WatchSpec, start_revision: i64) -> WatchSpec {
    WatchSpec { start_revision, ..spec }
}

/// The true events of these revisions and this range, as delivered without previous values.
fn events(spec: &WatchSpec, revisions: &[i64]) -> Vec<Event> {
    let truth = truth();
    let events = revisions.iter().flat_map(|revision| truth.between(*revision, *revision));
    events
        .filter(|event| spec.matches(event))
        .map(|event| Event { previous: None, ..event.clone() })
        .collect()
}

fn some(spec: &WatchSpec, revisions: &[i64]) -> Delivery {
    Delivery::Events(events(spec, revisions))
}

fn progress(revision: i64) -> Delivery {
    Delivery::Progress { revision }
}

/// The rules broken by this history, each once.
fn broken(spec: &WatchSpec, deliveries: &[Delivery]) -> Vec<WatchRule> {
    broken_in(&truth(), spec, deliveries)
}

fn broken_in(truth: &Truth, spec: &WatchSpec, deliveries: &[Delivery]) -> Vec<WatchRule> {
    let mut checker = WatchChecker::new(spec.clone());
    let faults = deliveries.iter().flat_map(|delivery| checker.deliver(truth, delivery));
    let mut rules: Vec<WatchRule> = faults.map(|fault| fault.rule).collect();
    rules.sort();
    rules.dedup();
    rules
}

#[test]
fn the_truth_computes_what_was_before() {
    let truth = truth();
    let [.., six, _, _, last] = truth.events() else { panic!("{truth:?}") };
    assert!(six.is_create() && six.previous.is_none());
    let kv = |value: &'static str, revision, version| KeyValue {
        key: "b".into(),
        value: value.into(),
        create_revision: 4,
        mod_revision: revision,
        version,
        lease: 0,
    };
    assert_eq!((&last.kv, last.previous.as_ref()), (&kv("7", 8, 2), Some(&kv("3", 4, 1))));
    assert!(!last.is_create());
    assert_eq!((truth.revision(), truth.between(5, 7).len()), (8, 3));
}

#[test]
fn rob_001_only_what_was_asked_for() {
    let all = everything();
    assert_eq!(broken(&from(key("a"), 2), &[some(&key("a"), &[2, 3])]), []);
    assert_eq!(broken(&from(prefix_a(), 5), &[some(&prefix_a(), &[5, 6]), some(&prefix_a(), &[8])]), []);
    // Another key than the one; a longer one than the exact one; one outside of the prefix.
    assert!(broken(&from(key("a"), 2), &[some(&all, &[2, 3, 4])]).contains(&WatchRule::Filter));
    assert!(broken(&from(key("a"), 6), &[some(&prefix_a(), &[6, 8])]).contains(&WatchRule::Filter));
    assert!(broken(&from(prefix_a(), 6), &[some(&all, &[6, 7])]).contains(&WatchRule::Filter));
    // Kinds of events that were to be left out.
    let no_put = WatchSpec { no_put: true, ..from(key("a"), 2) };
    let no_delete = WatchSpec { no_delete: true, ..from(key("a"), 2) };
    assert_eq!(broken(&no_put, &[some(&no_put, &[5]), progress(8)]), []);
    assert_eq!(broken(&no_put, &[some(&key("a"), &[5, 6])]), [WatchRule::Filter]);
    assert_eq!(broken(&no_delete, &[some(&no_delete, &[2, 3, 6]), progress(8)]), []);
    assert_eq!(broken(&no_delete, &[some(&key("a"), &[2, 3, 5])]), [WatchRule::Filter]);
}

#[test]
fn rob_002_revisions_never_decrease() {
    let all = everything();
    assert_eq!(broken(&from(all.clone(), 2), &[some(&all, &[2, 3]), some(&all, &[4])]), []);
    assert!(broken(&from(all.clone(), 2), &[some(&all, &[3, 2])]).contains(&WatchRule::Ordered));
    assert!(
        broken(&from(all.clone(), 2), &[some(&all, &[3]), some(&all, &[2])]).contains(&WatchRule::Ordered)
    );
    // Within one revision the order is that of the operations.
    let mut swapped = events(&all, &[8]);
    swapped.reverse();
    assert_eq!(broken(&from(all.clone(), 8), &[Delivery::Events(swapped)]), [WatchRule::Ordered]);
    // Different watches are not compared.
    assert_eq!(broken(&from(all.clone(), 3), &[some(&all, &[3])]), []);
    assert_eq!(broken(&from(all.clone(), 2), &[some(&all, &[2])]), []);
}

#[test]
fn rob_003_no_event_twice() {
    let all = everything();
    assert!(broken(&from(all.clone(), 2), &[some(&all, &[2, 2])]).contains(&WatchRule::Unique));
    assert!(
        broken(&from(all.clone(), 2), &[some(&all, &[2]), some(&all, &[2])]).contains(&WatchRule::Unique)
    );
    assert!(
        broken(&from(all.clone(), 2), &[some(&all, &[2, 3]), some(&all, &[2])]).contains(&WatchRule::Unique)
    );
    // Two keys of one revision are two events; separate watches may tell the same.
    assert_eq!(broken(&from(all.clone(), 8), &[some(&all, &[8])]), []);
    assert_eq!(broken(&from(all.clone(), 2), &[some(&all, &[2])]), []);
}

#[test]
fn rob_005_no_gap() {
    let all = everything();
    let start = || from(all.clone(), 2);
    assert_eq!(broken(&start(), &[some(&all, &[2, 3])]), [], "a missing tail");
    assert_eq!(broken(&start(), &[]), [], "nothing yet");
    assert_eq!(broken(&from(key("b"), 2), &[some(&key("b"), &[4]), progress(7)]), [], "filtered by key");
    assert_eq!(broken(&start(), &[some(&all, &[2, 4])]), [WatchRule::Reliable], "in the middle");
    assert_eq!(broken(&start(), &[some(&all, &[2]), some(&all, &[4])]), [WatchRule::Reliable]);
    assert_eq!(
        broken(&start(), &[some(&all, &[2]), progress(3)]),
        [WatchRule::Reliable],
        "before a bookmark"
    );
    assert_eq!(broken(&start(), &[progress(2)]), [WatchRule::Reliable], "before the first bookmark");
    let between = [some(&all, &[2]), progress(2), progress(4)];
    assert_eq!(broken(&start(), &between), [WatchRule::Reliable], "between two bookmarks");
    let behind = [some(&all, &[2]), progress(2), some(&all, &[4])];
    assert_eq!(broken(&start(), &behind), [WatchRule::Reliable], "behind a bookmark");
}

#[test]
fn rob_005_nothing_that_did_not_happen() {
    let all = everything();
    let forged = |change: fn(&mut Event)| {
        let mut events = events(&all, &[4]);
        change(&mut events[0]);
        broken(&from(all.clone(), 4), &[Delivery::Events(events)])
    };
    assert_eq!(forged(|event| event.kv.value = "?".into()), [WatchRule::Reliable]);
    assert_eq!(forged(|event| event.kv.version = 2), [WatchRule::Reliable]);
    assert_eq!(forged(|event| event.kv.lease = 1), [WatchRule::Reliable]);
    assert!(forged(|event| event.kv.mod_revision = 9).contains(&WatchRule::Reliable));
    assert!(forged(|event| event.kv.key = "c".into()).contains(&WatchRule::Reliable));
    assert!(forged(|event| event.kind = EventKind::Delete).contains(&WatchRule::Reliable));
}

#[test]
fn rob_005_a_watch_without_a_start_begins_with_its_confirmation() {
    let all = everything();
    let created = Delivery::Created { revision: 3 };
    assert_eq!(broken(&all, &[created.clone(), some(&all, &[4, 5])]), []);
    assert_eq!(broken(&all, &[created.clone(), some(&all, &[5])]), [WatchRule::Reliable]);
    assert_eq!(broken(&all, &[created.clone(), progress(4)]), [WatchRule::Reliable]);
    assert_eq!(broken(&all, &[created.clone(), some(&all, &[3])]), [WatchRule::Resumable]);
    // Made anew on another stream: the first confirmation counts.
    let again = Delivery::Created { revision: 6 };
    assert_eq!(broken(&all, &[created.clone(), again.clone(), some(&all, &[4])]), []);
    assert_eq!(broken(&all, &[created, again, some(&all, &[7])]), [WatchRule::Reliable]);
    // Without one the first event or bookmark decides.
    assert_eq!(broken(&all, &[some(&all, &[6, 7])]), []);
    assert_eq!(broken(&all, &[progress(5), some(&all, &[6])]), []);
    assert_eq!(broken(&all, &[progress(5), some(&all, &[7])]), [WatchRule::Reliable]);
}

#[test]
fn rob_006_a_watch_from_a_revision_misses_nothing() {
    let all = everything();
    assert_eq!(broken(&from(key("b"), 3), &[some(&key("b"), &[4])]), []);
    assert_eq!(broken(&from(prefix_a(), 4), &[some(&prefix_a(), &[5])]), []);
    assert_eq!(broken(&from(key("a"), 4), &[some(&key("a"), &[6])]), [WatchRule::Resumable]);
    assert_eq!(broken(&from(prefix_a(), 4), &[some(&prefix_a(), &[6])]), [WatchRule::Resumable]);
    assert_eq!(broken(&from(all.clone(), 4), &[some(&all, &[3, 4])]), [WatchRule::Resumable], "too early");
    // A start in the future, with a bookmark before it.
    assert_eq!(broken(&from(all.clone(), 7), &[progress(5), some(&all, &[7])]), []);
    assert_eq!(broken(&from(all.clone(), 7), &[progress(5), some(&all, &[6, 7])]), [WatchRule::Resumable]);
}

#[test]
fn rob_008_the_flag_of_creation_is_right() {
    let spec = key("a");
    let forged = |revision, create_revision| {
        let mut events = events(&spec, &[revision]);
        events[0].kv.create_revision = create_revision;
        broken(&from(spec.clone(), revision), &[Delivery::Events(events)])
    };
    assert_eq!(forged(2, 2), []);
    assert_eq!(forged(3, 3), [WatchRule::IsCreate], "the second put");
    assert_eq!(forged(6, 2), [WatchRule::IsCreate], "a put after a deletion");
    assert_eq!(forged(3, 1), [WatchRule::Reliable], "made at another revision");
}

#[test]
fn a_revision_is_delivered_whole() {
    let all = everything();
    let [first, second] = &events(&all, &[8])[..] else { panic!("two events") };
    let part = |event: &Event| Delivery::Events(vec![event.clone()]);
    let start = from(all, 8);
    assert_eq!(broken(&start, &[part(first)]), [WatchRule::Atomic]);
    assert_eq!(broken(&start, &[part(second)]), [WatchRule::Atomic]);
    assert!(broken(&start, &[part(first), part(second)]).contains(&WatchRule::Atomic));
    // What the range leaves out is not missed.
    assert_eq!(broken(&from(key("b"), 8), &[part(second)]), []);
}

#[test]
fn nothing_follows_a_bookmark_that_it_covers() {
    let all = everything();
    let start = from(all.clone(), 2);
    assert_eq!(broken(&start, &[some(&all, &[2, 3]), progress(3), progress(3), some(&all, &[4])]), []);
    assert!(broken(&start, &[progress(3), some(&all, &[2, 3])]).contains(&WatchRule::Bookmarkable));
    assert_eq!(broken(&start, &[some(&all, &[2, 3]), progress(2)]), [WatchRule::Bookmarkable], "back");
    let back = [some(&all, &[2, 3]), progress(3), progress(2)];
    assert_eq!(broken(&start, &back), [WatchRule::Bookmarkable]);
    assert_eq!(broken(&from(all, 9), &[progress(9)]), [WatchRule::Bookmarkable], "beyond the truth");
}

#[test]
fn previous_values_are_right() {
    let plain = from(key("a"), 3);
    let asked = WatchSpec { prev_kv: true, ..plain.clone() };
    let real = truth().between(3, 3).to_vec();
    let with =
        |previous: Option<KeyValue>| vec![Delivery::Events(vec![Event { previous, ..real[0].clone() }])];
    let right = real[0].previous.clone();
    let wrong = right.clone().map(|kv| KeyValue { value: "?".into(), ..kv });
    assert_eq!(broken(&asked, &with(right.clone())), []);
    assert_eq!(broken(&asked, &with(wrong)), [WatchRule::Previous]);
    assert_eq!(broken(&asked, &with(None)), [WatchRule::Previous]);
    assert_eq!(broken(&plain, &with(right)), [WatchRule::Previous], "not asked for");
    // The revision before is compacted: its value may be gone.
    let mut compacted = truth();
    compacted.compact(3);
    assert_eq!(broken_in(&compacted, &asked, &with(None)), []);
}

#[test]
fn a_watch_ends_as_compacted_only_when_it_is() {
    let mut truth = truth();
    truth.compact(5);
    let all = everything();
    let end = |oldest| Delivery::Compacted { oldest };
    assert_eq!(broken_in(&truth, &from(all.clone(), 3), &[end(5)]), []);
    assert_eq!(broken_in(&truth, &from(all.clone(), 2), &[some(&all, &[2, 3]), end(5)]), []);
    assert_eq!(broken_in(&truth, &from(all.clone(), 5), &[end(5)]), [WatchRule::Compaction], "still there");
    assert_eq!(broken_in(&truth, &from(all.clone(), 3), &[end(6)]), [WatchRule::Compaction], "not compacted");
    let after = [end(5), some(&all, &[3])];
    assert_eq!(broken_in(&truth, &from(all, 3), &after), [WatchRule::Compaction], "after the end");
}

#[test]
fn what_is_missing_at_the_end_is_known() {
    let truth = truth();
    let mut checker = WatchChecker::new(from(prefix_a(), 3));
    assert_eq!(checker.missing(&truth).count(), 4);
    assert_eq!(checker.deliver(&truth, &some(&prefix_a(), &[3])), []);
    assert_eq!(checker.missing(&truth).map(Event::revision).collect::<Vec<_>>(), [5, 6, 8]);
    assert_eq!(checker.deliver(&truth, &progress(5)).len(), 1);
    assert_eq!((checker.next_revision(), checker.missing(&truth).count()), (Some(6), 2));
    checker.deliver(&truth, &Delivery::Compacted { oldest: 7 });
    assert_eq!(checker.missing(&truth).count(), 0);
}
