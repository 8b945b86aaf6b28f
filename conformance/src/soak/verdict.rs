//! Whether everything that was told is what happened.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use etcdium_client::{Event, EventKind, Revision};

use super::findings::Findings;
use super::follower::Mirror;
use super::history::{History, digest};
use super::watch::{Life, Told};
use super::writer::{Said, Tag, Written};

/// Judges what a watch told. It has to be all that there was from its start up to where it came. Gives the number of
/// revisions that came without the pairs before although these were asked for.
///
/// That is etcd's: it makes a watch and sets its `prev_kv` afterwards (`recvLoop` in `etcdserver/api/v3rpc/watch.go`), so that
/// what it sends in between has none. A watch that was parked or lost its stream is made again, too.
pub(super) fn judge_life(history: &History, life: &Life, findings: &Findings) -> u64 {
    let mut bare = 0;
    let mut expected = expectation(history, life);
    let mut told = life.told.iter();
    let mut marks = life.progress.iter().peekable();
    for number in 0.. {
        let (wanted, got) = (expected.next(), told.next());
        // Progress that was told when so much had been told: nothing that is still to come may be below it.
        while let Some((progress, _)) = marks.next_if(|(_, count)| *count <= number) {
            if let Some((revision, _)) = wanted.as_ref().filter(|(revision, _)| revision <= progress) {
                let name = &life.name;
                findings.add(format!("{name}: progress {progress} was told before {revision}"));
            }
        }
        let difference = match (wanted, got) {
            (None, None) => return bare,
            (Some((revision, events)), Some(got)) => {
                let right = Told::new(revision, &events);
                if right == *got {
                    continue;
                }
                if is_bare(revision, &events, got) {
                    bare += 1;
                    continue;
                }
                match got.revision == revision {
                    true => {
                        let (show, how) = (show(&events), explain(revision, &events, got));
                        format!("{} other events of {revision} than {show}; {how}", got.events)
                    }
                    false => format!("{} instead of {revision}, which has {}", got.revision, show(&events)),
                }
            }
            (Some((revision, events)), None) => {
                format!("nothing of {revision}, which has {}; {} was next", show(&events), life.next)
            }
            (None, Some(got)) => format!("{}, of which it has nothing to tell", got.revision),
        };
        let (name, start, count) = (&life.name, life.start, life.told.len());
        findings.add(format!(
            "{name}: as number {number} of {count} after its start at {start} it told {difference}"
        ));
        return bare;
    }
    bare
}

/// Whether this is what was told, without any pair before.
fn is_bare(revision: Revision, events: &[Event], got: &Told) -> bool {
    let mut events = events.to_vec();
    events.iter_mut().for_each(|event| event.prev_kv = None);
    Told::new(revision, &events) == *got
}

/// What was told in place of these events, as far as it can be guessed.
fn explain(revision: Revision, events: &[Event], got: &Told) -> String {
    let is = |events: &[Event]| Told::new(revision, events) == *got;
    for first in 0..events.len() {
        for end in first + 1..=events.len() {
            if is(&events[first..end]) {
                return format!("only those from {first} up to and without {end} were told");
            }
        }
        let mut fewer = events.to_vec();
        fewer.remove(first);
        if is(&fewer) {
            return format!("number {first} was left out");
        }
    }
    // Some without the pair before.
    let with: Vec<usize> = (0..events.len()).filter(|index| events[*index].prev_kv.is_some()).collect();
    for chosen in 1_u32..1 << with.len().min(12) {
        let mut stripped = events.to_vec();
        let lacking: Vec<usize> = with
            .iter()
            .enumerate()
            .filter(|(bit, _)| chosen >> bit & 1 == 1)
            .map(|(_, index)| *index)
            .collect();
        lacking.iter().for_each(|index| stripped[*index].prev_kv = None);
        if is(&stripped) {
            return format!("numbers {lacking:?} were told without the one before");
        }
    }
    "in a way that was not found out".to_owned()
}

/// Everything a watch has to tell, from its start up to where it came.
fn expectation(history: &History, life: &Life) -> impl Iterator<Item = (Revision, Vec<Event>)> {
    let upto = Revision::new(life.next.get() - 1);
    history.between(life.start, upto).filter_map(|(revision, events)| {
        let events: Vec<Event> = events.iter().filter_map(|event| life.shape.sees(event)).collect();
        (!events.is_empty()).then_some((revision, events))
    })
}

