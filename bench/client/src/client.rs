//! What a client must offer to be measured.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::Error;
use crate::spawn::Spawn;

/// What a load looks at in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Key-values in the answer; 0 for a put.
    pub(crate) kvs: usize,
    /// `raft_term` of the header: the stub puts the ordinal of the connection there.
    pub(crate) connection: u64,
}

/// A client of the key-value service. A clone shares the connection; each task of a load owns one clone.
pub(crate) trait KvClient: Clone + Send + 'static {
    /// Writes one key.
    fn put(&mut self, key: Bytes, value: Bytes) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Reads one key.
    fn get(&mut self, key: Bytes) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Reads at most `limit` keys of `key..end`.
    fn range(
        &mut self,
        key: Bytes,
        end: Bytes,
        limit: i64,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// What the reader of a watch is going to do. A client may prepare for it as its users would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Read without a pause.
    Prompt,
    /// Pause once.
    Pausing,
    /// Be slower than the events.
    Slow,
}

/// Events that a watcher hands over at once, in the order of their revisions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: usize,
    /// Bytes of all values.
    pub(crate) bytes: usize,
    /// Revisions of the first and of the last event.
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Batch {
    /// Looks at every event: its revision and the length of its value.
    pub(crate) fn of(events: impl Iterator<Item = (i64, usize)>) -> Result<Self, Error> {
        let mut batch = Self::default();
        for (revision, len) in events {
            if batch.events == 0 {
                batch.first = revision;
            } else if revision < batch.last {
                return Err(format!("revision {revision} comes after {}", batch.last).into());
            }
            batch.events += 1;
            batch.bytes += len;
            batch.last = revision;
        }
        Ok(batch)
    }
}

/// One watch.
pub(crate) trait Watcher: Send + 'static {
    /// Waits for events.
    ///
    /// # Errors
    /// The watch is over.
    fn next(&mut self) -> impl Future<Output = Result<Batch, Error>> + Send;
}

/// A client that watches and keeps leases alive.
pub(crate) trait StreamClient: KvClient {
    /// A watch.
    type Watcher: Watcher;
    /// A lease, ready to be kept alive.
    type Lease: Send + 'static;

    /// Watches one key; comes back when the server has created the watch.
    fn watch(
        &mut self,
        key: Bytes,
        reader: Reader,
    ) -> impl Future<Output = Result<Self::Watcher, Error>> + Send;

    /// Makes a lease that lives for so many seconds.
    fn lease(&mut self, ttl: i64) -> impl Future<Output = Result<Self::Lease, Error>> + Send;

    /// Keeps all leases alive for a time: each is renewed after every third of its time to live. Says how many of them
    /// were lost.
    fn keep<S: Spawn>(
        &mut self,
        leases: &mut Vec<Self::Lease>,
        ttl: i64,
        time: Duration,
        spawn: &S,
    ) -> impl Future<Output = Result<usize, Error>> + Send;
}
