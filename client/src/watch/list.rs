//! [`ListWatch`]: the state of a range of keys, and then every change of it.

use core::fmt;
use core::future::{IntoFuture, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;

use bytes::Bytes;
use etcdium_core::{Error, EtcdError, Events, Key, Revision, WatchErrorKind};
use futures_core::Stream;

use super::{Event, EventKind, WatchItem, Watcher};
use crate::kv::selection::Selection;
use crate::{BoxFuture, Client, KeyValue};

/// Pairs read with one request.
const PAGE: usize = 1_000;

/// Reads all keys that begin with a prefix, at one revision, and then follows them: from [`Client::list_and_watch`].
/// Awaiting it gives a [`ListWatcher`].
///
/// # Errors
/// Those of [`Get`](crate::Get), and those of [`Watch`](crate::Watch) as [`ErrorKind::Watch`](crate::ErrorKind::Watch).
///
/// # Cancel safety
/// Nothing happens before the first poll. Dropping the future afterwards leaves nothing behind.
#[derive(Clone)]
#[must_use = "nothing is read until it is awaited"]
pub struct ListWatch {
    client: Client,
    keys: Selection,
    prev_kv: bool,
}

impl Client {
    /// Reads all keys that begin with `prefix`, all keys if it is empty, and follows every change of them: a snapshot at
    /// a revision, then the events behind it, without a gap. What other clients call an informer or a mirror.
    ///
    /// Where the history in between is compacted, or replaced by a backup, the state is read again and the difference is
    /// given as events, marked as [`ListItem::Relisted`].
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// use std::collections::BTreeMap;
    /// use etcdium_client::EventKind;
    ///
    /// let mut follower = client.list_and_watch("app/").await?;
    /// let mut state: BTreeMap<_, _> =
    ///     follower.take_snapshot().into_iter().map(|kv| (kv.key, kv.value)).collect();
    /// while let Some(item) = follower.next().await {
    ///     for event in item?.into_events() {
    ///         match event.kind {
    ///             EventKind::Delete => state.remove(&event.kv.key),
    ///             _ => state.insert(event.kv.key, event.kv.value),
    ///         };
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list_and_watch(&self, prefix: impl Into<Key>) -> ListWatch {
        let mut keys = Selection::single(prefix.into());
        keys.choose(crate::kv::selection::Scope::Prefix);
        ListWatch { client: self.clone(), keys, prev_kv: false }
    }
}

impl ListWatch {
    /// Events carry the pair as it was before, in [`Event::prev_kv`]. Those of [`ListItem::Relisted`] do not.
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }

    async fn open(self) -> Result<ListWatcher, Error> {
        let (snapshot, revision) = list(&self).await?;
        let watcher = follow(&self, revision).await?;
        let known = known(&snapshot);
        Ok(ListWatcher { plan: self, snapshot, revision, known, stage: Stage::Watching(watcher) })
    }
}

/// Reads every pair at one revision, and says which. A compaction while it reads means to begin anew.
async fn list(plan: &ListWatch) -> Result<(Vec<KeyValue>, Revision), Error> {
    'anew: loop {
        let range = plan.keys.clone().build()?;
        let (first, end) = range.into_parts();
        let page = |from: Bytes| plan.client.get(from).range(end.clone()).limit(PAGE).no_timeout();
        let answer = page(first).await?;
        let revision = answer.header.revision;
        let (mut pairs, mut more) = (answer.kvs, answer.more);
        while let (true, Some(last)) = (more, pairs.last()) {
            let from = [&last.key[..], &[0]].concat();
            match page(from.into()).revision(revision).await {
                Ok(answer) => {
                    more = answer.more;
                    pairs.extend(answer.kvs);
                }
                Err(error) if error.etcd() == Some(EtcdError::Compacted) => continue 'anew,
                Err(error) => return Err(error),
            }
        }
        return Ok((pairs, revision));
    }
}

/// Watches what follows a revision.
async fn follow(plan: &ListWatch, revision: Revision) -> Result<Watcher, Error> {
    let mut watch = plan.client.watch("").with_keys(plan.keys.clone()).from_revision(revision.next());
    if plan.prev_kv {
        watch = watch.prev_kv();
    }
    Ok(watch.await?)
}

