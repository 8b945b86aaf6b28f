//! The rule that a transaction changes a key once (v3rpc/key.go, `checkIntervals`), with its gaps.
//!
//! etcd does not see an overlap with a deletion that reaches to the end of all keys (its end, one zero byte, sorts before
//! its beginning), nor of a deletion with a put of an earlier nested transaction.

use std::collections::BTreeSet;

use etcdium_proto::etcdserverpb::RequestOp;
use etcdium_proto::etcdserverpb::request_op::Request;

use crate::model::Status;
use crate::model::status::DUPLICATE_KEY;
use crate::model::store::Span;

#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<Span<'a>>,
}

impl<'a> Changes<'a> {
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|span| span.contains(key))
    }

    /// Enters a put; a key that is in `allowed` may have been put already.
    fn put(&mut self, key: &'a [u8], allowed: &BTreeSet<&[u8]>) -> Result<(), Status> {
        if (self.puts.contains(key) && !allowed.contains(key)) || self.deletes(key) {
            return Err(DUPLICATE_KEY);
        }
        self.puts.insert(key);
        Ok(())
    }
}

/// Collects what the operations change.
pub(super) fn check(ops: &[RequestOp]) -> Result<Changes<'_>, Status> {
    let mut all = Changes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            match Span::new(&delete.key, &delete.range_end) {
                Span::From(_) => {}
                span => all.deletes.push(span),
            }
        }
    }
    let nothing = BTreeSet::new();
    for op in ops {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            let then = check(&txn.success)?;
            let otherwise = check(&txn.failure)?;
            for &key in &then.puts {
                all.put(key, &nothing)?;
            }
            for &key in &otherwise.puts {
                // Only one branch is carried out.
                all.put(key, &then.puts)?;
            }
            all.deletes.extend(then.deletes);
            all.deletes.extend(otherwise.deletes);
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            all.put(&put.key, &nothing)?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdium_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, TxnRequest};

    fn put(key: &'static str) -> RequestOp {
        let put = PutRequest { key: key.into(), ..PutRequest::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    }

    fn delete(key: &'static str, end: &'static str) -> RequestOp {
        let delete = DeleteRangeRequest { key: key.into(), range_end: end.into(), ..Default::default() };
        RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
    }

    fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        let txn = TxnRequest { success, failure, ..TxnRequest::default() };
        RequestOp { request: Some(Request::RequestTxn(txn)) }
    }

    #[test]
    fn overlaps_are_refused() {
        for ops in [
            vec![put("a"), put("a")],
            vec![put("a"), delete("a", "")],
            vec![delete("a", "c"), put("b")],
            vec![put("a"), txn(vec![put("a")], vec![])],
            vec![txn(vec![put("a")], vec![]), txn(vec![], vec![put("a")])],
            vec![txn(vec![delete("a", "")], vec![]), put("a")],
            vec![txn(vec![delete("a", "")], vec![]), txn(vec![put("a")], vec![])],
            vec![delete("a", "c"), txn(vec![put("b")], vec![])],
        ] {
            assert_eq!(check(&ops).err(), Some(DUPLICATE_KEY), "{ops:?}");
        }
    }

    #[test]
    fn what_does_not_overlap_is_allowed() {
        for ops in [
            vec![put("a"), put("b"), delete("c", "d")],
            vec![delete("a", "c"), put("c")],
            vec![delete("a", "c"), delete("b", "d")],
            vec![txn(vec![put("a")], vec![put("a")])],
            // The gaps of etcd's check.
            vec![put("b"), delete("a", "\0")],
            vec![put("b"), delete("c", "a")],
            vec![txn(vec![put("a")], vec![]), txn(vec![delete("a", "")], vec![])],
        ] {
            assert!(check(&ops).is_ok(), "{ops:?}");
        }
    }
}
