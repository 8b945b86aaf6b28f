//! What responses tell of the store and of the cluster.

use etcdium_core::{ClusterId, Event, Revision};
use etcdium_proto::etcdserverpb::StatusRequest;
use etcdium_proto::etcdserverpb::{PutResponse, RangeResponse, StatusResponse};

use crate::support::*;

fn answered(world: &mut World, cluster: u64, revision: i64) {
    let op = world.start(&get("k"), &no_options());
    let response = RangeResponse { header: header(cluster, revision), ..Default::default() };
    world.answer(world.call(), &response);
    assert_eq!(world.take(&op).unwrap(), response);
}

#[test]
fn the_highest_revision_is_kept() {
    let mut world = World::connected(2);
    assert_eq!((world.core.revision(), world.core.cluster()), (Revision::ZERO, None));
    for (seen, highest) in [(5, 5), (3, 5), (9, 9), (8, 9), (0, 9)] {
        answered(&mut world, CLUSTER, seen);
        assert_eq!(world.core.revision(), Revision::new(highest));
    }
    assert_eq!(world.core.cluster(), Some(ClusterId::new(CLUSTER)));
    assert!(world.events.is_empty());
}

#[test]
fn every_method_counts() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &put_response(5));
    world.take(&op).unwrap();
    let op = world.start(&StatusRequest::default(), &no_options());
    world.answer(world.call(), &StatusResponse { header: header(CLUSTER, 7), ..Default::default() });
    world.take(&op).unwrap();
    assert_eq!(world.core.revision(), Revision::new(7));
}

#[test]
fn another_cluster_is_told_and_has_its_own_revision() {
    let mut world = World::connected(2);
    answered(&mut world, 1, 100);
    answered(&mut world, 2, 7);
    let changed = |from, to| Event::ClusterChanged { from: ClusterId::new(from), to: ClusterId::new(to) };
    assert_eq!(world.events, [changed(1, 2)]);
    assert_eq!((world.core.revision(), world.core.cluster()), (Revision::new(7), Some(ClusterId::new(2))));
    answered(&mut world, 2, 8);
    answered(&mut world, 1, 90);
    assert_eq!(world.events, [changed(1, 2), changed(2, 1)]);
    assert_eq!(world.core.revision(), Revision::new(100), "as far as it was seen there");
}

/// etcd's gRPC proxy leaves header fields out.
#[test]
fn absent_fields_change_nothing() {
    let mut world = World::connected(1);
    answered(&mut world, CLUSTER, 5);
    answered(&mut world, 0, 6);
    assert_eq!(
        (world.core.revision(), world.core.cluster()),
        (Revision::new(6), Some(ClusterId::new(CLUSTER)))
    );
    let op = world.start(&put("k"), &no_options());
    world.answer(world.call(), &PutResponse::default());
    world.take(&op).unwrap();
    assert_eq!(world.core.revision(), Revision::new(6));
    assert!(world.events.is_empty());
}

#[test]
fn a_cancelled_call_tells_nothing() {
    let mut world = World::connected(1);
    let op = world.start(&put("k"), &no_options());
    let call = world.call();
    world.cancel(&op);
    world.answer(call, &put_response(9));
    assert_eq!(world.core.revision(), Revision::ZERO);
}

#[test]
fn a_health_probe_tells_nothing() {
    let mut world = World::connected(1);
    let _op = world.start(&put("k"), &no_options());
    world.advance(s(1));
    let probe = world.probes()[0];
    // Were it a response of etcd's own, this would be its header.
    world.answer(probe, &put_response(9));
    assert_eq!((world.core.revision(), world.core.cluster()), (Revision::ZERO, None));
}