/// What a [`ListWatcher`] gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ListItem {
    /// All changes of one revision.
    Events {
        /// The revision: higher than that of anything before.
        revision: Revision,
        /// The changes, in the server's order.
        events: Events<Event>,
    },
    /// The state was read again, since the history behind what was given is gone. The events lead from the state given so
    /// far to the one at this revision; changes in between that left no trace are not among them, and a deletion carries
    /// this revision, not its own.
    Relisted {
        /// The revision of the state.
        revision: Revision,
        /// Deletions, then puts by revision.
        events: Vec<Event>,
        /// Why: [`WatchErrorKind::Compacted`] or [`WatchErrorKind::ClusterReset`]. After the latter revisions do not
        /// compare with those before, and every pair counts as changed.
        cause: WatchErrorKind,
    },
}

impl ListItem {
    /// The revision of the state after it.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Events { revision, .. } | Self::Relisted { revision, .. } => *revision,
        }
    }

    /// Its events, whichever they are.
    pub fn into_events(self) -> Vec<Event> {
        match self {
            Self::Events { events, .. } => events.into_iter().collect(),
            Self::Relisted { events, .. } => events,
        }
    }
}

/// Follows a range of keys: a [`Stream`] of changes behind a snapshot, from awaiting a [`ListWatch`].
///
/// It goes on until it is dropped or the client is closed, which gives `None`, or until an error that nothing cures, after
/// which `None` follows.
///
/// It keeps the keys, not the values, of the state.
#[must_use = "a watch that is dropped is cancelled"]
pub struct ListWatcher {
    plan: ListWatch,
    snapshot: Vec<KeyValue>,
    revision: Revision,
    /// The keys there are, with the revision of their last change.
    known: BTreeMap<Bytes, Revision>,
    stage: Stage,
}

enum Stage {
    Watching(Watcher),
    Relisting { cause: WatchErrorKind, list: BoxFuture<Result<Relisted, Error>> },
    Over,
}

/// A new snapshot, and the watch behind it.
struct Relisted {
    pairs: Vec<KeyValue>,
    revision: Revision,
    watcher: Watcher,
}

impl ListWatcher {
    /// The state at [`revision`](Self::revision), by key. Empty after the first call.
    pub fn take_snapshot(&mut self) -> Vec<KeyValue> {
        core::mem::take(&mut self.snapshot)
    }

    /// The revision of the state given so far: that of the snapshot, then that of the latest item.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next change.
    ///
    /// # Errors
    /// [`ErrorKind::Watch`](crate::ErrorKind::Watch) with what ended the watch, other than compaction and the replacement
    /// of the history; an error of reading the state again that waiting does not cure.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ListItem, Error>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ListItem, Error>>> {
        loop {
            match &mut self.stage {
                Stage::Watching(watcher) => match core::task::ready!(Pin::new(watcher).poll_next(cx)) {
                    Some(Ok(WatchItem::Events { revision, events })) => {
                        self.learn(revision, &events);
                        return Poll::Ready(Some(Ok(ListItem::Events { revision, events })));
                    }
                    // Not asked for.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => match error.kind() {
                        kind @ (WatchErrorKind::Compacted { .. } | WatchErrorKind::ClusterReset { .. }) => {
                            let (cause, plan) = (kind.clone(), self.plan.clone());
                            let list = Box::pin(async move { relist(plan).await });
                            self.stage = Stage::Relisting { cause, list };
                        }
                        _ => return self.fail(error.into()),
                    },
                    None => {
                        self.stage = Stage::Over;
                        return Poll::Ready(None);
                    }
                },
                Stage::Relisting { list, .. } => match core::task::ready!(list.as_mut().poll(cx)) {
                    Ok(relisted) => return Poll::Ready(Some(Ok(self.relisted(relisted)))),
                    Err(error) => return self.fail(error),
                },
                Stage::Over => return Poll::Ready(None),
            }
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<ListItem, Error>>> {
        self.stage = Stage::Over;
        Poll::Ready(Some(Err(error)))
    }

