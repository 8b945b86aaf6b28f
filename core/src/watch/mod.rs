//! Watches: what they ask for ([`request`]), what they give ([`item`]), one watch ([`subscription`]), what waits for its reader
//! ([`buffer`]), the stream that many share ([`hub`]), and what a server's words mean ([`refusal`]). `machine::watches`, `hubs`,
//! `hub_loss` and `progress` move them.
//!
//! A watch is a logical subscription that outlives streams and connections:
//!
//! * its revisions strictly increase, and an item carries all matching events of a revision;
//! * nothing is lost, repeated or reordered across reconnects, changes of endpoints, and loss of leaders;
//! * it ends by its user, by compaction, by the replacement of the cluster's history, or by a refusal that asking again does
//!   not cure; the cause is typed and comes after every event received before;
//! * a slow reader costs its cap and nobody else anything: past it the watch is parked, that is cancelled on the server, and
//!   created again from the next revision when the reader has taken everything.

pub(crate) mod buffer;
pub(crate) mod hub;
pub(crate) mod item;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod subscription;
pub(crate) mod version;

pub use buffer::WatchRun;
pub use item::{Events, IntoIter, ProgressError, WatchError, WatchErrorKind, WatchItem, WatchNext};
pub use request::WatchRequest;
