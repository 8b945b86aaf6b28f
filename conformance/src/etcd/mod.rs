//! Real etcd for tests and the demo: server binaries ([`provision`]).

pub mod provision;