/// Judges the state that a follower ended with.
pub(super) fn judge_mirror(history: &History, mirror: &Mirror, findings: &Findings) {
    let state = history.state(&mirror.prefix, mirror.revision);
    let (name, revision) = (&mirror.name, mirror.revision);
    for (key, pair) in &state {
        match mirror.state.get(*key) {
            Some(kept) if *kept == digest(pair) => {}
            Some(_) => findings.add(format!("{name}: at {revision} it has another {}", text(key))),
            None => findings.add(format!(
                "{name}: at {revision} it lacks {} of revision {}",
                text(key),
                pair.mod_revision
            )),
        }
    }
    for key in mirror.state.keys().filter(|key| !state.contains_key(key)) {
        findings.add(format!("{name}: at {revision} it still has {}", text(key)));
    }
}

/// Judges what the client said of writes.
pub(super) fn judge_writes(history: &History, written: &[Written], findings: &Findings) {
    let mut found: HashMap<Tag, Revision> = HashMap::new();
    for (revision, events) in history.between(Revision::ZERO, history.end()) {
        for event in events.iter().filter(|event| event.kind == EventKind::Put) {
            let Some(tag) = Tag::of(&event.kv.value) else { continue };
            match found.entry(tag) {
                Entry::Vacant(entry) => drop(entry.insert(revision)),
                Entry::Occupied(entry) if *entry.get() == revision => {}
                Entry::Occupied(entry) => {
                    findings.add(format!("write {tag} was applied at {} and at {revision}", entry.get()));
                }
            }
        }
    }
    for Written { tag, said } in written {
        match (said, found.get(tag)) {
            (Said::Made(made), Some(revision)) if made == revision => {}
            (Said::Made(made), found) => {
                findings.add(format!(
                    "write {tag} made {made}, as the client said; the history has it at {found:?}"
                ));
            }
            (Said::NotApplied, Some(revision)) => {
                findings.add(format!("write {tag} was not applied, as the client said; it made {revision}"));
            }
            (Said::NotApplied, None) | (Said::Unknown, _) => {}
        }
    }
}

/// Events, short.
fn show(events: &[Event]) -> String {
    let one = |event: &Event| {
        let before = if event.prev_kv.is_some() { ", with the one before" } else { "" };
        format!("{:?} {} version {}{before}", event.kind, text(&event.kv.key), event.kv.version)
    };
    let shown: Vec<String> = events.iter().take(5).map(one).collect();
    let more = if events.len() > 5 { ", ..." } else { "" };
    format!("{} events: {}{more}", events.len(), shown.join(", "))
}

