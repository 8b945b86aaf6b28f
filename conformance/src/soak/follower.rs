//! A follower: what `list_and_watch` tells, kept as the state of a prefix.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_client::{EventKind, KeyValue, ListItem, ListWatcher, Revision};
use etcdium_sim::rng::Rng;

use super::history::digest;
use super::party::Guest;
use super::watch::CATCH_UP;

/// How long the snapshot may take.
const LISTED: Duration = Duration::from_secs(60);

/// The state that a follower ended with.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) revision: Revision,
    /// The digest of the pair of each key.
    pub(super) state: BTreeMap<Bytes, u64>,
}

/// A follower of a soak.
pub(super) struct Follower {
    pub(super) guest: Guest,
    pub(super) prefix: String,
    pub(super) rng: Rng,
    pub(super) number: usize,
}

impl Follower {
    /// Follows until the last write was seen. Begins anew now and then.
    pub(super) async fn run(mut self) -> Vec<Mirror> {
        let mut mirrors = Vec::new();
        loop {
            let name =
                format!("{} follower {}.{} ({}*)", self.guest.place, self.number, mirrors.len(), self.prefix);
            self.guest.counters.lives.bump();
            let asked = self.guest.client.list_and_watch(self.prefix.as_str());
            let follower = match self.guest.place.within(LISTED, async { asked.await }).await {
                Some(Ok(follower)) => follower,
                Some(Err(error)) => {
                    self.guest.findings.add(format!("{name}: cannot be made: {error}"));
                    return mirrors;
                }
                None => {
                    self.guest.findings.add(format!("{name}: no snapshot within {LISTED:?}"));
                    return mirrors;
                }
            };
            let prefix = self.prefix.clone();
            let mut mirror = Mirror { name, prefix, revision: Revision::ZERO, state: BTreeMap::new() };
            let again = self.follow(&mut mirror, follower).await;
            mirrors.push(mirror);
            if !again {
                return mirrors;
            }
        }
    }

    /// Keeps the state. True when it is to be made anew.
    async fn follow(&mut self, mirror: &mut Mirror, mut follower: ListWatcher) -> bool {
        for pair in follower.take_snapshot() {
            insert(mirror, &pair);
        }
        mirror.revision = follower.revision();
        let leave = Instant::now() + self.rng.between(Duration::from_secs(5), Duration::from_secs(60));
        let last = self.guest.last.clone();
        loop {
            let limit = if last.is_given() { Instant::now() + CATCH_UP } else { leave };
            if last.is_given() && last.given().await.is_some_and(|revision| mirror.revision >= revision) {
                return false;
            }
            let item = async { Some(follower.next().await) };
            let time = async {
                self.guest.place.until(limit).await;
                None
            };
            let turn = if last.is_given() {
                futures_lite::future::or(item, time).await
            } else {
                let signal = async {
                    last.given().await;
                    None
                };
                futures_lite::future::or(item, futures_lite::future::or(signal, time)).await
            };
            match turn {
                Some(Some(Ok(item))) => self.take(mirror, item),
                Some(Some(Err(error))) => {
                    self.guest
                        .findings
                        .add(format!("{}: ended at {}: {error}", mirror.name, mirror.revision));
                    return false;
                }
                Some(None) => {
                    self.guest.findings.add(format!("{}: ended at {}", mirror.name, mirror.revision));
                    return false;
                }
                None if Instant::now() < limit => {}
                None if last.is_given() => {
                    let (name, at) = (&mirror.name, mirror.revision);
                    self.guest.findings.add(format!("{name}: at {at} {CATCH_UP:?} after the last write"));
                    return false;
                }
                None => return true,
            }
        }
    }

    fn take(&self, mirror: &mut Mirror, item: ListItem) {
        if let ListItem::Relisted { cause, .. } = &item {
            // Nothing was compacted, and no history was replaced.
            self.guest.findings.add(format!("{}: read the state again: {cause}", mirror.name));
        }
        let revision = item.revision();
        if revision <= mirror.revision {
            let (name, at) = (&mirror.name, mirror.revision);
            self.guest.findings.add(format!("{name}: told of {revision} after {at}"));
        }
        mirror.revision = revision;
        let events = item.into_events();
        self.guest.counters.revisions.bump();
        self.guest.counters.events.add(events.len() as u64);
        for event in events {
            match event.kind {
                EventKind::Delete => drop(mirror.state.remove(&event.kv.key)),
                _ => insert(mirror, &event.kv),
            }
        }
    }
}

fn insert(mirror: &mut Mirror, pair: &KeyValue) {
    // The response it is part of is not to be kept.
    mirror.state.insert(Bytes::copy_from_slice(&pair.key), digest(pair));
}
