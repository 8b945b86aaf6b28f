//! The model etcd, from outside: calls in, answers out.

mod kv;
mod support;
mod watch;
