//! What a watch has told, held against what happened.

use std::collections::{BTreeMap, BTreeSet};

use etcdium_client::{Event, EventKind, GetResponse, Revision};

use crate::scenario::{Failure, check, check_eq};

/// One watch, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Account {
    /// Who watched, for messages.
    pub(super) name: String,
    /// The key, or what keys begin with.
    pub(super) key: Vec<u8>,
    pub(super) prefix: bool,
    /// The first revision that was asked for.
    pub(super) start: Revision,
    pub(super) told: Vec<Told>,
}

/// An item of a watch.
#[derive(Debug)]
pub(super) enum Told {
    Events(Revision, Vec<Event>),
    Progress(Revision),
}

impl Account {
    fn matches(&self, key: &[u8]) -> bool {
        if self.prefix { key.starts_with(&self.key) } else { key == self.key }
    }
}

/// What happened, revision by revision.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<Revision, Vec<Event>>);

impl History {
    /// The history out of what one watch of all keys told.
    ///
    /// Nobody else writes, so every revision is there; every creation is of a key that was not there (ROB-008); and what
    /// is there at last is what the server has.
    ///
    /// # Errors
    /// One of these does not hold.
    pub(super) fn new(record: &Account, last: &GetResponse) -> Result<Self, Failure> {
        let mut history = Self::default();
        let mut present: BTreeMap<Vec<u8>, (Vec<u8>, Revision, i64)> = BTreeMap::new();
        let mut at = record.start;
        for told in &record.told {
            let Told::Events(revision, events) = told else { continue };
            check_eq!(*revision, at, "the next revision of the history");
            at = at.next();
            for event in events {
                let key = event.kv.key.to_vec();
                let before = present.remove(&key);
                let created = before.is_none() && event.kind == EventKind::Put;
                check_eq!(event.is_create(), created, "creation of {event:?}");
                if event.kind == EventKind::Put {
                    let (create, version) = before.map_or((*revision, 1), |(_, create, n)| (create, n + 1));
                    check_eq!((event.kv.create_revision, event.kv.version), (create, version), "{event:?}");
                    present.insert(key, (event.kv.value.to_vec(), create, version));
                } else {
                    check!(before.is_some(), "a key was deleted that was not there: {event:?}");
                }
            }
            history.0.insert(*revision, events.clone());
        }
        let state =
            last.kvs.iter().map(|kv| (kv.key.to_vec(), (kv.value.to_vec(), kv.create_revision, kv.version)));
        check_eq!(present, state.collect(), "what is left at last");
        check!(
            last.header.revision < at,
            "the history ends at {at}, the store is at {}",
            last.header.revision
        );
        Ok(history)
    }

    /// Judges a watch: its events match (ROB-001), come in order (ROB-002) and once (ROB-003), none is missing between the
    /// first that was asked for (ROB-006) and the last that it told, by events or by progress (ROB-005), and each is what
    /// happened.
    ///
    /// # Errors
    /// One of these does not hold.
    pub(super) fn judge(&self, account: &Account) -> Result<(), Failure> {
        let name = &account.name;
        // Everything below it has been told.
        let mut next = account.start;
        for told in &account.told {
            let (at, events) = match told {
                Told::Events(revision, events) => (*revision, events.as_slice()),
                Told::Progress(revision) => (*revision, [].as_slice()),
            };
            if let Told::Events(..) = told {
                check!(at >= next, "{name}: events of {at} after {next} was due");
                check!(!events.is_empty(), "{name}: no events at {at}");
                let keys: BTreeSet<&[u8]> = events.iter().map(|event| &event.kv.key[..]).collect();
                check_eq!(keys.len(), events.len(), "{name}: keys at {at}");
                let happened = self.matching(account, at);
                check_eq!(events.iter().collect::<Vec<_>>(), happened, "{name}: events of {at}");
            } else if at < next {
                // It says nothing new.
                continue;
            }
            let missed = if events.is_empty() { at.next() } else { at };
            for (revision, _) in self.0.range(next..missed) {
                let missed = self.matching(account, *revision);
                check!(missed.is_empty(), "{name}: missed before {told:?}: {missed:?}");
            }
            next = at.next();
        }
        Ok(())
    }

    fn matching(&self, account: &Account, revision: Revision) -> Vec<&Event> {
        let events = self.0.get(&revision).into_iter().flatten();
        events.filter(|event| account.matches(&event.kv.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use etcdium_client::KeyValue;

    use super::*;

    fn put(key: &str, create: i64, modified: i64) -> Event {
        let mut kv = KeyValue::default();
        kv.key = key.to_owned().into();
        kv.create_revision = create.into();
        kv.mod_revision = modified.into();
        kv.version = modified - create + 1;
        Event::new(EventKind::Put, kv, None)
    }

    fn events(list: &[Event]) -> Told {
        Told::Events(list[0].revision(), list.to_vec())
    }

    fn account(prefix: bool, start: i64, told: Vec<Told>) -> Account {
        Account { name: "watch".to_owned(), key: b"a".to_vec(), prefix, start: start.into(), told }
    }

    fn history() -> History {
        let all = [vec![put("a", 2, 2)], vec![put("b", 3, 3)], vec![put("a", 2, 4), put("ab", 4, 4)]];
        History(all.into_iter().map(|events| (events[0].revision(), events)).collect())
    }

    #[test]
    fn rob_001_to_006_vectors() {
        let judge = |account| history().judge(&account).is_ok();
        let both = || [put("a", 2, 4), put("ab", 4, 4)];
        // Whole; without a tail; with progress.
        assert!(judge(account(true, 2, vec![events(&[put("a", 2, 2)]), events(&both())])));
        assert!(judge(account(true, 2, vec![events(&[put("a", 2, 2)]), Told::Progress(3.into())])));
        assert!(judge(account(false, 3, vec![events(&[put("a", 2, 4)])])));
        // Not asked for; an event that did not happen; a part of a revision.
        assert!(!judge(account(false, 2, vec![events(&[put("b", 3, 3)])])));
        assert!(!judge(account(true, 3, vec![events(&[put("a", 3, 3)])])));
        assert!(!judge(account(true, 4, vec![events(&[put("ab", 4, 4)])])));
        // In disorder; twice.
        assert!(!judge(account(true, 2, vec![events(&both()), events(&[put("a", 2, 2)])])));
        assert!(!judge(account(true, 2, vec![events(&[put("a", 2, 2)]), events(&[put("a", 2, 2)])])));
        // Missing: the first, the middle, before progress, between progress.
        assert!(!judge(account(true, 2, vec![events(&both())])));
        assert!(!judge(account(true, 2, vec![Told::Progress(2.into())])));
        assert!(!judge(account(true, 3, vec![Told::Progress(3.into()), Told::Progress(4.into())])));
        // Events after progress behind them.
        assert!(!judge(account(true, 4, vec![Told::Progress(4.into()), events(&both())])));
    }

    #[test]
    fn rob_008_creations_and_gaps_of_the_history() {
        let last = GetResponse::default();
        let record = |told| Account { key: Vec::new(), ..account(true, 2, told) };
        let wrong = |told| History::new(&record(told), &last).unwrap_err().to_string();
        assert!(wrong(vec![events(&[put("a", 3, 3)])]).contains("the next revision"));
        let twice = vec![events(&[put("a", 2, 2)]), events(&[put("a", 3, 3)])];
        assert!(wrong(twice).contains("creation of"));
        assert!(wrong(vec![events(&[put("a", 2, 2)])]).contains("what is left"));
    }
}
