//! Progress on request and by interval.

use super::*;
use crate::model::WatchRules;

fn second() -> WatchConfig {
    WatchConfig { progress_interval: Duration::from_secs(1), ..Default::default() }
}

#[test]
fn request_is_answered_once_for_the_stream() {
    let mut bed = bed();
    bed.create(key("a"));
    bed.create(key("b"));
    bed.apply(&["c=1"]);
    bed.ask_progress();
    assert_eq!(bed.seen(), ["0@1 created", "1@1 created", "-1@2"]);
}

#[test]
fn request_without_watches_is_dropped() {
    let mut bed = bed();
    bed.ask_progress();
    assert!(bed.seen().is_empty());
}

#[test]
fn request_is_dropped_while_a_watch_is_unsynced() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.create(key("a"));
    bed.create(from("b", 1));
    bed.ask_progress();
    assert_eq!(bed.seen(), ["0@2 created", "1@2 created"]);
    bed.pass(100 * MS);
    bed.ask_progress();
    assert_eq!(bed.seen(), ["-1@2"]);
}

#[test]
fn request_is_dropped_while_a_watch_starts_in_the_future() {
    for (progress_before_start, expected) in [(false, &[][..]), (true, &["-1@1"])] {
        let rules = WatchRules { progress_before_start, ..Default::default() };
        let mut bed = Bed::new(WatchConfig { rules, ..Default::default() });
        bed.create(from("a", 3));
        bed.seen();
        bed.ask_progress();
        assert_eq!(bed.seen(), expected);
        bed.apply(&["b=1"]);
        bed.apply(&["b=2"]);
        bed.ask_progress();
        assert_eq!(bed.seen(), ["-1@3"]);
    }
}

#[test]
fn request_is_dropped_until_a_compacted_watch_is_cancelled() {
    let mut bed = bed();
    bed.apply(&["a=1"]);
    bed.store.compacted = 2;
    bed.create(from("a", 1));
    bed.pass(100 * MS);
    bed.seen();
    bed.ask_progress();
    assert!(bed.seen().is_empty());
    bed.create(key("a"));
    bed.cancel(0);
    bed.ask_progress();
    assert_eq!(bed.seen(), ["1@2 created", "0@2 canceled", "-1@2"]);
}

#[test]
fn request_overtakes_events_on_an_old_server() {
    let mut bed = Bed::new(old());
    bed.ask_progress();
    assert_eq!(bed.seen(), ["-1@1"], "even without a watch");
    bed.apply(&["a=1"]);
    bed.create(from("a", 1));
    bed.ask_progress();
    assert_eq!(bed.seen(), ["0@2 created", "-1@2"]);
    bed.pass(100 * MS);
    assert_eq!(bed.seen(), ["0@2 a=1@2"]);
}

#[test]
fn interval_tells_idle_watches_that_asked() {
    let mut bed = Bed::new(second());
    bed.create(WatchCreateRequest { progress_notify: true, ..key("a") });
    bed.create(key("b"));
    bed.apply(&["c=1"]);
    bed.seen();
    bed.pass(Duration::from_millis(999));
    assert!(bed.seen().is_empty());
    bed.pass(Duration::from_millis(102));
    assert_eq!(bed.seen(), ["0@2"]);
}

#[test]
fn interval_passes_over_a_watch_that_had_events() {
    let mut bed = Bed::new(second());
    bed.create(WatchCreateRequest { progress_notify: true, ..key("a") });
    bed.apply(&["a=1"]);
    bed.seen();
    bed.pass(Duration::from_millis(1100));
    assert!(bed.seen().is_empty());
    bed.pass(Duration::from_millis(1100));
    assert_eq!(bed.seen(), ["0@2"]);
}

#[test]
fn interval_passes_over_unsynced_watches() {
    let mut bed = Bed::new(WatchConfig { progress_interval: 100 * MS, ..Default::default() });
    bed.create(WatchCreateRequest { progress_notify: true, ..from("a", 9) });
    bed.seen();
    bed.pass(Duration::from_secs(1));
    assert!(bed.seen().is_empty());
}

#[test]
fn interval_differs_by_stream() {
    let mut bed = bed();
    let mut ticks = Vec::new();
    for number in 2..12 {
        bed.engine.open(bed.now, CallId(number));
        let create = WatchCreateRequest { progress_notify: true, ..key("a") };
        bed.request(CallId(number), RequestUnion::CreateRequest(create));
    }
    bed.seen();
    while ticks.len() < 10 {
        let at = bed.engine.poll_timeout().expect("a tick");
        bed.pass(at - bed.now);
        ticks.extend(bed.responses().iter().map(|_| at));
    }
    let spread = ticks[9] - ticks[0];
    assert!(spread > Duration::from_secs(5) && spread <= Duration::from_secs(60), "{spread:?}");
}
