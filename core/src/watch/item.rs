//! What a watch gives: items, and why it ended.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use etcdium_proto::mvccpb;

use crate::{ClusterId, Error, GrpcCode, InvalidRequest, Revision};

/// One thing a watch tells, from [`Core::watch_next`](crate::Core::watch_next).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WatchItem<E = mvccpb::Event> {
    /// The server has confirmed the watch. Given once, if asked for.
    Created {
        /// The revision of the server's store then, zero if it was not told. A watch that starts now begins behind it.
        revision: Revision,
    },
    /// All matching events of one revision, whole.
    Events {
        /// The revision: higher than that of any events before.
        revision: Revision,
        /// The events, in the server's order.
        events: Events<E>,
    },
    /// Everything up to this revision has been given.
    Progress {
        /// The revision.
        revision: Revision,
    },
    /// The stream broke: the watch goes on elsewhere by itself. Given if asked for.
    Disconnected {
        /// What happened.
        cause: Error,
    },
    /// The watch goes on, without a gap. Given if asked for, after [`Disconnected`](Self::Disconnected).
    Resumed {
        /// The first revision asked for, zero if the watch had not begun before.
        from: Revision,
    },
}

/// The events of one revision: at least one, a slice. Revisions that arrived together share a list, which lives as long as any
/// of them.
#[derive(Clone)]
pub struct Events<E = mvccpb::Event>(List<E>);

// Items are handed on from function to function, events are large: so an item is small, and events stay where they are.
#[derive(Clone)]
enum List<E> {
    Own(Vec<E>),
    Shared { all: Arc<Vec<E>>, from: usize, to: usize },
}

impl<E> Events<E> {
    /// A single event.
    pub fn one(event: E) -> Self {
        Self(List::Own(vec![event]))
    }

    #[inline]
    pub(crate) fn shared(all: Arc<Vec<E>>, from: usize, to: usize) -> Self {
        Self(List::Shared { all, from, to })
    }
}

impl<E: Clone> Events<E> {
    /// The same with each event converted. A list of events no smaller than what they become is converted in place, if no
    /// other revision shares it.
    pub fn map<T>(self, convert: impl Fn(E) -> T) -> Events<T> {
        Events(List::Own(match self.0 {
            List::Own(events) => events.into_iter().map(convert).collect(),
            List::Shared { .. } => self.iter().cloned().map(convert).collect(),
        }))
    }
}

impl<E: Clone> WatchItem<E> {
    /// The same with each event converted.
    pub fn map<T>(self, convert: impl Fn(E) -> T) -> WatchItem<T> {
        match self {
            Self::Created { revision } => WatchItem::Created { revision },
            Self::Events { revision, events } => WatchItem::Events { revision, events: events.map(convert) },
            Self::Progress { revision } => WatchItem::Progress { revision },
            Self::Disconnected { cause } => WatchItem::Disconnected { cause },
            Self::Resumed { from } => WatchItem::Resumed { from },
        }
    }
}

impl<E> From<Vec<E>> for Events<E> {
    fn from(events: Vec<E>) -> Self {
        Self(List::Own(events))
    }
}

impl<E> Deref for Events<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match &self.0 {
            List::Own(events) => events,
            List::Shared { all, from, to } => all.get(*from..*to).unwrap_or_default(),
        }
    }
}

impl<E: PartialEq> PartialEq for Events<E> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<E: fmt::Debug> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Takes the events out one by one; of a list that is shared it takes copies. From [`Events`].
#[derive(Debug)]
pub struct IntoIter<E>(Rest<E>);

#[derive(Debug)]
enum Rest<E> {
    Own(std::vec::IntoIter<E>),
    Shared { events: Events<E>, at: usize },
}

impl<E: Clone> Iterator for IntoIter<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        match &mut self.0 {
            Rest::Own(events) => events.next(),
            Rest::Shared { events, at } => {
                let event = events.get(*at)?.clone();
                *at += 1;
                Some(event)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Rest::Own(events) => events.len(),
            Rest::Shared { events, at } => events.len() - at,
        };
        (left, Some(left))
    }
}

impl<E: Clone> ExactSizeIterator for IntoIter<E> {}

impl<E: Clone> IntoIterator for Events<E> {
    type Item = E;
    type IntoIter = IntoIter<E>;

