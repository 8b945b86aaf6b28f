//! The etcdium etcd client on smol.

#![forbid(unsafe_code)]
