//! Why watches end when their users do not end them.

use etcdium_core::{EtcdError, GrpcCode};

use super::*;

#[test]
fn a_compaction_is_told_behind_everything_received() {
    let (mut world, watch, mut line) = World::watching(from("k", 5), 50);
    let other = world.watch(of("l"));
    line.confirm(&mut world, 50);
    line.tell(&mut world, &events(1, [5, 6, 7]));
    line.tell(&mut world, &part(1, [8]));
    line.tell(&mut world, &compacted(1, 40));
    assert_eq!(
        line.cancels(&world),
        [1],
        "the server keeps its id, and tells no progress, until it is cancelled"
    );
    line.tell(&mut world, &canceled(1));
    for revision in [5, 6, 7] {
        let Some(WatchNext::Item(item)) = world.watch_next(watch) else { panic!() };
        assert_eq!(revision_of(&item), revision);
    }
    let Some(WatchNext::End(Err(error))) = world.watch_next(watch) else { panic!() };
    assert_eq!(error.kind(), &WatchErrorKind::Compacted { oldest: rev(40) });
    assert_eq!(error.next_revision(), Some(rev(8)));
    assert!(error.to_string().contains("40"), "{error}");
    assert_eq!(world.core.is_watch_open(other), Some(true));
    assert_eq!(world.core.stats().watches, 1);
}

/// A grpc-proxy tells all watches of a range what is true of one of them.
#[test]
fn a_compaction_of_what_was_received_is_not_believed() {
    let (mut world, watch, mut line) = World::watching(of("k"), 50);
    world.watch(of("l"));
    line.confirm(&mut world, 50);
    line.tell(&mut world, &compacted(1, 51));
    assert_eq!(line.cancels(&world), [1]);
    world.advance(ms(25));
    let creation = line.creation(&world);
    assert_eq!((creation.start_revision, creation.watch_id), (51, 3));
    line.tell(&mut world, &created(3, 60));
    line.tell(&mut world, &events(3, [51]));
    assert_eq!(world.revisions(watch), [51]);
}

/// WATCH-074 wants an error that says "required revision is a future revision"; our rule is that a cancellation without a
/// word says nothing: the watch is created again.
#[test]
fn watch_074_a_cancellation_without_a_reason_is_no_end() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    line.tell(&mut world, &events(1, [11]));
    line.tell(&mut world, &canceled(1));
    world.advance(ms(25));
    let creation = line.creation(&world);
    assert_eq!((creation.watch_id, creation.start_revision), (2, 12));
    line.tell(&mut world, &created(2, 20));
    line.tell(&mut world, &events(2, [12]));
    assert_eq!(world.revisions(watch), [11, 12]);
}

#[test]
fn watch_075_a_reason_is_told() {
    let unauthorized = |reason: &str| WatchErrorKind::Unauthorized { reason: reason.to_owned() };
    let refused = |code, reason: &str| WatchErrorKind::Refused { code, reason: reason.to_owned() };
    let cases = [
        (
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            unauthorized("etcdserver: permission denied"),
        ),
        (
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
            unauthorized("etcdserver: invalid auth token"),
        ),
        (
            "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
            unauthorized("etcdserver: user name is empty"),
        ),
        ("mvcc: watcher range is empty", refused(GrpcCode::Unknown, "mvcc: watcher range is empty")),
        ("rpc error: code = Internal desc = oh", refused(GrpcCode::Internal, "oh")),
    ];
    for (reason, kind) in cases {
        for live in [false, true] {
            let mut world = World::connected(1);
            let watch = world.watch(of("k"));
            let other = world.watch(of("l"));
            let mut line = Line::accept(&mut world);
            if live {
                line.confirm(&mut world, 10);
                line.tell(&mut world, &events(1, [11]));
                line.tell(&mut world, &WatchResponse { cancel_reason: reason.to_owned(), ..canceled(1) });
                assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
            } else {
                line.creation(&world);
                line.tell(&mut world, &refused_creation(reason));
                line.confirm(&mut world, 10);
            }
            assert!(world.was_hinted(watch));
            assert_eq!(world.end_of_watch(watch), Some(kind.clone()), "{reason}");
            assert_eq!(world.core.is_watch_open(other), Some(true), "an error is nobody else's");
            assert!(world.reset.is_empty());
        }
    }
}