    fn learn(&mut self, revision: Revision, events: &[Event]) {
        self.revision = revision;
        for event in events {
            match event.kind {
                EventKind::Put => self.known.insert(own(&event.kv.key), event.kv.mod_revision),
                EventKind::Delete => self.known.remove(&event.kv.key),
            };
        }
    }

    fn relisted(&mut self, relisted: Relisted) -> ListItem {
        let Relisted { pairs, revision, watcher } = relisted;
        let cause = match core::mem::replace(&mut self.stage, Stage::Watching(watcher)) {
            Stage::Relisting { cause, .. } => cause,
            Stage::Watching(_) | Stage::Over => WatchErrorKind::Compacted { oldest: revision },
        };
        let comparable = matches!(cause, WatchErrorKind::Compacted { .. });
        let events = difference(&self.known, &pairs, revision, comparable);
        self.known = known(&pairs);
        self.revision = revision;
        ListItem::Relisted { revision, events, cause }
    }
}

/// When each key was last modified.
fn known(pairs: &[KeyValue]) -> BTreeMap<Bytes, Revision> {
    pairs.iter().map(|kv| (own(&kv.key), kv.mod_revision)).collect()
}

/// A key that does not keep the response it is part of.
fn own(key: &Bytes) -> Bytes {
    Bytes::copy_from_slice(key)
}

async fn relist(plan: ListWatch) -> Result<Relisted, Error> {
    let (pairs, revision) = list(&plan).await?;
    let watcher = follow(&plan, revision).await?;
    Ok(Relisted { pairs, revision, watcher })
}

/// What leads from the keys that were known to these pairs.
fn difference(
    known: &BTreeMap<Bytes, Revision>,
    pairs: &[KeyValue],
    revision: Revision,
    comparable: bool,
) -> Vec<Event> {
    let present: BTreeMap<&Bytes, ()> = pairs.iter().map(|kv| (&kv.key, ())).collect();
    let gone = known.keys().filter(|key| !present.contains_key(key));
    let mut events: Vec<Event> = gone
        .map(|key| {
            let mut kv = KeyValue::new(key.clone(), Bytes::new());
            kv.mod_revision = revision;
            Event::new(EventKind::Delete, kv, None)
        })
        .collect();
    let changed = |kv: &&KeyValue| !comparable || known.get(&kv.key) != Some(&kv.mod_revision);
    let mut puts: Vec<Event> =
        pairs.iter().filter(changed).map(|kv| Event::new(EventKind::Put, kv.clone(), None)).collect();
    puts.sort_by_key(Event::revision);
    events.extend(puts);
    events
}

impl Stream for ListWatcher {
    type Item = Result<ListItem, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl IntoFuture for ListWatch {
    type Output = Result<ListWatcher, Error>;
    type IntoFuture = BoxFuture<Result<ListWatcher, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl fmt::Debug for ListWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListWatch").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl fmt::Debug for ListWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListWatcher").field("revision", &self.revision).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, modified: i64) -> KeyValue {
        let mut kv = KeyValue::new(key.to_owned(), "v");
        kv.mod_revision = Revision::new(modified);
        kv
    }

    #[test]
    fn the_difference_leads_from_one_state_to_the_other() {
        let known = [("a", 2), ("b", 3), ("c", 4)].map(|(key, at)| (Bytes::from(key), Revision::new(at)));
        let known = BTreeMap::from(known);
        let pairs = [pair("a", 2), pair("c", 9), pair("d", 7)];
        let told = |comparable| {
            let events = difference(&known, &pairs, Revision::new(10), comparable);
            let told = |event: &Event| (event.kind, event.kv.key.clone(), event.revision().get());
            events.iter().map(told).collect::<Vec<_>>()
        };
        let (gone, put) = (EventKind::Delete, EventKind::Put);
        assert_eq!(told(true), [(gone, "b".into(), 10), (put, "d".into(), 7), (put, "c".into(), 9)]);
        assert_eq!(
            told(false),
            [(gone, "b".into(), 10), (put, "a".into(), 2), (put, "d".into(), 7), (put, "c".into(), 9)]
        );
    }
}
