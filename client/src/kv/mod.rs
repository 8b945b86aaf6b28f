//! Key-value requests: one file per kind of request, their conditions, and their responses.

mod compact;
mod compare;
mod delete;
mod get;
mod op;
mod put;
mod response;
pub(crate) mod selection;
mod txn;
mod value;

pub use compact::Compact;
pub use compare::{Comparand, Compare};
pub use delete::Delete;
pub use get::{Get, SortOrder, SortTarget};
pub use op::{DoOp, DoOpFuture, Op};
pub use put::Put;
pub use response::{CompactResponse, DeleteResponse, GetResponse, OpResponse, PutResponse, TxnResponse};
pub use txn::Txn;
pub use value::Value;

use etcdium_core::InvalidRequest;

fn not_negative(option: &'static str, number: i64) -> Result<(), InvalidRequest> {
    if number < 0 {
        return Err(InvalidRequest::Value { option, reason: "must not be negative" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use etcdium_core::{Error, ErrorKind, InvalidRequest, Outcome};

    /// What is wrong with a request that must have been refused.
    pub(super) fn invalid<T: Debug>(request: Result<T, Error>) -> InvalidRequest {
        let error = request.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied);
        match error.kind() {
            ErrorKind::InvalidRequest(invalid) => invalid.clone(),
            other => panic!("{other:?}"),
        }
    }
}
