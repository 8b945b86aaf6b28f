//! Slow readers are warned of, with the feature `tracing`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use super::*;

/// Counts warnings that a reader is slow.
struct Counter(Arc<AtomicUsize>);

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target() == "etcdium"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Slow(bool);
        impl Visit for Slow {
            fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
                self.0 |= field.name() == "message" && format!("{value:?}").contains("its reader is slow");
            }
        }
        let mut slow = Slow(false);
        event.record(&mut slow);
        self.0.fetch_add(usize::from(slow.0), Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// WATCH-066 and -067 warn of an event that waits for longer than a threshold; ours is the byte cap: a watch that is parked
/// is warned of, at most every 30 s. Nothing is lost by that.
#[test]
fn watch_066_067_a_slow_reader_is_warned_of_once_per_interval() {
    let count = Arc::new(AtomicUsize::new(0));
    let warnings = || count.load(Ordering::Relaxed);
    tracing::subscriber::with_default(Counter(count.clone()), || {
        let (mut world, watch, mut line) = World::watching(of("k").max_buffer(1_000), 10);
        let mut next = 12;
        let mut park = |world: &mut World, line: &mut Line, id: i64| {
            line.tell(world, &events(id, next..next + 50));
            assert_eq!(line.cancels(world), [id]);
            let read = world.revisions(watch);
            assert_eq!(read.first(), Some(&next), "nothing is lost");
            next += read.len() as i64;
            let creation = line.creation(world);
            assert_eq!(creation.start_revision, next);
            line.tell(world, &created(creation.watch_id, 500));
        };
        line.tell(&mut world, &events(1, [11]));
        assert_eq!((world.revisions(watch), warnings()), (vec![11], 0), "a reader in time");
        park(&mut world, &mut line, 1);
        assert_eq!(warnings(), 1);
        park(&mut world, &mut line, 2);
        world.idle(s(29));
        park(&mut world, &mut line, 3);
        assert_eq!(warnings(), 1, "not more often than every 30 s");
        world.idle(s(1));
        park(&mut world, &mut line, 4);
        assert_eq!(warnings(), 2);
        world.cancel_watch(watch);
        line.tell(&mut world, &canceled(5));
        assert_eq!(world.end_of_watch(watch), None);
        world.assert_no_watch();
    });
}
