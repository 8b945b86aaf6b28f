//! Messages and method table of the etcd v3 API, up to etcd 3.7.
//!
//! * One module per protobuf package holds its messages and enums. They are plain [`prost`] types; every
//!   `bytes` field is a [`bytes::Bytes`]. The schemas lie in `proto/proto`, the code is checked in, and
//!   building needs neither a build script nor `protoc`.
//! * [`METHODS`] lists every remote procedure as a [`Method`]: path, kind, message types, retry class, need
//!   for a leader, first server version. [`methods`] names them one by one.
//! * [`UnaryRequest`] and [`StreamMethod`] tie the types together: the request type decides the method and
//!   the response.
//!
//! ```
//! use etcdium_proto::{RetryClass, UnaryRequest, etcdserverpb::RangeRequest};
//!
//! let request = RangeRequest { key: "k".into(), ..Default::default() };
//! assert_eq!(RangeRequest::METHOD.path(), "/etcdserverpb.KV/Range");
//! assert_eq!(request.retry_class(), RetryClass::Read);
//! assert!(request.needs_leader());
//! ```
//!
//! Nothing here does I/O or decides about connections.

#![forbid(unsafe_code)]

mod method;
mod redact;
mod request;
mod table;

pub use method::{Method, MethodKind, RetryClass, Version};
pub use request::{Response, StreamMethod, UnaryRequest};
pub use table::{METHODS, methods, streams};

/// Declares the modules that `cargo xtask codegen` writes.
macro_rules! generated {
    ($($(#[$doc:meta])* $module:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        #[rustfmt::skip]
        #[path = $file]
        pub mod $module;
    )*};
}

generated! {
    /// Users, roles and permissions.
    authpb = "generated/authpb.rs";
    /// The six services of etcd: KV, Watch, Lease, Cluster, Maintenance, Auth.
    etcdserverpb = "generated/etcdserverpb.rs";
    /// gRPC's standard health check.
    healthpb = "generated/grpc.health.v1.rs";
    /// Key-value pairs and events.
    mvccpb = "generated/mvccpb.rs";
    /// The election service.
    v3electionpb = "generated/v3electionpb.rs";
    /// The lock service.
    v3lockpb = "generated/v3lockpb.rs";
}
