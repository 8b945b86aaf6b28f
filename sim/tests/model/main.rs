//! The model etcd, from outside: calls in, answers out.

mod kv;
mod proxy;
mod support;
mod watch;
