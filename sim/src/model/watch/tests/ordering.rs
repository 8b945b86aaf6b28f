//! What may come before what.

use super::*;
use crate::model::Disorder;

fn with(disorder: Disorder) -> Bed {
    Bed::new(WatchConfig { disorder, ..Default::default() })
}

fn seeded(disorder: Disorder, seed: u64) -> Bed {
    let mut bed = with(disorder);
    bed.engine = WatchEngine::new(bed.engine.config.clone(), bed.now, seed);
    bed.engine.open(bed.now, CALL);
    bed
}

#[test]
fn created_header_may_name_a_revision_whose_event_follows() {
    let delayed = Disorder { create_delay: 10 * MS, ..Default::default() };
    let mut bed = with(delayed);
    bed.create(key("a"));
    bed.apply(&["a=1"]);
    assert!(bed.seen().is_empty());
    bed.pass(10 * MS);
    assert_eq!(bed.seen(), ["0@2 created", "0@2 a=1@2"]);
}

#[test]
fn created_header_of_an_old_server_is_where_the_watch_starts() {
    let delayed = Disorder { create_delay: 10 * MS, ..Default::default() };
    let mut bed = Bed::new(WatchConfig { disorder: delayed, ..old() });
    bed.create(key("a"));
    bed.apply(&["a=1"]);
    bed.pass(10 * MS);
    assert_eq!(bed.seen(), ["0@1 created"]);
    bed.pass(100 * MS);
    assert_eq!(bed.seen(), ["0@2 a=1@2"]);
}

#[test]
fn nothing_precedes_created_whatever_the_order() {
    for seed in 0..50 {
        let disorder = Disorder { send_delay: 20 * MS, shuffle: true, ..Default::default() };
        let mut bed = seeded(disorder, seed);
        bed.apply(&["a=1"]);
        for watch_id in [3, 5] {
            bed.create(WatchCreateRequest { watch_id, ..from("a", if watch_id == 3 { 1 } else { 0 }) });
        }
        bed.apply(&["a=2"]);
        bed.pass(Duration::from_secs(1));
        let seen = bed.seen();
        for (watch_id, events) in [(3, vec![2, 3]), (5, vec![3])] {
            let of: Vec<&String> =
                seen.iter().filter(|seen| seen.starts_with(&format!("{watch_id}@"))).collect();
            assert!(of[0].contains("created"), "{seen:?}");
            let told: Vec<i64> = of
                .iter()
                .flat_map(|seen| seen.split("@").skip(2))
                .map(|at| at.split(' ').next().and_then(|at| at.parse().ok()).expect("a revision"))
                .collect();
            assert_eq!(told, events, "{seen:?}");
        }
    }
}

#[test]
fn events_may_come_before_or_after_their_cancel_answer() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut bed = seeded(Disorder { shuffle: true, ..Default::default() }, seed);
        bed.create(key("a"));
        bed.credit(Some(0));
        bed.apply(&["a=1"]);
        bed.cancel(0);
        bed.credit(None);
        let seen = bed.seen();
        assert_eq!(seen[0], "0@1 created");
        orders.insert(seen[1..].join(", "));
    }
    let orders: Vec<String> = orders.into_iter().collect();
    assert_eq!(orders, ["0@2 a=1@2, 0@2 canceled", "0@2 canceled"], "after it they are held back");
}

#[test]
fn id_used_again_may_hear_what_its_predecessor_missed() {
    let mut found = false;
    for seed in 0..50 {
        let mut bed = seeded(Disorder { shuffle: true, ..Default::default() }, seed);
        bed.create(WatchCreateRequest { watch_id: 9, ..key("a") });
        bed.credit(Some(0));
        bed.apply(&["a=1"]);
        bed.cancel(9);
        bed.credit(None);
        bed.create(WatchCreateRequest { watch_id: 9, ..key("b") });
        let seen = bed.seen();
        found |= seen.ends_with(&["9@2 created".to_owned(), "9@2 a=1@2".to_owned()]);
    }
    assert!(found);
}

#[test]
fn same_seed_same_outputs() {
    let run = |seed| {
        let disorder =
            Disorder { send_delay: 5 * MS, create_delay: 5 * MS, sync_delay: 50 * MS, shuffle: true };
        let mut bed = seeded(disorder, seed);
        for round in 0..20 {
            bed.create(if round % 3 == 0 { from("a", 1) } else { all() });
            bed.apply(&["a=1", "b=2"]);
            bed.ask_progress();
            bed.pass(3 * MS);
        }
        bed.pass(Duration::from_secs(2));
        bed.seen()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
