//! The history of the store, read back from the server, and whether it can be trusted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use etcdium_client::{Client, Event, EventKind, KeyValue, Revision, WatchItem};

use super::place::Place;
use crate::scenario::Failure;

/// How long the server may take for a part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A number that stands for a pair with all its revisions.
pub(super) fn digest(pair: &KeyValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    pair.hash(&mut hasher);
    hasher.finish()
}

/// Every revision of a store, from the first write on.
#[derive(Debug)]
pub(super) struct History {
    /// Those of revision 2 first, without a gap. Each event has its pair before.
    revisions: Vec<Vec<Event>>,
}

/// The revision of the first write to an empty store.
const FIRST: i64 = 2;

impl History {
    /// Reads it up to the present.
    ///
    /// It is read as a watch of everything, and shown to be whole without trusting that watch: every write raises the
    /// store's revision by one, so there must be no gap; every pair must follow from the one before it; and the state it
    /// leads to must be the one that the server gives.
    pub(super) async fn read(place: &Place, client: &Client) -> Result<Self, Failure> {
        let now = client.get("").from_key().timeout(PATIENCE).await?;
        let end = now.header.revision;
        let mut history = Self { revisions: Vec::new() };
        let mut state = BTreeMap::new();
        let asked = client.watch("").from_key().from_revision(1).max_buffer(64 << 20);
        let asked = place.within(PATIENCE, async { asked.await }).await;
        let mut watcher = asked
            .ok_or_else(|| Failure::new("the watch of the history is not confirmed"))?
            .map_err(|error| Failure::new(format!("the watch of the history: {error}")))?;
        while history.end() < end {
            let item = place.within(PATIENCE, watcher.next()).await;
            match item {
                Some(Some(Ok(WatchItem::Events { revision, events }))) => {
                    history.append(&mut state, revision, events.into_iter().collect())?;
                }
                Some(Some(Ok(_))) => {}
                Some(Some(Err(error))) => {
                    return Err(Failure::new(format!("the watch of the history: {error}")));
                }
                Some(None) => return Err(Failure::new("the watch of the history ended")),
                None => {
                    let at = history.end();
                    return Err(Failure::new(format!("the history stands still at {at}, {end} is the end")));
                }
            }
        }
        let given: BTreeMap<Bytes, KeyValue> =
            now.kvs.into_iter().map(|pair| (pair.key.clone(), pair)).collect();
        if history.end() == end && given != state {
            return Err(Failure::new("the history does not lead to the state of the store"));
        }
        Ok(history)
    }

    /// Of these revisions, the first of which is the first of the store.
    #[cfg(test)]
    pub(super) fn of(revisions: Vec<Vec<Event>>) -> Result<Self, Failure> {
        let (mut history, mut state) = (Self { revisions: Vec::new() }, BTreeMap::new());
        for events in revisions {
            history.append(&mut state, history.end().next(), events)?;
        }
        Ok(history)
    }

    fn append(
        &mut self,
        state: &mut BTreeMap<Bytes, KeyValue>,
        revision: Revision,
        mut events: Vec<Event>,
    ) -> Result<(), Failure> {
        let wrong = |what: String| Err(Failure::new(format!("history, revision {revision}: {what}")));
        if revision != self.end().next() {
            return wrong(format!("follows {}", self.end()));
        }
        for event in &mut events {
            let pair = &event.kv;
            if pair.mod_revision != revision {
                return wrong(format!("an event of {}", pair.mod_revision));
            }
            let before = state.get(&pair.key).cloned();
            let fits = match (event.kind, &before) {
                (EventKind::Delete, before) => before.is_some(),
                (_, None) => pair.version == 1 && pair.create_revision == revision,
                (_, Some(before)) => {
                    pair.version == before.version + 1 && pair.create_revision == before.create_revision
                }
            };
            if !fits {
                return wrong(format!("{event:?} does not follow from {before:?}"));
            }
            match event.kind {
                EventKind::Delete => drop(state.remove(&pair.key)),
                _ => drop(state.insert(pair.key.clone(), pair.clone())),
            }
            event.prev_kv = before;
        }
        self.revisions.push(events);
        Ok(())
    }

    /// The last revision there is.
    pub(super) fn end(&self) -> Revision {
        Revision::new(FIRST - 1 + self.revisions.len() as i64)
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.revisions.iter().map(Vec::len).sum()
    }

    /// The events of each revision, from one on up to and with another.
    pub(super) fn between(&self, from: Revision, to: Revision) -> impl Iterator<Item = (Revision, &[Event])> {
        let index = |revision: Revision| usize::try_from(revision.get() - FIRST).unwrap_or(0);
        let (from, to) = (from.max(Revision::new(FIRST)), to.min(self.end()));
        let part = if from <= to { &self.revisions[index(from)..=index(to)] } else { &[] };
        (from.get()..).map(Revision::new).zip(part.iter().map(Vec::as_slice))
    }

    /// The pairs of a prefix as they were at a revision.
    pub(super) fn state(&self, prefix: &str, at: Revision) -> BTreeMap<&Bytes, &KeyValue> {
        let mut state = BTreeMap::new();
        for event in self.between(Revision::ZERO, at).flat_map(|(_, events)| events) {
            if event.kv.key.starts_with(prefix.as_bytes()) {
                match event.kind {
                    EventKind::Delete => state.remove(&event.kv.key),
                    _ => state.insert(&event.kv.key, &event.kv),
                };
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, revision: i64, create: i64, version: i64) -> Event {
        let mut pair = KeyValue::new(key.to_owned(), "");
        pair.mod_revision = revision.into();
        pair.create_revision = create.into();
        pair.version = version;
        Event::new(EventKind::Put, pair, None)
    }

    #[test]
    fn a_history_with_a_gap_is_not_believed() {
        let refused = |revisions: Vec<Vec<Event>>| History::of(revisions).unwrap_err().to_string();
        let history = History::of(vec![vec![put("a", 2, 2, 1)], vec![put("a", 3, 2, 2)]]).unwrap();
        assert_eq!(history.end(), Revision::new(3));
        assert_eq!(history.between(Revision::new(3), Revision::new(9)).count(), 1);
        assert_eq!(history.between(Revision::new(4), Revision::new(9)).count(), 0);
        assert!(refused(vec![vec![put("a", 3, 3, 1)]]).contains("an event of 3"));
        assert!(refused(vec![vec![put("a", 2, 2, 1)], vec![put("a", 3, 2, 3)]]).contains("does not follow"));
        assert!(refused(vec![vec![put("a", 2, 1, 2)]]).contains("does not follow"));
    }
}