/// WATCH-077 wants the watch closed with the error; our rule is that a member without a leader is left for another one.
#[test]
fn watch_077_a_member_without_a_leader_is_left_and_the_watch_goes_on() {
    let mut world = World::connected(2);
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    assert!(world.opened[0].requires_leader());
    line.confirm_one(&mut world, 10);
    let left = world.place(line.call);
    world.end(line.call, 14, EtcdError::NoLeader.text());
    let mut line = world.await_line();
    assert_ne!(world.place(line.call), left);
    assert_eq!(line.confirm_one(&mut world, 10), 2);
    line.tell(&mut world, &events(2, [11]));
    assert_eq!(world.revisions(watch), [11]);
}

#[test]
fn an_end_of_the_stream_that_cannot_be_cured_ends_its_watches() {
    let cases = [
        (7, "etcdserver: permission denied", None),
        (16, "who are you", None),
        (3, "etcdserver: user name is empty", None),
        (12, "unknown service etcdserverpb.Watch", Some(GrpcCode::Unimplemented)),
    ];
    for (code, text, refused) in cases {
        let (mut world, watch, mut line) = World::watching(of("k"), 10);
        let others = [world.watch(of("l")), world.watch(of("m").max_buffer(1))];
        line.confirm(&mut world, 10);
        line.tell(&mut world, &events(1, [11]));
        line.tell(&mut world, &events(3, [11, 12]));
        let queued = world.watch(of("n"));
        world.end(line.call, code, text);
        let reason = text.to_owned();
        let kind = match refused {
            Some(code) => WatchErrorKind::Refused { code, reason },
            None => WatchErrorKind::Unauthorized { reason },
        };
        for has_item in [watch, others[1]] {
            assert!(matches!(world.watch_next(has_item), Some(WatchNext::Item(_))), "{text}");
        }
        for watch in [watch, others[0], others[1], queued] {
            assert_eq!(world.end_of_watch(watch), Some(kind.clone()), "{text}");
        }
        world.assert_no_watch();
        world.advance(s(60));
        assert_eq!(world.opened.len(), 1);
    }
}

#[test]
fn a_response_above_the_limit_ends_the_watches_of_its_stream() {
    let mut world = World::connected_with(Config::new(addresses(1)).max_response_size(100));
    let watch = world.watch(of("k"));
    let mut line = Line::accept(&mut world);
    line.confirm_one(&mut world, 10);
    line.tell(&mut world, &events(1, 11..50));
    assert!(world.reset.contains(&line.call));
    let end = world.end_of_watch(watch);
    assert!(
        matches!(end, Some(WatchErrorKind::Refused { code: GrpcCode::ResourceExhausted, .. })),
        "{end:?}"
    );
    world.assert_no_watch();
}

#[test]
fn an_event_that_was_said_not_to_come_ends_its_watch() {
    let (mut world, watch, mut line) = World::watching(of("k"), 10);
    world.watch(of("l"));
    line.confirm(&mut world, 10);
    line.tell(&mut world, &events(1, [15]));
    line.tell(&mut world, &response(1, 30));
    line.tell(&mut world, &events(1, [20]));
    assert_eq!(line.cancels(&world), [1]);
    assert!(matches!(world.watch_next(watch), Some(WatchNext::Item(_))));
    assert_eq!(world.end_of_watch(watch), Some(WatchErrorKind::Inconsistent { revision: rev(20) }));
    assert!(world.reset.is_empty());
}