    fn into_iter(self) -> IntoIter<E> {
        IntoIter(match self.0 {
            List::Own(events) => Rest::Own(events.into_iter()),
            shared @ List::Shared { .. } => Rest::Shared { events: Self(shared), at: 0 },
        })
    }
}

/// What [`Core::watch_next`](crate::Core::watch_next) gives.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchNext {
    /// The next item.
    Item(WatchItem),
    /// The end, after every item: `Ok` when the user cancelled the watch or closed the core. Nothing follows.
    End(Result<(), WatchError>),
}

/// Why a watch ended, when its user did not end it.
///
/// Everything received before has been given before; [`next_revision`](Self::next_revision) is where that stops.
#[derive(Clone, PartialEq)]
pub struct WatchError {
    // Small, for every item is handed on in a result.
    inner: Box<(WatchErrorKind, Option<Revision>)>,
}

/// The causes for which a watch ends. Trouble with connections and members is none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchErrorKind {
    /// Revisions it would have given next are compacted: a gap that nothing can fill. Read the state anew and watch from
    /// the revision behind it.
    Compacted {
        /// The oldest revision that can still be watched from.
        oldest: Revision,
    },
    /// The store's history was replaced: the revision went back, since a backup was restored, or another cluster
    /// answers. Revisions from before mean nothing any more; read the state anew.
    ClusterReset {
        /// The cluster that answers now; zero if it does not say.
        cluster_id: ClusterId,
        /// Its revision.
        revision: Revision,
    },
    /// The user may not watch these keys, or is not known.
    Unauthorized {
        /// The server's words.
        reason: String,
    },
    /// The server refuses, for a cause that asking again does not cure.
    Refused {
        /// The code of the refusal.
        code: GrpcCode,
        /// The server's words.
        reason: String,
    },
    /// The server broke its word: an event came that it had said before would not come any more.
    Inconsistent {
        /// The revision of the event.
        revision: Revision,
    },
    /// The request cannot be sent. Nothing was.
    Invalid(InvalidRequest),
    /// The encoded request is larger than the limit. Nothing was sent.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The client was closed before the watch was confirmed, or the runtime that drove it is gone.
    Closed,
}

impl WatchError {
    /// An error; also for tests and fakes.
    pub fn new(kind: WatchErrorKind, next_revision: Option<Revision>) -> Self {
        Self { inner: Box::new((kind, next_revision)) }
    }

    /// Why the watch ended.
    pub fn kind(&self) -> &WatchErrorKind {
        &self.inner.0
    }

    pub(crate) fn into_kind(self) -> WatchErrorKind {
        self.inner.0
    }

    /// The first revision of which nothing was given; `None` if the watch had not begun.
    pub fn next_revision(&self) -> Option<Revision> {
        self.inner.1
    }
}

impl fmt::Display for WatchErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compacted { oldest } => write!(f, "the revisions before {oldest} are compacted"),
            Self::ClusterReset { cluster_id, revision } => {
                write!(f, "the history was replaced: cluster {cluster_id} is at revision {revision} now")
            }
            Self::Unauthorized { reason } => write!(f, "not allowed: {reason}"),
            Self::Refused { code, reason } => write!(f, "refused ({code}): {reason}"),
            Self::Inconsistent { revision } => {
                write!(
                    f,
                    "the server sent an event of revision {revision} after it had said that it would not"
                )
            }
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::TooLarge { size, limit } => {
                write!(f, "the request has {size} bytes, more than the limit of {limit}")
            }
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next_revision() {
            Some(next) => write!(f, "{}; the watch was at revision {next}", self.kind()),
            None => self.kind().fmt(f),
        }
    }
}

impl fmt::Debug for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, next) = &*self.inner;
        f.debug_struct("WatchError").field("kind", kind).field("next_revision", next).finish()
    }
}

impl core::error::Error for WatchError {}

/// Why progress cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressError {
    /// The server's answers cannot be trusted, or never come: etcd before 3.4.25 and 3.5.8 lets them overtake events
    /// (etcd issue 15220), its grpc-proxy never answers.
    Unsupported,
    /// The watch is parked, since its reader left too much in its buffer: take that first.
    Behind,
    /// The watch is over.
    Ended,
}

impl fmt::Display for ProgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "the server cannot tell the progress of watches",
            Self::Behind => "the watch is parked until its buffer has been read",
            Self::Ended => "the watch is over",
        })
    }
}

impl core::error::Error for ProgressError {}
