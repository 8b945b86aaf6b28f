//! Progress that overtakes events (etcd issue 15220): what no script shows, for scripts let watches catch up before they
//! ask for progress.
//!
//! More watches than a stream's queue holds wait for one key. It is written, and progress is asked for at once, while the
//! server still has most of the events to send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use prost::Message;

use super::answer::{Answer, Kind, revision};
use super::model::Model;
use super::real::Real;
use super::{Failure, version};
use crate::etcd::ClusterConfig;
use crate::etcd::provision::Request;

/// More than 128, which is what a stream's queue holds.
const WATCHES: usize = 300;
/// How long all events of one write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited for the next answers.
const STEP: Duration = Duration::from_millis(50);
const STREAM: usize = 0;

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

/// Either of the two.
trait Side {
    fn put(&mut self, message: &Bytes) -> Answer;
    fn send(&mut self, message: &Bytes) -> Result<(), Failure>;
    /// Takes what has come, after waiting a little if nothing has.
    fn take(&mut self) -> Vec<Answer>;
}

struct RealSide(Real);

impl RealSide {
    fn open(address: SocketAddr) -> Result<Self, Failure> {
        Real::open(address).map(Self).map_err(|trouble| Failure(trouble.to_string()))
    }
}

impl Side for RealSide {
    fn put(&mut self, message: &Bytes) -> Answer {
        self.0.unary(Kind::Put, message)
    }

    fn send(&mut self, message: &Bytes) -> Result<(), Failure> {
        self.0.send(STREAM, Kind::Watch, message).map_err(|trouble| Failure(trouble.to_string()))
    }

    fn take(&mut self) -> Vec<Answer> {
        let mut taken = Vec::new();
        self.0.collect(STREAM, STEP, |answers| {
            taken.extend(answers);
            !taken.is_empty()
        });
        taken
    }
}

impl Side for Model {
    fn put(&mut self, message: &Bytes) -> Answer {
        self.unary(Kind::Put, message)
    }

    fn send(&mut self, message: &Bytes) -> Result<(), Failure> {
        self.send(STREAM, Kind::Watch, message.clone());
        Ok(())
    }

    fn take(&mut self) -> Vec<Answer> {
        self.advance(STEP);
        self.take(STREAM)
    }
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
        let answer = side.put(&put.encode_to_vec().into());
        let written =
            revision(&answer).ok_or_else(|| Failure(format!("a put was answered with {answer:?}")))?;
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

/// Takes answers until this many of what is counted have come.
fn until(
    side: &mut impl Side,
    wanted: usize,
    mut counted: impl FnMut(&WatchResponse) -> usize,
) -> Result<(), Failure> {
    let mut count = 0;
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        for answer in side.take() {
            match answer {
                Answer::Watch(response) => count += counted(&response),
                other => return Err(Failure(format!("on the watch stream: {other:?}"))),
            }
        }
        if count >= wanted {
            return Ok(());
        }
    }
    Err(Failure(format!("{count} of {wanted} answers came in time")))
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
