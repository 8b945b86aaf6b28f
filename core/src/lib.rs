//! Sans-IO protocol core of the etcdium etcd client.

#![forbid(unsafe_code)]
