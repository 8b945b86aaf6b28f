//! The server side of etcd's `Watch` RPC, one engine per member.
//!
//! | what | where | in etcd |
//! |---|---|---|
//! | calls in, outputs out, timers | `engine.rs` | `Watch` of api/v3rpc/watch.go |
//! | create, cancel and progress requests | `create.rs` | `recvLoop` |
//! | the two queues of a stream, the send loop | `stream.rs` | `sendLoop` |
//! | parts of a large response | `fragment.rs` | `sendFragments` |
//! | progress on request and by interval | `progress.rs` | `progressIfSync` |
//! | new revisions, the sync loop, victims | `sync.rs` | mvcc/watchable_store.go |
//! | one watch, a batch of its events | `watcher.rs` | `watcher`, `eventBatch` |
//! | which watches want a key | `group.rs`, `span.rs` | mvcc/watcher_group.go |
//! | what differs between versions, delays | `config.rs` | |
//!
//! A *watcher* is *synced* when it has been told everything; only then do new revisions reach it at once. An *unsynced*
//! one (started in the past, or left behind) is served from history every 100 ms. A *victim* has a batch that did not
//! fit into the queue of its stream.

mod config;
mod create;
mod engine;
mod fragment;
mod group;
mod progress;
mod span;
mod stream;
mod sync;
#[cfg(test)]
mod tests;
mod watcher;

use etcdium_proto::{
    etcdserverpb::ResponseHeader,
    mvccpb::{Event, KeyValue},
};

pub use config::{Disorder, Refusal, WatchConfig, WatchRules};
pub(crate) use engine::WatchEngine;

/// What the engine wants to know of its member's store.
pub(crate) trait WatchStore {
    /// The revision this member has applied.
    fn revision(&self) -> i64;
    /// The revision this member has compacted; -1 or 0 when never.
    fn compact_revision(&self) -> i64;
    /// Shows every event from revision `from` to [`revision`](Self::revision), both included, in order. `from` is not
    /// below the compacted revision. No event carries a previous value.
    fn events_since(&self, from: i64, visit: &mut dyn FnMut(&Event));
    /// The key as of `revision`; `None` when it was not there or the revision is compacted.
    fn value_at(&self, key: &[u8], revision: i64) -> Option<KeyValue>;
    /// A header of this member, now, naming `revision`.
    fn header(&self, revision: i64) -> ResponseHeader;
}
