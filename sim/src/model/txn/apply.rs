//! Carrying out puts, deletions and transactions (server/etcdserver/txn).

use std::slice;

use etcdium_proto::Version;
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RequestOp,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};

use super::compare;
use crate::model::Status;
use crate::model::config::{V3_6, V3_7};
use crate::model::lease::Leases;
use crate::model::status::{COMPACTED, FUTURE_REVISION, KEY_NOT_FOUND, LEASE_NOT_FOUND};
use crate::model::store::{Span, View, Writer};

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// A put on its own.
pub(crate) fn put(writer: &mut Writer<'_>, request: PutRequest) -> Result<PutResponse, Status> {
    check_lease(writer.leases(), &request)?;
    check_previous(&writer.view(), &request)?;
    Ok(do_put(writer, request))
}

fn check_lease(leases: &Leases, request: &PutRequest) -> Result<(), Status> {
    if request.lease != 0 && leases.get(request.lease).is_none() { Err(LEASE_NOT_FOUND) } else { Ok(()) }
}

fn check_previous(view: &View<'_>, request: &PutRequest) -> Result<(), Status> {
    if (request.ignore_value || request.ignore_lease) && view.get(&request.key).is_none() {
        return Err(KEY_NOT_FOUND);
    }
    Ok(())
}

fn do_put(writer: &mut Writer<'_>, request: PutRequest) -> PutResponse {
    let PutRequest { key, mut value, mut lease, prev_kv, ignore_value, ignore_lease } = request;
    let mut previous = None;
    if prev_kv || ignore_value || ignore_lease {
        if let Some(old) = writer.view().get(&key) {
            if ignore_value {
                value = old.value.clone();
            }
            if ignore_lease {
                lease = old.lease;
            }
            previous = prev_kv.then(|| old.clone());
        }
    }
    let revision = writer.put(key, value, lease);
    PutResponse { header: header(revision), prev_kv: previous }
}

/// A deletion, on its own or in a transaction.
pub(crate) fn delete_range(writer: &mut Writer<'_>, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let span = Span::new(&request.key, &request.range_end);
    let prev_kvs = if request.prev_kv { writer.view().span(span).cloned().collect() } else { Vec::new() };
    let deleted = writer.delete(span);
    DeleteRangeResponse { header: header(writer.revision()), deleted, prev_kvs }
}

/// A transaction of ranges only.
pub(crate) fn read_txn(
    view: &View<'_>,
    request: &TxnRequest,
    version: Version,
) -> Result<TxnResponse, Status> {
    let path = decide(view, request);
    check(&[Check::Ranges], view, None, request, &mut path.iter())?;
    let mut path = path.iter();
    let taken = path.next().is_some_and(|&taken| taken);
    let mut responses = Vec::new();
    for op in branch(request, taken) {
        if let Some(Request::RequestRange(range)) = &op.request {
            responses.push(range_op(view, range, version)?);
        }
    }
    Ok(TxnResponse { header: header(view.revision()), succeeded: taken, responses })
}

/// A transaction that may write. Everything that can fail is checked before anything is written.
pub(crate) fn write_txn(
    writer: &mut Writer<'_>,
    request: TxnRequest,
    version: Version,
) -> Result<TxnResponse, Status> {
    let view = writer.view();
    let path = decide(&view, &request);
    // Up to 3.5 all puts are checked before all ranges, which decides whose error is told.
    let checks: &[Check] = if version < V3_6 { &[Check::OldPuts, Check::Ranges] } else { &[Check::Both] };
    for check in checks {
        self::check(slice::from_ref(check), &view, Some(writer.leases()), &request, &mut path.iter())?;
    }
    let mut response = execute(writer, request, &mut path.iter(), version)?;
    response.header = header(writer.revision());
    Ok(response)
}

fn decide(view: &View<'_>, request: &TxnRequest) -> Vec<bool> {
    let mut path = Vec::with_capacity(1);
    compare::decide(view, request, &mut path);
    path
}

fn branch(request: &TxnRequest, taken: bool) -> &[RequestOp] {
    if taken { &request.success } else { &request.failure }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Ranges,
    /// Puts, with the key looked at before the lease.
    OldPuts,
    Both,
}

fn check(
    what: &[Check],
    view: &View<'_>,
    leases: Option<&Leases>,
    request: &TxnRequest,
    path: &mut slice::Iter<'_, bool>,
) -> Result<(), Status> {
    let taken = path.next().is_some_and(|&taken| taken);
    for op in branch(request, taken) {
        match &op.request {
            Some(Request::RequestRange(range)) if !what.contains(&Check::OldPuts) => {
                check_revision(view, range)?
            }
            Some(Request::RequestPut(put)) => match leases {
                Some(leases) if what.contains(&Check::Both) => {
                    check_lease(leases, put)?;
                    check_previous(view, put)?;
                }
                Some(leases) if what.contains(&Check::OldPuts) => {
                    check_previous(view, put)?;
                    check_lease(leases, put)?;
                }
                _ => {}
            },
            Some(Request::RequestTxn(txn)) => check(what, view, leases, txn, path)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_revision(view: &View<'_>, request: &RangeRequest) -> Result<(), Status> {
    if request.revision == 0 {
        Ok(())
    } else if request.revision > view.revision() {
        Err(FUTURE_REVISION)
    } else if request.revision < view.compact_revision() {
        Err(COMPACTED)
    } else {
        Ok(())
    }
}

fn execute(
    writer: &mut Writer<'_>,
    request: TxnRequest,
    path: &mut slice::Iter<'_, bool>,
    version: Version,
) -> Result<TxnResponse, Status> {
    let succeeded = path.next().is_some_and(|&taken| taken);
    let ops = if succeeded { request.success } else { request.failure };
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        let response = match op.request {
            Some(Request::RequestRange(range)) => {
                responses.push(range_op(&writer.view(), &range, version)?);
                continue;
            }
            Some(Request::RequestPut(put)) => Response::ResponsePut(do_put(writer, put)),
            Some(Request::RequestDeleteRange(delete)) => {
                Response::ResponseDeleteRange(delete_range(writer, &delete))
            }
            Some(Request::RequestTxn(txn)) => Response::ResponseTxn(execute(writer, txn, path, version)?),
            None => continue,
        };
        responses.push(ResponseOp { response: Some(response) });
    }
    // Only the outermost header says a revision; those within are there, and empty.
    Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses })
}

fn range_op(view: &View<'_>, range: &RangeRequest, version: Version) -> Result<ResponseOp, Status> {
    let response = view.range(range, version >= V3_7)?;
    Ok(ResponseOp { response: Some(Response::ResponseRange(response)) })
}