fn text(key: &Bytes) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use etcdium_client::KeyValue;
    use etcdium_sim::rng::Rng;

    use super::super::plan::Shape;
    use super::*;

    fn put(key: &str, revision: i64, create: i64, version: i64) -> Event {
        let mut pair = KeyValue::new(key.to_owned(), format!("tag {revision:016x} "));
        pair.mod_revision = revision.into();
        pair.create_revision = create.into();
        pair.version = version;
        Event::new(EventKind::Put, pair, None)
    }

    fn delete(key: &str, revision: i64) -> Event {
        let mut pair = KeyValue::new(key.to_owned(), "");
        pair.mod_revision = revision.into();
        Event::new(EventKind::Delete, pair, None)
    }

    /// Revisions 2 to 6.
    fn history() -> History {
        let revisions = vec![
            vec![put("soak/s0/a", 2, 2, 1)],
            vec![put("soak/s0/b", 3, 3, 1), put("soak/s0/a", 3, 2, 2)],
            vec![put("elsewhere", 4, 4, 1)],
            vec![delete("soak/s0/b", 5)],
            vec![put("soak/s0/b", 6, 6, 1)],
        ];
        History::of(revisions).unwrap()
    }

    /// A watch of everything that told all.
    fn life(history: &History) -> Life {
        let shape = (0..).map(|seed| Shape::draw(&mut Rng::new(seed)));
        let mut shapes = shape.filter(|shape| {
            shape.to_string().starts_with("soak/*")
                && shape.to_string().contains("prev_kv")
                && shape.takes_all()
        });
        let shape = shapes.next().unwrap();
        let (start, next) = (Revision::new(2), Revision::new(7));
        let mut life =
            Life { name: "watch".to_owned(), shape, start, told: Vec::new(), progress: Vec::new(), next };
        life.told = expectation(history, &life).map(|(at, events)| Told::new(at, &events)).collect();
        life
    }

    /// The same, but that the pairs before are missing once.
    fn bare_at(mut life: Life, history: &History, number: usize) -> Life {
        let (revision, mut events) = expectation(history, &life).nth(number).unwrap();
        events.iter_mut().for_each(|event| event.prev_kv = None);
        life.told[number] = Told::new(revision, &events);
        life
    }

    fn findings(judge: impl FnOnce(&Findings)) -> Vec<String> {
        let findings = Findings::new();
        judge(&findings);
        findings.take().0
    }

    #[test]
    fn a_watch_that_told_all_is_right_and_each_mistake_is_found() {
        let history = history();
        let found = |life: &Life| findings(|findings| assert_eq!(judge_life(&history, life, findings), 0));
        let right = life(&history);
        assert_eq!(right.told.len(), 4);
        assert_eq!(found(&right), [""; 0]);

        type Mistake = (&'static str, fn(&mut Life));
        let mistakes: [Mistake; 7] = [
            ("5 instead of 3", |life| life.told.retain(|told| told.revision.get() != 3)),
            ("2 instead of 3", |life| life.told.insert(1, life.told[0])),
            ("nothing of 6", |life| life.told.truncate(3)),
            ("nothing to tell", |life| life.next = Revision::new(6)),
            ("progress 5 was told before 3", |life| life.progress.push((Revision::new(5), 1))),
            ("5 instead of 3", |life| life.told.swap(1, 2)),
            ("other events of 3", |life| life.told[1].digest ^= 1),
        ];
        for (what, mistake) in mistakes {
            let mut wrong = right.clone();
            mistake(&mut wrong);
            let found = found(&wrong);
            assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
        }
        let (bare, mut fine) = (right.clone(), right);
        let judged = |life: &Life| judge_life(&history, life, &Findings::new());
        assert_eq!(judged(&bare_at(bare, &history, 1)), 1);
        fine.progress = vec![(Revision::new(4), 2), (Revision::new(6), 4), (Revision::new(9), 4)];
        assert_eq!(found(&fine), [""; 0]);
    }

    #[test]
    fn what_was_told_instead_is_guessed() {
        let history = history();
        let (revision, events) = expectation(&history, &life(&history)).nth(1).unwrap();
        let guess = |events: &[Event]| explain(revision, events, &Told::new(revision, &events[1..]));
        assert_eq!(guess(&events), "number 0 was left out");
        let mut stripped = events.clone();
        stripped[1].prev_kv = None;
        let guess = explain(revision, &events, &Told::new(revision, &stripped));
        assert_eq!(guess, "numbers [1] were told without the one before");
    }

    #[test]
    fn a_state_is_compared_key_by_key() {
        let history = history();
        let found = |mirror: &Mirror| findings(|findings| judge_mirror(&history, mirror, findings));
        let (name, prefix) = ("follower".to_owned(), "soak/s0/".to_owned());
        let state = history.state(&prefix, Revision::new(3));
        let state = state.into_iter().map(|(key, pair)| (key.clone(), digest(pair))).collect();
        let mut mirror = Mirror { name, prefix, revision: Revision::new(3), state };
        assert_eq!(found(&mirror), [""; 0]);
        mirror.revision = Revision::new(5);
        assert!(found(&mirror)[0].contains("still has soak/s0/b"));
        mirror.revision = Revision::new(6);
        assert!(found(&mirror)[0].contains("another soak/s0/b"));
        mirror.state.clear();
        assert_eq!(found(&mirror).len(), 2);
    }

    #[test]
    fn what_is_said_of_writes_has_to_be_so() {
        let found = |written: Written| findings(|findings| judge_writes(&history(), &[written], findings));
        let tag = |number: i64| Tag::of(format!("tag {number:016x} ").as_bytes()).unwrap();
        let made = |revision: i64| Said::Made(revision.into());
        assert_eq!(found(Written { tag: tag(3), said: made(3) }), [""; 0]);
        assert_eq!(found(Written { tag: tag(9), said: Said::Unknown }), [""; 0]);
        assert_eq!(found(Written { tag: tag(9), said: Said::NotApplied }), [""; 0]);
        assert!(found(Written { tag: tag(3), said: made(4) })[0].contains("made 4"));
        assert!(found(Written { tag: tag(9), said: made(4) })[0].contains("None"));
        assert!(found(Written { tag: tag(3), said: Said::NotApplied })[0].contains("it made 3"));
    }
}
