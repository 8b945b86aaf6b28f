//! Conformance suite of the etcdium etcd client against live etcd.

#![forbid(unsafe_code)]

pub mod etcd;
