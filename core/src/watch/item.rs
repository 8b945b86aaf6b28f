//! What a watch gives: items, and why it ended.

use core::fmt;
use core::ops::Deref;

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

/// The events of one revision: at least one, a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Events<E = mvccpb::Event>(Batch<E>);

// Most revisions have one event: it needs no memory of its own.
#[derive(Clone, Debug, PartialEq)]
enum Batch<E> {
    One(E),
    Many(Vec<E>),
}

impl<E> Events<E> {
    /// A single event.
    pub const fn one(event: E) -> Self {
        Self(Batch::One(event))
    }

    /// The same with each event converted. A list of events no smaller than what they become is converted in place.
    pub fn map<T>(self, convert: impl Fn(E) -> T) -> Events<T> {
        Events(match self.0 {
            Batch::One(event) => Batch::One(convert(event)),
            Batch::Many(events) => Batch::Many(events.into_iter().map(convert).collect()),
        })
    }
}

impl<E> WatchItem<E> {
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
        Self(Batch::Many(events))
    }
}

impl<E> Deref for Events<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match &self.0 {
            Batch::One(event) => core::slice::from_ref(event),
            Batch::Many(events) => events,
        }
    }
}

/// Takes the events out one by one. From [`Events`].
#[derive(Debug)]
pub struct IntoIter<E>(Rest<E>);

#[derive(Debug)]
enum Rest<E> {
    One(Option<E>),
    Many(std::vec::IntoIter<E>),
}

impl<E> Iterator for IntoIter<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        match &mut self.0 {
            Rest::One(event) => event.take(),
            Rest::Many(events) => events.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Rest::One(event) => (event.is_some().into(), Some(event.is_some().into())),
            Rest::Many(events) => events.size_hint(),
        }
    }
}

impl<E> ExactSizeIterator for IntoIter<E> {}

impl<E> IntoIterator for Events<E> {
    type Item = E;
    type IntoIter = IntoIter<E>;

    fn into_iter(self) -> IntoIter<E> {
        IntoIter(match self.0 {
            Batch::One(event) => Rest::One(Some(event)),
            Batch::Many(events) => Rest::Many(events.into_iter()),
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
#[derive(Clone, Debug, PartialEq)]
pub struct WatchError {
    pub(crate) kind: WatchErrorKind,
    pub(crate) next: Option<Revision>,
    pub(crate) source: Option<Error>,
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
    /// An error, for tests and fakes.
    pub fn new(kind: WatchErrorKind, next_revision: Option<Revision>) -> Self {
        Self { kind, next: next_revision, source: None }
    }

    /// Why the watch ended.
    pub fn kind(&self) -> &WatchErrorKind {
        &self.kind
    }

    /// The first revision of which nothing was given; `None` if the watch had not begun.
    pub fn next_revision(&self) -> Option<Revision> {
        self.next
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
        match self.next {
            Some(next) => write!(f, "{}; the watch was at revision {next}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl core::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

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
