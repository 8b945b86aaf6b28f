//! Whatever the order, a watch hears all it asked for, once, by rising revision, each revision whole.

use std::collections::BTreeMap;

use etcdium_proto::etcdserverpb::watch_create_request::FilterType;

use super::super::span::{End, Span};
use super::super::watcher::{is_deletion, mod_revision};
use super::*;
use crate::model::{Disorder, WatchRules};
use crate::rng::Rng;

/// A watch as its client sees it.
struct Heard {
    create: WatchCreateRequest,
    /// The revision after which it starts, when it starts from now on.
    began: i64,
    created: Option<i64>,
    events: Vec<Event>,
    over: bool,
    partial: bool,
    /// Revisions up to which it was told to have heard everything, and how much that was.
    progress: Vec<(i64, usize)>,
}

fn random_create(rng: &mut Rng, id: i64, revision: i64) -> WatchCreateRequest {
    const SPANS: [(&str, &str); 6] = [("a", ""), ("b", ""), ("a", "c"), ("b", "\0"), ("", "\0"), ("c", "")];
    let (start, end) = SPANS[rng.below(6) as usize];
    let start_revision = match rng.below(4) {
        0 => rng.below(revision as u64) as i64 + 1,
        1 => revision + rng.below(8) as i64,
        _ => 0,
    };
    let filters = match rng.below(6) {
        0 => vec![FilterType::Noput as i32],
        1 => vec![FilterType::Nodelete as i32],
        _ => Vec::new(),
    };
    WatchCreateRequest {
        range_end: end.into(),
        start_revision,
        filters,
        watch_id: id,
        fragment: rng.chance(500),
        progress_notify: rng.chance(500),
        ..key(start)
    }
}

fn hear(watches: &mut BTreeMap<i64, Heard>, responses: Vec<WatchResponse>) {
    for response in responses {
        let revision = response.header.as_ref().expect("a header").revision;
        if response.watch_id == -1 && !response.created {
            // One that was asked for before a watch was created may come after its created answer, and then says
            // nothing about it.
            for watch in watches.values_mut().filter(|watch| watch.created.is_some_and(|at| at < revision)) {
                watch.progress.push((revision, watch.events.len()));
            }
            continue;
        }
        let watch = watches.get_mut(&response.watch_id).expect("a watch that was asked for");
        if response.created {
            assert_eq!(watch.created.replace(revision), None, "created once");
            continue;
        }
        assert!(watch.created.is_some() && !watch.over, "{}", short(&response));
        let first = response.events.first().map_or(i64::MAX, mod_revision);
        let last = watch.events.last().map_or(0, mod_revision);
        assert!(if watch.partial { first >= last } else { first > last }, "rising, whole revisions");
        watch.partial = response.fragment;
        if response.events.is_empty() && !response.canceled {
            watch.progress.push((revision, watch.events.len()));
        }
        watch.events.extend(response.events);
        watch.over = response.canceled;
    }
}

impl Heard {
    fn wants(&self, event: &Event) -> bool {
        let span = Span::from_request(self.create.key.clone(), self.create.range_end.clone());
        let span = span.expect("no empty range");
        let key = key_of(event);
        let filter = if is_deletion(event) { FilterType::Nodelete } else { FilterType::Noput };
        let inside = match span.end {
            End::Single => key == &*span.start,
            end => key >= &*span.start && end.is_after(key),
        };
        let start = if self.create.start_revision == 0 { self.began + 1 } else { self.create.start_revision };
        inside && mod_revision(event) >= start && !self.create.filters.contains(&(filter as i32))
    }
}

fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let delay = |rng: &mut Rng| rng.between(Duration::ZERO, 30 * MS);
    let disorder = Disorder {
        send_delay: delay(&mut rng),
        create_delay: if rng.chance(500) { delay(&mut rng) } else { Duration::ZERO },
        sync_delay: delay(&mut rng),
        shuffle: rng.chance(500),
    };
    let rules = WatchRules { created_header_before: rng.chance(500), ..Default::default() };
    let mut bed = Bed::new(WatchConfig { disorder, rules, max_request_bytes: 0, ..Default::default() });
    let mut watches: BTreeMap<i64, Heard> = BTreeMap::new();
    bed.engine = WatchEngine::new(bed.engine.config.clone(), bed.now, seed);
    bed.engine.open(bed.now, CALL);

    for _ in 0..200 {
        match rng.below(16) {
            0..=6 => {
                let all = ["a=1", "b=2", "c=3", "a", "b", "c"];
                let from = rng.below(3) as usize;
                bed.apply(&all[from..=from + rng.below(3) as usize]);
            }
            7 | 8 => {
                let id = watches.len() as i64 + 1;
                let create = random_create(&mut rng, id, bed.store.revision);
                let heard = Heard {
                    create: create.clone(),
                    began: bed.store.revision,
                    created: None,
                    events: Vec::new(),
                    over: false,
                    partial: false,
                    progress: Vec::new(),
                };
                watches.insert(id, heard);
                bed.create(create);
                // Requests are read one by one: let it be registered before the store moves on.
                bed.credit(None);
                while !bed.engine.streams[&CALL].watches.contains_key(&id) {
                    bed.pass(10 * MS);
                }
            }
            9 => bed.ask_progress(),
            10 => bed.credit(Some(rng.below(4) as usize)),
            11 => bed.credit(None),
            12 if rng.below(3) == 0 => {
                let kept = bed.store.revision - bed.store.compacted;
                bed.store.compacted += rng.below(kept as u64 + 1) as i64;
            }
            13 => {
                for _ in 0..rng.below(300) {
                    bed.apply(&["a=x"]);
                }
            }
            _ => {
                let time = rng.between(Duration::ZERO, 200 * MS);
                bed.pass(time);
            }
        }
        hear(&mut watches, bed.responses());
    }
    bed.credit(None);
    bed.pass(Duration::from_secs(120));
    hear(&mut watches, bed.responses());
    for (id, watch) in &watches {
        let wanted: Vec<&Event> = bed.store.events.iter().filter(|event| watch.wants(event)).collect();
        let heard: Vec<&Event> = watch.events.iter().collect();
        assert!(watch.created.is_some(), "seed {seed}: watch {id} is created");
        for (revision, count) in &watch.progress {
            let due = wanted.iter().take_while(|event| mod_revision(event) <= *revision).count();
            assert!(watch.over || due <= *count, "seed {seed}: watch {id} at {revision}");
        }
        if watch.over {
            assert!(wanted.starts_with(&heard), "seed {seed}: watch {id} has a gap");
        } else {
            assert_eq!(heard, wanted, "seed {seed}: watch {id}");
        }
    }
}

#[test]
fn every_watch_hears_all_it_asked_for() {
    (0..40).for_each(run);
}
