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

/// Judges what a watch told. It has to be all that there was from its start up to where it came.
pub(super) fn judge_life(history: &History, life: &Life, findings: &Findings) {
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
            (None, None) => return,
            (Some((revision, events)), Some(got)) => {
                let right = Told::new(revision, &events);
                if right == *got {
                    continue;
                }
                match got.revision == revision {
                    true => format!("other events of {revision} than {}", show(&events)),
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
        return;
    }
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
