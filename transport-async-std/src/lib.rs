//! The etcdium etcd client on async-std.

#![forbid(unsafe_code)]
