//! A writer: puts, deletions and transactions, each put with a tag of its own, and what the client said of each.

use std::future::Future;
use std::time::Duration;

use etcdium_client::{Delete, Error, Op, Outcome, Put, Revision};
use etcdium_sim::rng::Rng;

use super::party::Guest;
use super::plan::{KEYS, SPACES, key, space};

/// The time-out of a write.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long a write may take at most, in spite of everything.
const BOUND: Duration = Duration::from_secs(20);
/// The longest pause between two writes of a writer.
const PAUSE: Duration = Duration::from_millis(300);

/// What stands at the beginning of a value: no two writes have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tag(u64);

impl Tag {
    /// Of a value that a writer wrote.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        let digits = value.strip_prefix(b"tag ")?.get(..16)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(Self)
    }

    fn value(self, length: usize) -> String {
        format!("tag {:016x} {:.<length$}", self.0, "")
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the client said of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It made this revision.
    Made(Revision),
    /// It may have been applied.
    Unknown,
    /// It was not applied.
    NotApplied,
}

/// A write that put something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) tag: Tag,
    pub(super) said: Said,
}

/// A writer of a soak.
pub(super) struct Writer {
    pub(super) guest: Guest,
    pub(super) rng: Rng,
    pub(super) number: usize,
}

impl Writer {
    /// Writes until all rest.
    pub(super) async fn run(mut self) -> Vec<Written> {
        let mut written = Vec::new();
        let mut count = 0;
        let rest = self.guest.rest.clone();
        while !rest.is_given() {
            count += 1;
            let tag = Tag(((self.number as u64) << 40) + count);
            let said = self.write(tag).await;
            match said {
                None => {
                    self.guest.findings.add(format!(
                        "{} writer {}: {BOUND:?} without an end",
                        self.guest.place, self.number
                    ));
                    return written;
                }
                Some((puts, said)) => {
                    match said {
                        Said::Made(_) => self.guest.counters.writes.bump(),
                        Said::Unknown => self.guest.counters.writes_unknown.bump(),
                        Said::NotApplied => self.guest.counters.writes_not_applied.bump(),
                    }
                    if puts {
                        written.push(Written { tag, said });
                    }
                }
            }
            let pause = self.rng.between(Duration::ZERO, PAUSE);
            let signal = async {
                rest.given().await;
            };
            futures_lite::future::or(signal, self.guest.place.pause(pause)).await;
        }
        written
    }

    /// One write: whether it puts something, and what the client said of it. Nothing if it takes too long.
    async fn write(&mut self, tag: Tag) -> Option<(bool, Said)> {
        let group = self.rng.index(SPACES);
        let one = key(group, self.rng.index(KEYS));
        let client = self.guest.client.clone();
        match self.rng.below(20) {
            0..12 => {
                let put = client.put(one, tag.value(self.length())).timeout(TIMEOUT);
                self.bounded(true, async { Ok(put.await?.header.revision) }).await
            }
            12..15 => {
                let delete = client.delete(one).timeout(TIMEOUT);
                self.bounded(false, async { Ok(delete.await?.header.revision) }).await
            }
            15 => {
                let first = self.rng.index(KEYS);
                let end = key(group, first + 1 + self.rng.index(4));
                let delete = client.delete(key(group, first)).range(end).timeout(TIMEOUT);
                self.bounded(false, async { Ok(delete.await?.header.revision) }).await
            }
            16 if self.rng.chance(100) => {
                let delete = client.delete(space(group)).prefix().timeout(TIMEOUT);
                self.bounded(false, async { Ok(delete.await?.header.revision) }).await
            }
            _ => {
                let first = self.rng.index(KEYS);
                let count = 1 + self.rng.index(KEYS - 1);
                let groups = 1 + self.rng.index(3);
                let mut operations = vec![Op::from(Put::new(key(group, first), tag.value(self.length())))];
                for index in 1..count * groups {
                    let key = key((group + index / count) % SPACES, (first + index % count) % KEYS);
                    operations.push(if self.rng.chance(700) {
                        Put::new(key, tag.value(self.length())).into()
                    } else {
                        Delete::new(key).into()
                    });
                }
                let txn = client.txn().and_then(operations).timeout(TIMEOUT);
                self.bounded(true, async { Ok(txn.await?.header.revision) }).await
            }
        }
    }

    fn length(&mut self) -> usize {
        match self.rng.below(100) {
            0 => self.rng.index(30_000),
            1..10 => self.rng.index(3_000),
            _ => self.rng.index(200),
        }
    }

    async fn bounded(
        &self,
        puts: bool,
        write: impl Future<Output = Result<Revision, Error>>,
    ) -> Option<(bool, Said)> {
        let said = match self.guest.place.within(BOUND, write).await? {
            Ok(revision) => Said::Made(revision),
            Err(error) => match error.outcome() {
                Outcome::NotApplied => Said::NotApplied,
                Outcome::Unknown => Said::Unknown,
            },
        };
        Some((puts, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_back() {
        let tag = Tag(0x1234_5678_9abc);
        assert_eq!(Tag::of(tag.value(0).as_bytes()), Some(tag));
        assert_eq!(Tag::of(tag.value(500).as_bytes()), Some(tag));
        assert_eq!(tag.value(500).len(), tag.value(0).len() + 500);
        assert_eq!(Tag::of(b"something else"), None);
    }
}
