//! Runtime-agnostic etcd v3 client: typed API and the hyper driver of etcdium-core.
//!
//! Most programs use this crate through an adapter (`etcdium-tokio`, `etcdium-smol`, `etcdium-async-std`), which names
//! a runtime and re-exports everything here. Libraries depend on this crate alone and take a [`Client`].

#![forbid(unsafe_code)]

#[macro_use]
mod call;

mod builder;
mod client;
mod endpoints;
mod kv;
mod lease;
mod request;
mod response;
mod runtime;
mod shared;
pub mod util;

pub use builder::ClientBuilder;
pub use call::{Call, CallFuture};
pub use client::{Client, EndpointState};
pub use endpoints::Endpoints;
pub use kv::{
    Compact, CompactResponse, Comparand, Compare, Delete, DeleteResponse, DoOp, DoOpFuture, Get, GetResponse,
    Op, OpResponse, Put, PutResponse, SortOrder, SortTarget, Txn, TxnResponse, Value,
};
pub use lease::{
    Grant, GrantResponse, LeaseInfo, Leases, LeasesResponse, Revoke, RevokeResponse, TimeToLive,
    TimeToLiveResponse,
};
pub use request::{Bound, ResponseFuture, Unbound};
pub use response::{KeyValue, ResponseHeader};
pub use runtime::{BoxFuture, Io, Runtime, SpawnError, Timer};

pub use etcdium_core::{
    Address, AddressError, AddressErrorKind, BackoffConfig, Cause, CauseKind, ClusterId, EndpointCause,
    EndpointStatus, Error, ErrorKind, EtcdError, FrameError, GrpcCode, InvalidHead, InvalidRequest, Key,
    KeyRange, LeaseId, MemberId, Metadata, Outcome, ProtocolError, Revision, Security, Stats, Target,
    WrongServer, prefix_end,
};
pub use etcdium_proto as proto;
