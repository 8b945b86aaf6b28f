//! `etcdserverpb.KV` (v3rpc/key.go, v3rpc/quota.go).

use std::time::Instant;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RangeStreamResponse,
    TxnRequest,
};
use prost::Message;

use super::quota;
use crate::model::cluster::{Asked, Read};
use crate::model::config::V3_7;
use crate::model::state::Proposal;
use crate::model::store::{View, has_filters, is_key_order};
use crate::model::{CallId, Cluster, Status, txn};

impl Cluster {
    pub(super) fn range(&mut self, now: Instant, asked: Asked, request: RangeRequest) {
        match txn::check_range(&request, self.config.version) {
            Ok(()) => self.read(now, asked, request.serializable, Read::Range(request)),
            Err(status) => self.end(asked.call, status),
        }
    }

    pub(super) fn range_stream(&mut self, now: Instant, asked: Asked, request: RangeRequest) {
        let checked = txn::check_range(&request, self.config.version).and_then(|()| {
            if !is_key_order(&request) {
                Err(Status::unimplemented("RangeStream does not support custom sort orders"))
            } else if has_filters(&request) {
                Err(Status::unimplemented("RangeStream does not support revision filters"))
            } else {
                Ok(())
            }
        });
        match checked {
            Ok(()) => self.read(now, asked, request.serializable, Read::RangeStream(request)),
            Err(status) => self.end(asked.call, status),
        }
    }

    pub(super) fn put(&mut self, now: Instant, asked: Asked, request: PutRequest) {
        let checked = txn::check_put(&request);
        self.propose_within_quota(now, asked, Proposal::Put(request), checked);
    }

    pub(super) fn delete_range(&mut self, now: Instant, asked: Asked, request: DeleteRangeRequest) {
        match txn::check_delete(&request) {
            Ok(()) => self.propose_call(now, asked, Proposal::Delete(request)),
            Err(status) => self.end(asked.call, status),
        }
    }

    pub(super) fn txn(&mut self, now: Instant, asked: Asked, request: TxnRequest) {
        let checked = txn::check_txn(&request, self.config.max_txn_ops, self.config.version);
        if checked.is_ok() && txn::is_read_only(&request) {
            let serializable = txn::is_serializable(&request);
            return self.read(now, asked, serializable, Read::Txn(request));
        }
        self.propose_within_quota(now, asked, Proposal::Txn(request), checked);
    }

    pub(super) fn compaction(&mut self, now: Instant, asked: Asked, request: CompactionRequest) {
        self.propose_call(now, asked, Proposal::Compact { revision: request.revision });
    }

    /// The quota is looked at before the arguments are.
    pub(super) fn propose_within_quota(
        &mut self,
        now: Instant,
        asked: Asked,
        proposal: Proposal,
        checked: Result<(), Status>,
    ) {
        let cost = quota::cost(&proposal);
        if cost > 0 && self.state.file_size() + cost >= self.config.quota {
            return self.raise_no_space(now, asked);
        }
        match checked {
            Ok(()) => self.propose_call(now, asked, proposal),
            Err(status) => self.end(asked.call, status),
        }
    }

    /// Answers a range from what the member has.
    pub(crate) fn serve_range(&mut self, call: CallId, member: usize, request: &RangeRequest) {
        let fast_keys = self.config.version >= V3_7;
        match self.view(member).range(request, fast_keys) {
            Ok(mut response) => {
                self.answerer(member).fill(&mut response.header);
                self.answer(call, &response);
            }
            Err(status) => self.end(call, status),
        }
    }

    /// Answers a read-only transaction from what the member has.
    pub(crate) fn serve_txn(&mut self, call: CallId, member: usize, request: &TxnRequest) {
        match txn::read_txn(&self.view(member), request, self.config.version) {
            Ok(mut response) => {
                self.answerer(member).fill(&mut response.header);
                self.answer(call, &response);
            }
            Err(status) => self.end(call, status),
        }
    }

    /// Answers a range in chunks.
    pub(crate) fn serve_range_stream(&mut self, call: CallId, member: usize, request: RangeRequest) {
        let target = self.config.max_request_bytes;
        match chunks(&self.view(member), request, target) {
            Ok(mut chunks) => {
                let answerer = self.answerer(member);
                for chunk in &mut chunks {
                    if chunk.header.is_some() {
                        answerer.fill(&mut chunk.header);
                    }
                }
                for chunk in chunks {
                    let response = RangeStreamResponse { range_response: Some(chunk) };
                    self.send(call, response.encode_to_vec().into());
                }
                self.end(call, Status::OK);
            }
            Err(status) => self.end(call, status),
        }
    }
}

/// Cuts a range the way etcd does (v3_server.go, `rangeStream`): 10 keys first, then twice or half as many, so that a
/// chunk comes near the size of the largest request. Only the last one has header, `more` and `count`.
fn chunks(view: &View<'_>, mut request: RangeRequest, target: usize) -> Result<Vec<RangeResponse>, Status> {
    if request.count_only {
        let whole = view.range(&request, true)?;
        return Ok(vec![RangeResponse {
            header: whole.header,
            count: whole.count,
            ..RangeResponse::default()
        }]);
    }
    let total = if request.limit == 0 { i64::MAX } else { request.limit };
    request.limit = total.min(10);
    let mut chunks = Vec::new();
    let mut count = 0;
    loop {
        let found = view.range(&request, true)?;
        if request.revision == 0 {
            request.revision = view.revision();
        }
        let (size, more) = (found.encoded_len(), found.more);
        count += found.kvs.len() as i64;
        let next = found.kvs.last().map(|last| following(&last.key));
        let mut chunk = RangeResponse { kvs: found.kvs, ..RangeResponse::default() };
        let Some(next) = next.filter(|_| more) else {
            chunk.header = found.header;
            chunk.count = count;
            chunks.push(chunk);
            return Ok(chunks);
        };
        request.key = next;
        if count == total {
            let rest = RangeRequest { count_only: true, ..request };
            chunk.header = found.header;
            chunk.more = true;
            chunk.count = count + view.range(&rest, true)?.count;
            chunks.push(chunk);
            return Ok(chunks);
        }
        chunks.push(chunk);
        if size < target / 2 {
            request.limit *= 2;
        } else if size > target * 2 {
            request.limit /= 2;
        }
        request.limit = request.limit.max(1).min(total - count);
    }
}

/// The first key after `key`.
fn following(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}
