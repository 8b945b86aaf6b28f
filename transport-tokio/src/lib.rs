//! The etcdium etcd client on tokio.

#![forbid(unsafe_code)]
