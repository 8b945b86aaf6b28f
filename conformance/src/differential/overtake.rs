//! Progress that overtakes events (etcd issue 15220): what no script shows, for scripts let watches catch up before they
//! ask for progress.
//!
//! More watches than a stream's queue holds wait for one key. It is written, and progress is asked for at once, while the
//! server still has most of the events to send.

use bytes::Bytes;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use prost::Message;

use super::answer::Kind;
use super::model::Model;
use super::side::{RealSide, Side, revision_of, until};
use super::{Failure, version};
use crate::etcd::ClusterConfig;
use crate::etcd::provision::Request;

/// More than 128, which is what a stream's queue holds.
const WATCHES: usize = 300;

/// In how many attempts an answer told a revision before an event of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaking {
    /// Attempts made with either.
    pub attempts: usize,
    /// Of those, on the real server.
    pub real: usize,
    /// Of those, on the model.
    pub model: usize,
}

/// Writes and asks for progress at once, so many times.
///
/// # Errors
///
/// The server could not be started or spoken to, or either did not deliver all events, or did not answer at rest.
pub fn overtaking(etcd: &Request, attempts: usize) -> Result<Overtaking, Failure> {
    let cluster = ClusterConfig::single().version(etcd.clone()).start()?;
    let member = cluster.members().first().ok_or_else(|| Failure("no member".to_owned()))?;
    let real = count(attempts, &mut RealSide::open(member.client_address())?)?;
    let model = count(attempts, &mut Model::busy(version(&cluster)))?;
    Ok(Overtaking { attempts, real, model })
}

fn count(attempts: usize, side: &mut impl Side) -> Result<usize, Failure> {
    let request = |union| Bytes::from(WatchRequest { request_union: Some(union) }.encode_to_vec());
    let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
    for _ in 0..WATCHES {
        side.send(&request(RequestUnion::CreateRequest(create.clone())))?;
    }
    until(side, WATCHES, |response| usize::from(response.created))?;
    let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    let progress = request(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let mut overtaken = 0;
    for _ in 0..attempts {
        let written = revision_of(&side.unary(Kind::Put, &put.encode_to_vec().into()))?;
        side.send(&progress)?;
        let (mut told, mut late) = (false, false);
        until(side, WATCHES, |response| {
            told |= tells(response, written);
            late |= told && !response.events.is_empty();
            response.events.len()
        })?;
        overtaken += usize::from(late);
        // At rest it is always answered, soon; an earlier answer may still be on its way.
        side.send(&progress)?;
        until(side, 1, |response| usize::from(tells(response, written)))?;
    }
    Ok(overtaken)
}

fn tells(response: &WatchResponse, written: i64) -> bool {
    let revision = response.header.as_ref().map_or(0, |header| header.revision);
    response.watch_id == -1 && response.events.is_empty() && revision >= written
}

#[cfg(test)]
mod tests {
    use etcdium_sim::model::{V3_4, V3_5, V3_6, V3_7};

    use super::*;

    #[test]
    fn only_the_oldest_model_overtakes() {
        assert!(count(3, &mut Model::busy(V3_4)).unwrap() > 0);
        for version in [V3_5, V3_6, V3_7] {
            assert_eq!(count(3, &mut Model::busy(version)).unwrap(), 0, "{version}");
        }
    }
}
