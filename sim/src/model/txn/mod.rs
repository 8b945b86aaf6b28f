//! Transactions (server/etcdserver/txn/txn.go, server/etcdserver/api/v3rpc/key.go).

mod apply;
mod check;
mod compare;
mod overlap;

pub(crate) use apply::{delete_range, put, read_txn, write_txn};
pub(crate) use check::{check_delete, check_put, check_range, check_txn, is_read_only, is_serializable};
