//! Deletions that a compaction drops: a watch from the compacted revision itself should get everything made at it, and of
//! 3.4 it does not get the deletions (etcd issue 18089, mended by pull request 18274).
//!
//! There `keyIndex.compact` keeps no tombstone, and `kvsToEvents` makes no event of what has left the backend
//! (mvcc/key_index.go, mvcc/watchable_store.go). When that happens the answer tells only of a physical compaction.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use etcdium_proto::mvccpb::event::EventType;
use prost::Message;

use super::answer::{Answer, Kind};
use super::model::Model;
use super::side::{RealSide, Side, revision_of, until};
use super::{Failure, version};
use crate::etcd::ClusterConfig;
use crate::etcd::provision::Request;

/// How often a watch did not get a deletion made at the revision it begins at, which was compacted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Attempts made with either, and of either kind.
    pub attempts: usize,
    /// Of those, on the real server, after a physical compaction.
    pub real: usize,
    /// Of those, on the real server, after one that was only scheduled: chance.
    pub scheduled: usize,
    /// Of those, on the model.
    pub model: usize,
}

/// Deletes, compacts at that revision, and watches from it, so many times.
///
/// # Errors
///
/// The server could not be started or spoken to, or either did not deliver what it has to.
pub fn dropped(etcd: &Request, attempts: usize) -> Result<Dropped, Failure> {
    let cluster = ClusterConfig::single().version(etcd.clone()).start()?;
    let member = cluster.members().first().ok_or_else(|| Failure("no member".to_owned()))?;
    let mut server = RealSide::open(member.client_address())?;
    let real = count(attempts, &mut server, true)?;
    let scheduled = count(attempts, &mut server, false)?;
    let model = count(attempts, &mut Model::new(version(&cluster)), true)?;
    Ok(Dropped { attempts, real, scheduled, model })
}

fn count(attempts: usize, side: &mut impl Side, physical: bool) -> Result<usize, Failure> {
    let key = Bytes::from_static(b"k");
    let put: Bytes = PutRequest { key: key.clone(), ..Default::default() }.encode_to_vec().into();
    let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() }.encode_to_vec().into();
    let mut dropped = 0;
    for _ in 0..attempts {
        revision_of(&side.unary(Kind::Put, &put))?;
        let revision = revision_of(&side.unary(Kind::Delete, &delete))?;
        let compaction = CompactionRequest { revision, physical };
        let answer = side.unary(Kind::Compact, &compaction.encode_to_vec().into());
        if !matches!(answer, Answer::Compact(_)) {
            return Err(Failure(format!("a compaction was answered with {answer:?}")));
        }
        let create = WatchCreateRequest { key: key.clone(), start_revision: revision, ..Default::default() };
        send(side, RequestUnion::CreateRequest(create))?;
        let (mut id, mut deleted) = (0, false);
        until(side, 1, |response| {
            deleted |= count_of(response, EventType::Delete) > 0;
            id = response.watch_id;
            usize::from(response.created)
        })?;
        side.catch_up()?;
        // Comes after the deletion, if that comes.
        revision_of(&side.unary(Kind::Put, &put))?;
        until(side, 1, |response| {
            deleted |= count_of(response, EventType::Delete) > 0;
            count_of(response, EventType::Put)
        })?;
        dropped += usize::from(!deleted);
        send(side, RequestUnion::CancelRequest(WatchCancelRequest { watch_id: id }))?;
        until(side, 1, |response| usize::from(response.canceled))?;
    }
    Ok(dropped)
}

fn count_of(response: &WatchResponse, kind: EventType) -> usize {
    response.events.iter().filter(|event| event.r#type() == kind).count()
}

fn send(side: &mut impl Side, request: RequestUnion) -> Result<(), Failure> {
    side.send(&WatchRequest { request_union: Some(request) }.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use etcdium_sim::model::{V3_4, V3_5, V3_6, V3_7};

    use super::*;

    #[test]
    fn only_the_oldest_model_drops_deletions() {
        assert_eq!(count(3, &mut Model::new(V3_4), true).unwrap(), 3);
        for version in [V3_5, V3_6, V3_7] {
            assert_eq!(count(3, &mut Model::new(version), true).unwrap(), 0, "{version}");
        }
    }
}
