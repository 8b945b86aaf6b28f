//! Range requests (server/etcdserver/txn/range.go, server/storage/mvcc/kvstore_txn.go).

use etcdium_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdium_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use etcdium_proto::mvccpb::KeyValue;

use super::{Span, View};
use crate::model::Status;
use crate::model::status::{COMPACTED, FUTURE_REVISION};

impl View<'_> {
    /// Answers a range request; the header says the view's revision and nothing else.
    ///
    /// `fast_keys` is etcd 3.7's way to answer a request for keys only: from the index, which knows no leases.
    pub(crate) fn range(&self, request: &RangeRequest, fast_keys: bool) -> Result<RangeResponse, Status> {
        if request.revision > self.revision {
            return Err(FUTURE_REVISION);
        }
        let revision = if request.revision <= 0 { self.revision } else { request.revision };
        if revision < self.compacted {
            return Err(COMPACTED);
        }
        let view = self.at(revision);
        let span = Span::new(&request.key, &request.range_end);
        let header = Some(ResponseHeader { revision: self.revision, ..ResponseHeader::default() });
        if request.count_only {
            let count = view.span(span).count() as i64;
            return Ok(RangeResponse { header, count, ..RangeResponse::default() });
        }

        let ordered = is_key_order(request);
        // One more than asked for tells whether there are more. A request that is filtered or sorted needs all.
        let needed = if ordered && !has_filters(request) && request.limit > 0 {
            usize::try_from(request.limit).unwrap_or(usize::MAX).saturating_add(1)
        } else {
            usize::MAX
        };
        let mut count = 0;
        let mut kvs: Vec<&KeyValue> = Vec::new();
        for kv in view.span(span) {
            count += 1;
            if kvs.len() < needed {
                kvs.push(kv);
            }
        }
        kvs.retain(|kv| passes(request, kv));
        sort(request, &mut kvs);
        let mut more = false;
        if request.limit > 0 && kvs.len() as u64 > request.limit as u64 {
            kvs.truncate(request.limit as usize);
            more = true;
        }
        let strip_lease = fast_keys && request.sort_target != SortTarget::Value as i32;
        let kvs = kvs.into_iter().map(|kv| present(kv, request.keys_only, strip_lease)).collect();
        Ok(RangeResponse { header, kvs, more, count })
    }
}

fn present(kv: &KeyValue, keys_only: bool, strip_lease: bool) -> KeyValue {
    if !keys_only {
        return kv.clone();
    }
    KeyValue {
        key: kv.key.clone(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: bytes::Bytes::new(),
        lease: if strip_lease { 0 } else { kv.lease },
    }
}

/// The order of keys is asked for, or none. A target without an order counts as none here: etcd then cuts first and
/// sorts what is left.
pub(crate) fn is_key_order(request: &RangeRequest) -> bool {
    request.sort_order == SortOrder::None as i32
        || (request.sort_target == SortTarget::Key as i32 && request.sort_order == SortOrder::Ascend as i32)
}

pub(crate) fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let below = |value: i64, max: i64| max == 0 || value <= max;
    let above = |value: i64, min: i64| min == 0 || value >= min;
    below(kv.mod_revision, request.max_mod_revision)
        && above(kv.mod_revision, request.min_mod_revision)
        && below(kv.create_revision, request.max_create_revision)
        && above(kv.create_revision, request.min_create_revision)
}

/// Sorts stably. etcd's sort is stable up to twelve keys; the order of equals among more of them is not defined.
fn sort(request: &RangeRequest, kvs: &mut [&KeyValue]) {
    let Ok(target) = SortTarget::try_from(request.sort_target) else { return };
    // Not refused before 3.6, and then no order at all.
    let Ok(order) = SortOrder::try_from(request.sort_order) else { return };
    let descending = order == SortOrder::Descend;
    if target == SortTarget::Key && !descending {
        return;
    }
    kvs.sort_by(|a, b| {
        let order = match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if descending { order.reverse() } else { order }
    });
}
