//! Runtime-agnostic etcd v3 client: typed API and the hyper driver of etcdium-core.
//!
//! Most programs use this crate through an adapter (`etcdium-tokio`, `etcdium-smol`, `etcdium-async-std`), which names
//! a runtime and re-exports everything here. Libraries depend on this crate alone and take a [`Client`].
//!
//! # Requests
//!
//! A request is built by chained methods and made by awaiting it:
//!
//! ```no_run
//! # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
//! use std::time::Duration;
//!
//! client.put("app/a", "1").timeout(Duration::from_secs(2)).await?;
//! for kv in client.get("app/").prefix().limit(100).serializable().await?.kvs {
//!     println!("{} = {:?}", kv.key_str().unwrap_or("?"), kv.value);
//! }
//! # Ok(()) }
//! ```
//!
//! The same builders stand for themselves ([`Get::new`], [`Put::new`], ...) as the operations of a transaction
//! ([`Client::txn`]) or of [`Client::do_op`], and give the request message to those who send it otherwise
//! (`into_request`). Any other unary method is called by its message: [`Client::rpc`].
//!
//! # Event loops
//!
//! The client needs an async runtime, or what stands for one: a [`Runtime`]. Owners of an event loop do without: they
//! drive the core and use [`embed`] for HTTP/2.
//!
//! # Defaults
//!
//! | what | default | changed by |
//! |---|---|---|
//! | time a call may take, waiting for a connection and retries included | 10 s | [`ClientBuilder::timeout`]; `timeout`, `no_timeout` of a request |
//! | time a connection attempt may take | 5 s | [`ClientBuilder::dial_timeout`] |
//! | largest request | 2 MiB (etcd's own limit is 1.5 MiB) | [`ClientBuilder::max_request_size`] |
//! | largest response | unlimited | [`ClientBuilder::max_response_size`] |
//! | calls in flight | 16,384, further ones wait | [`ClientBuilder::max_in_flight`] |
//! | back-off between connection attempts | 50 ms to 3 s, full jitter | [`ClientBuilder::reconnect_backoff`] |
//! | back-off between attempts of a call | 25 ms to 1 s, full jitter | [`ClientBuilder::retry_backoff`] |
//! | silence before a health probe; the probe's time-out | 1 s; 2 s | [`ClientBuilder::silence`] |
//! | HTTP/2 ping interval while a call is open; its time-out | 10 s; 5 s | [`ClientBuilder::ping`] |
//! | metadata of one's own | none | [`ClientBuilder::metadata`]; `metadata` of a request |
//! | `client-api-version` | 3.7 | |
//! | endpoint that is asked | any that is up | `endpoint` of a request |
//! | a member without a leader refuses, and the call moves on | writes and linearizable reads | `require_leader` of a request |
//! | what a watch tells | puts and deletions from now on | [`Watch::from_revision`], [`Watch::no_puts`], [`Watch::no_deletes`] |
//! | what is buffered for a slow watcher before it is parked | 16 MiB | [`Watch::max_buffer`] |
//! | large responses to watches are split, and joined again | yes | [`Watch::fragment`] |
//! | a watch leaves a member without a leader | yes | [`Watch::require_leader`] |
//! | time a watch waits for its confirmation | no limit | |
//! | what is sent again | reads; writes only if provably not applied | |
//! | reads | linearizable, of the latest revision | [`Get::serializable`], [`Get::revision`] |
//! | order and number of pairs read | by key, ascending; all | [`Get::sort`], [`Get::limit`] |
//! | previous pairs of puts and deletions | not returned | [`Put::prev_kv`], [`Delete::prev_kv`] |
//! | lease of a put | none | [`Put::lease`], [`Put::ignore_lease`] |
//! | compaction | logical | [`Compact::physical`] |
//! | time to live of a lease | rounded up to whole seconds; at least 2 s with etcd's defaults | |
//! | id of a lease | the server's choice; of one that keeps itself alive, the client's | [`Grant::id`], [`NewLease::id`] |
//! | renewals of a lease that keeps itself alive | at a third of its time; what is not answered, again after a sixth | |
//! | a dropped [`Lease`] | expires | [`NewLease::on_drop`] |
//! | time the first renewal of [`Client::keep_alive`] may take | as any call | [`KeepAlive::timeout`] |

#![forbid(unsafe_code)]

// Helpers of integration tests serve unit tests too.
#[cfg(test)]
extern crate self as etcdium_client;

#[macro_use]
mod call;

mod builder;
mod client;
mod clock;
mod driver;
pub mod embed;
mod endpoints;
mod http2;
mod kv;
mod lease;
mod request;
mod response;
mod runtime;
mod shared;
pub mod util;
mod watch;

pub use builder::ClientBuilder;
pub use call::{Call, CallFuture};
pub use client::{Client, EndpointState};
pub use endpoints::Endpoints;
pub use kv::{
    Compact, CompactResponse, Comparand, Compare, Delete, DeleteResponse, DoOp, DoOpFuture, Get, GetResponse,
    Op, OpResponse, Put, PutResponse, SortOrder, SortTarget, Txn, TxnResponse, Value,
};
pub use lease::{
    Grant, GrantResponse, KeepAlive, KeepAliveOnce, KeepAliveResponse, KeepFuture, Lease, LeaseInfo,
    LeaseKeeper, Leases, LeasesResponse, NewLease, Revoke, RevokeResponse, TimeToLive, TimeToLiveResponse,
};
pub use request::{Bound, ResponseFuture, Unbound};
pub use response::{KeyValue, ResponseHeader};
pub use runtime::{BoxFuture, ConnectError, Io, Runtime, SpawnError, Timer};
pub use watch::{Event, EventKind, ListItem, ListWatch, ListWatcher, Watch, WatchFuture, WatchItem, Watcher};

pub use etcdium_core::{
    Address, AddressError, AddressErrorKind, BackoffConfig, Cause, CauseKind, ClusterId, EndpointCause,
    EndpointStatus, Error, ErrorKind, EtcdError, Events, FrameError, GrpcCode, InvalidHead, InvalidRequest,
    Key, KeyRange, LeaseId, LeaseLost, LeaseState, MemberId, Metadata, OnDrop, Outcome, ProgressError,
    ProtocolError, Revision, Security, Stats, Target, WatchError, WatchErrorKind, WrongServer, prefix_end,
};
pub use etcdium_proto as proto;
