//! Comparisons of a transaction (txn.go, `applyCompare`).

use std::cmp::Ordering;

use etcdium_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcdium_proto::etcdserverpb::request_op::Request;
use etcdium_proto::etcdserverpb::{Compare, TxnRequest};
use etcdium_proto::mvccpb::KeyValue;

use crate::model::store::{Span, View};

/// Decides which branch is taken, of this transaction and of every one within the branch, in the order in which they
/// are met.
pub(super) fn decide(view: &View<'_>, request: &TxnRequest, path: &mut Vec<bool>) {
    let taken = request.compare.iter().all(|compare| holds(view, compare));
    path.push(taken);
    let ops = if taken { &request.success } else { &request.failure };
    for op in ops {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            decide(view, txn, path);
        }
    }
}

fn holds(view: &View<'_>, compare: &Compare) -> bool {
    let mut kvs = view.span(Span::new(&compare.key, &compare.range_end)).peekable();
    if kvs.peek().is_none() {
        // A key that is not there has no value to compare; all else of it is zero.
        return compare.target != CompareTarget::Value as i32 && holds_for(compare, &KeyValue::default());
    }
    kvs.all(|kv| holds_for(compare, kv))
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    // A value given for another target than the one named counts as zero.
    let order = match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(version))) => kv.version.cmp(version),
        (Ok(CompareTarget::Version), _) => kv.version.cmp(&0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(create))) => {
            kv.create_revision.cmp(create)
        }
        (Ok(CompareTarget::Create), _) => kv.create_revision.cmp(&0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(modified))) => kv.mod_revision.cmp(modified),
        (Ok(CompareTarget::Mod), _) => kv.mod_revision.cmp(&0),
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(value))) => kv.value.cmp(value),
        (Ok(CompareTarget::Value), _) => kv.value.is_empty().cmp(&true).reverse(),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(lease))) => kv.lease.cmp(lease),
        (Ok(CompareTarget::Lease), _) => kv.lease.cmp(&0),
        (Err(_), _) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(target: CompareTarget, result: CompareResult, union: TargetUnion) -> Compare {
        Compare {
            key: "k".into(),
            target: target as i32,
            result: result as i32,
            target_union: Some(union),
            ..Compare::default()
        }
    }

    #[test]
    fn every_target_compares_its_own_field() {
        let kv = KeyValue {
            key: "k".into(),
            create_revision: 2,
            mod_revision: 5,
            version: 3,
            value: "m".into(),
            lease: 9,
        };
        let value = |text: &'static str| TargetUnion::Value(text.into());
        for (target, less, same, more) in [
            (
                CompareTarget::Version,
                TargetUnion::Version(2),
                TargetUnion::Version(3),
                TargetUnion::Version(4),
            ),
            (
                CompareTarget::Create,
                TargetUnion::CreateRevision(1),
                TargetUnion::CreateRevision(2),
                TargetUnion::CreateRevision(3),
            ),
            (
                CompareTarget::Mod,
                TargetUnion::ModRevision(4),
                TargetUnion::ModRevision(5),
                TargetUnion::ModRevision(6),
            ),
            (CompareTarget::Value, value("l"), value("m"), value("n")),
            (CompareTarget::Lease, TargetUnion::Lease(8), TargetUnion::Lease(9), TargetUnion::Lease(10)),
        ] {
            let holds = |result, union: &TargetUnion| holds_for(&compare(target, result, union.clone()), &kv);
            assert!(holds(CompareResult::Equal, &same), "{target:?}");
            assert!(!holds(CompareResult::Equal, &more), "{target:?}");
            assert!(holds(CompareResult::NotEqual, &more), "{target:?}");
            assert!(holds(CompareResult::Greater, &less), "{target:?}");
            assert!(!holds(CompareResult::Greater, &same), "{target:?}");
            assert!(holds(CompareResult::Less, &more), "{target:?}");
            assert!(!holds(CompareResult::Less, &same), "{target:?}");
        }
    }

    #[test]
    fn a_missing_value_to_compare_with_is_zero() {
        let bare = |target: CompareTarget| Compare { target: target as i32, ..Compare::default() };
        let kv = KeyValue { value: "v".into(), version: 1, ..KeyValue::default() };
        assert!(!holds_for(&bare(CompareTarget::Version), &kv));
        assert!(holds_for(&bare(CompareTarget::Lease), &kv));
        assert!(!holds_for(&bare(CompareTarget::Value), &kv));
        assert!(holds_for(&bare(CompareTarget::Value), &KeyValue::default()));
        let greater = Compare { result: CompareResult::Greater as i32, ..bare(CompareTarget::Value) };
        assert!(holds_for(&greater, &kv));
    }

    #[test]
    fn unknown_targets_are_equal_and_unknown_results_hold() {
        let kv = KeyValue { version: 1, ..KeyValue::default() };
        assert!(holds_for(&Compare { target: 77, ..Compare::default() }, &kv));
        assert!(holds_for(&Compare { result: 77, ..Compare::default() }, &kv));
    }
}
