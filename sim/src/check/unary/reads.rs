//! What reads return.

use etcdium_proto::etcdserverpb::{RangeRequest, RangeResponse, request_op, response_op};
use etcdium_proto::mvccpb::KeyValue;

use crate::check::{Check, Fact, View};
use crate::world::{Answer, Asked, OpRecord};

/// A linearizable read, and whatever is ordered by consensus, answers at a revision not below what was committed when
/// it started; any read returns exactly what the keys held at the revision it answers at, or at the one it asked for.
/// A read during which the cluster was restored may belong to either time.
#[derive(Debug)]
pub(in crate::check) struct Reads;

impl Check for Reads {
    fn name(&self) -> &'static str {
        "reads return what was there, linearizable ones nothing old"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ended(op, Ok(answer)) = fact else { return Ok(()) };
        let op = &view.ops[*op];
        let (parts, fresh) = match (&op.asked, answer) {
            (Asked::Range(request), Answer::Range(answer)) => {
                (vec![(request, answer)], !request.serializable)
            }
            (Asked::Txn(request), Answer::Txn(answer)) => {
                let branch = if answer.succeeded { &request.success } else { &request.failure };
                let parts = branch.iter().zip(&answer.responses);
                let parts =
                    parts.filter_map(|(asked, answered)| match (&asked.request, &answered.response) {
                        (
                            Some(request_op::Request::RequestRange(asked)),
                            Some(response_op::Response::ResponseRange(answered)),
                        ) => Some((asked, answered)),
                        _ => None,
                    });
                (parts.collect(), true)
            }
            (Asked::Put(_), Answer::Put(_)) | (Asked::Delete(_), Answer::Delete(_)) => (Vec::new(), true),
            _ => return Ok(()),
        };
        let mut why = String::new();
        for epoch in op.epoch..=view.ledger.epoch() {
            match judge(view, op, epoch, answer, &parts, fresh) {
                Ok(()) => return Ok(()),
                Err(how) => why = how,
            }
        }
        Err(format!("step {}: {:?} got {answer:?}: {why}", op.id, op.asked))
    }
}

fn judge(
    view: &View<'_>,
    op: &OpRecord,
    epoch: usize,
    answer: &Answer,
    parts: &[(&RangeRequest, &RangeResponse)],
    fresh: bool,
) -> Result<(), String> {
    let header = answer.header().copied().unwrap_or_default();
    if header.cluster_id != view.ledger.cluster(epoch) {
        return Err("it comes from another cluster".into());
    }
    if fresh && epoch == op.epoch && header.revision < op.committed {
        return Err(format!("revision {} was committed before it started", op.committed));
    }
    for (asked, answered) in parts {
        let revision = if asked.revision > 0 { asked.revision } else { header.revision };
        let held = view.ledger.range(epoch, asked, revision);
        if !answered.kvs.iter().eq(held.iter().copied()) || answered.count != held.len() as i64 {
            return Err(format!("revision {revision} held {}", show(&held)));
        }
    }
    Ok(())
}

fn show(kvs: &[&KeyValue]) -> String {
    let kvs = kvs.iter().map(|kv| format!("{:?}={:?}@{}", kv.key, kv.value, kv.mod_revision));
    format!("[{}]", kvs.collect::<Vec<_>>().join(", "))
}
