//! Messages and method table of the etcd v3 API, with bytes fields as Bytes.

#![forbid(unsafe_code)]
