//! Writes that succeeded.

use etcdium_proto::etcdserverpb::compare::TargetUnion;
use etcdium_proto::etcdserverpb::{TxnRequest, request_op, response_op};

use crate::check::{Check, Fact, View};
use crate::world::{Answer, Asked, OpRecord, Passage, Said};

/// A write that succeeded is in the history, at the revision it tells: a put and the put of a transaction by their
/// values, a deletion as a change of its key. A transaction took the branch it says, and what it compared was so; and a lease or compaction was
/// carried out by a member that said so.
#[derive(Debug)]
pub(in crate::check) struct Written;

impl Check for Written {
    fn name(&self) -> &'static str {
        "a write that succeeded is in the history"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ended(op, Ok(answer)) = fact else { return Ok(()) };
        let op = &view.ops[*op];
        if !op.asked.is_write() {
            return Ok(());
        }
        let calls = op.calls.iter().map(|call| &view.calls[*call]);
        let answered =
            calls.filter(|call| call.answered == Some(Said::Success) && call.passage == Passage::Arrived);
        if answered.count() != 1 {
            return Err(format!("step {} succeeded without one server saying so", op.id));
        }
        judge(view, op, answer).map_err(|how| format!("step {}: {how}: {answer:?}", op.id))
    }
}

fn judge(view: &View<'_>, op: &OpRecord, answer: &Answer) -> Result<(), &'static str> {
    let revision = answer.revision();
    let is_marked = || view.ledger.marks(op.id).iter().any(|mark| mark.revision == revision);
    match (&op.asked, answer) {
        (Asked::Put(_), Answer::Put(_)) if is_marked() => Ok(()),
        (Asked::Put(_), Answer::Put(_)) => Err("the put is not in the history at its revision"),
        (Asked::Delete(request), Answer::Delete(answer)) => {
            let epochs = op.epoch..=view.ledger.epoch();
            let was_there = answer.deleted > 0;
            let fits = |epoch: usize| {
                let deleted = view.ledger.changed(epoch, &request.key, revision) == Some(None);
                // One that found nothing left no trace, and the key was not there.
                if was_there { deleted } else { view.ledger.at(epoch, &request.key, revision).is_none() }
            };
            if epochs.into_iter().any(fits) { Ok(()) } else { Err("the history does not know this deletion") }
        }
        (Asked::Txn(request), Answer::Txn(answer)) => {
            let branch = if answer.succeeded { &request.success } else { &request.failure };
            let writes =
                branch.iter().any(|op| matches!(op.request, Some(request_op::Request::RequestPut(_))));
            let answered = answer
                .responses
                .iter()
                .any(|op| matches!(op.response, Some(response_op::Response::ResponsePut(_))));
            match (writes, answered, view.ledger.marks(op.id).is_empty()) {
                (true, true, false) if is_marked() => holds(view, op, request, revision),
                (false, false, true) => Ok(()),
                _ => Err("the transaction's branch and the history differ"),
            }
        }
        _ => Ok(()),
    }
}

/// What a transaction that wrote at `revision` compared was so right before.
fn holds(view: &View<'_>, op: &OpRecord, txn: &TxnRequest, revision: i64) -> Result<(), &'static str> {
    let marks = view.ledger.marks(op.id).iter().filter(|mark| mark.revision == revision);
    for mark in marks {
        for compare in &txn.compare {
            let Some(TargetUnion::ModRevision(expected)) = compare.target_union else { continue };
            let before = view.ledger.at(mark.epoch, &compare.key, revision - 1);
            if before.map_or(0, |kv| kv.mod_revision) != expected {
                return Err("what it compared was not so");
            }
        }
    }
    Ok(())
}
