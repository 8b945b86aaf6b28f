//! Runtime-agnostic etcd v3 client: typed API and the hyper driver of etcdium-core.

#![forbid(unsafe_code)]
