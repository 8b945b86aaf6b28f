//! Finding keys: which keys a request names, and what a key was at a revision.

use std::ops::Bound;

use bytes::Bytes;
use etcdium_proto::mvccpb::KeyValue;

use super::{Store, Stored};

/// The keys that `key` and `range_end` of a request name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    /// One key.
    One(&'a [u8]),
    /// Every key from this one on.
    From(&'a [u8]),
    /// From the first, included, to the second, excluded.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> Span<'a> {
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            end => Self::Between(key, end),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Self::One(one) => key == one,
            Self::From(start) => key >= start,
            Self::Between(start, end) => key >= start && key < end,
        }
    }
}

impl Store {
    /// What the key was at a revision; `None` if it was not there.
    pub(super) fn at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        self.index.get(key).and_then(|&last| self.live(last, revision))
    }

    /// What every key of the span was at a revision, in the order of keys.
    pub(super) fn span(&self, span: Span<'_>, revision: i64) -> impl Iterator<Item = &KeyValue> {
        let (start, end) = match span {
            Span::One(key) => (Bound::Included(key), Bound::Included(key)),
            Span::From(key) => (Bound::Included(key), Bound::Unbounded),
            // A range that ends before it begins is empty, but `BTreeMap::range` does not take it.
            Span::Between(key, end) if end <= key => (Bound::Included(key), Bound::Excluded(key)),
            Span::Between(key, end) => (Bound::Included(key), Bound::Excluded(end)),
        };
        self.index
            .range::<[u8], _>((start, end))
            .filter_map(move |(_, &last): (&Bytes, &u32)| self.live(last, revision))
    }

    /// The event itself, or the youngest before it of the same key, that is not above `revision`.
    pub(super) fn version(&self, event: u32, revision: i64) -> Option<&Stored> {
        let mut event = self.event(event)?;
        while event.revision() > revision {
            event = self.event(event.older?)?;
        }
        Some(event)
    }

    fn live(&self, event: u32, revision: i64) -> Option<&KeyValue> {
        self.version(event, revision).filter(|event| !event.deleted).map(|event| &event.kv)
    }
}
