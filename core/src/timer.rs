//! A queue of deadlines for timers that mostly never fire.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Stale entries tolerated on top of one per live timer, so that a small queue is never rebuilt.
const SLACK: usize = 64;

/// Deadlines with keys, earliest first.
///
/// An entry is never removed one by one: whoever armed it knows whether it still stands. A call that ends before its deadline
/// leaves a stale entry behind, which [`sweep`](Self::sweep) removes with the others, so that memory stays proportional to
/// the number of live timers.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    /// The sequence number keeps equal deadlines in insertion order, whatever their keys.
    heap: BinaryHeap<Reverse<(Instant, u64, K)>>,
    armed: u64,
    /// Up to this length no rebuild is tried: set when the last one removed too little to be worth its cost, and lowered by
    /// every sweep since, so that a queue that was rightly large once does not stay so.
    rebuild_from: usize,
}

impl<K: Copy + Ord> TimerQueue<K> {
    /// An empty queue.
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), armed: 0, rebuild_from: 0 }
    }

    /// Adds a deadline. O(1) when it is the latest so far, else O(log n).
    pub(crate) fn arm(&mut self, at: Instant, key: K) {
        self.heap.push(Reverse((at, self.armed, key)));
        self.armed += 1;
    }

    /// Removes the earliest entry if its deadline is `now` or earlier; equal deadlines come in the order they were armed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()?.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, key))| (at, key))
    }

    /// The earliest entry, stale or not.
    pub(crate) fn next(&self) -> Option<(Instant, K)> {
        self.heap.peek().map(|&Reverse((at, _, key))| (at, key))
    }

    /// Removes stale entries: those at the front at once, the others when they may be the majority.
    ///
    /// `live_hint` is the number of live timers, `is_live` says whether an entry still stands. Meant to be called after every
    /// call that ends: usually it asks `is_live` once. Each entry is removed once, so the cost is O(log n) per armed entry,
    /// amortised; a hint that is too low costs no more than that either.
    pub(crate) fn sweep(&mut self, live_hint: usize, mut is_live: impl FnMut(Instant, K) -> bool) {
        while let Some((at, key)) = self.next() {
            if is_live(at, key) {
                break;
            }
            self.heap.pop();
        }
        self.rebuild_from = self.rebuild_from.saturating_sub(1);
        let bound = live_hint.saturating_mul(2).saturating_add(SLACK).max(self.rebuild_from);
        if self.heap.len() > bound {
            self.heap.retain(|&Reverse((at, _, key))| is_live(at, key));
            // With a true hint the rebuild has halved the queue at least. After one that was too low, the next waits for about
            // as many calls as entries were kept.
            self.rebuild_from = if self.heap.len() > live_hint { self.heap.len() * 2 } else { 0 };
        }
        if self.heap.capacity() > 16 * (self.heap.len() + SLACK) {
            self.heap.shrink_to(4 * (self.heap.len() + SLACK));
        }
    }

    /// The number of entries, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use std::time::Duration;

    /// A moment that every test shares; the queue only compares.
    #[expect(clippy::disallowed_methods, reason = "an Instant can only be made by reading a clock")]
    fn at(millis: u64) -> Instant {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        *ORIGIN.get_or_init(Instant::now) + Duration::from_millis(millis)
    }

    #[test]
    fn earliest_first_and_ties_in_insertion_order() {
        let mut queue = TimerQueue::new();
        for (millis, key) in [(5, 'c'), (3, 'z'), (5, 'a'), (3, 'b'), (4, 'm')] {
            queue.arm(at(millis), key);
        }
        assert_eq!(queue.next(), Some((at(3), 'z')));
        assert_eq!(queue.pop_due(at(2)), None);
        let due: Vec<char> = std::iter::from_fn(|| queue.pop_due(at(5))).map(|(_, key)| key).collect();
        assert_eq!(due, ['z', 'b', 'm', 'c', 'a']);
        assert_eq!((queue.len(), queue.next()), (0, None));
    }

    #[test]
    fn sweep_uncovers_the_first_live_entry() {
        let mut queue = TimerQueue::new();
        for key in 0..10 {
            queue.arm(at(key), key);
        }
        queue.sweep(1, |_, key| key == 4);
        assert_eq!(queue.next(), Some((at(4), 4)));
        queue.sweep(0, |_, _| false);
        assert_eq!(queue.len(), 0);
    }

    /// One live timer at the front holds back stale ones behind it: the case that needs rebuilds.
    #[test]
    fn a_long_run_of_short_calls_stays_small() {
        let mut queue = TimerQueue::new();
        queue.arm(at(0), 0_u64);
        let mut asked = 0_u64;
        let mut longest = 0;
        let calls = 100_000;
        for key in 1..=calls {
            queue.arm(at(10_000 + key), key);
            queue.sweep(1, |_, key| {
                asked += 1;
                key == 0
            });
            longest = longest.max(queue.len());
        }
        assert!(longest <= 2 + SLACK, "{longest} entries for one live timer");
        assert!(queue.heap.capacity() <= 4 * SLACK, "capacity {}", queue.heap.capacity());
        assert!(asked <= 3 * calls, "{asked} questions for {calls} calls");
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut queue = TimerQueue::new();
        queue.arm(at(0), 0_u64);
        for key in 1..=50_000 {
            queue.arm(at(key), key);
        }
        queue.sweep(1, |_, key| key == 0);
        assert_eq!(queue.len(), 1);
        assert!(queue.heap.capacity() <= 16 * (1 + SLACK), "capacity {}", queue.heap.capacity());
    }

    #[test]
    fn a_false_hint_does_not_rebuild_every_time() {
        let mut queue = TimerQueue::new();
        let mut asked = 0_u64;
        let calls = 20_000;
        for key in 0..calls {
            queue.arm(at(key), key);
            queue.sweep(0, |_, _| {
                asked += 1;
                true
            });
        }
        assert_eq!(queue.len() as u64, calls);
        assert!(asked <= 4 * calls, "{asked} questions for {calls} calls");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u64, u8),
        Disarm(u8),
        Sweep,
        Pop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..500_u64, any::<u8>()).prop_map(|(millis, key)| Step::Arm(millis, key)),
            2 => any::<u8>().prop_map(Step::Disarm),
            2 => Just(Step::Sweep),
            1 => (0..600_u64).prop_map(Step::Pop),
        ]
    }

    proptest! {
        /// Against a plain list of live timers: whatever is armed, re-armed and disarmed, exactly the live entries fire, in order.
        #[test]
        fn behaves_like_a_sorted_list(steps in proptest::collection::vec(step(), 0..600)) {
            let mut queue = TimerQueue::new();
            // Key -> (deadline, sequence number); one deadline per key, the last one armed.
            let mut live: BTreeMap<u8, (Instant, usize)> = BTreeMap::new();
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Arm(millis, key) => {
                        // As an owner does: an unchanged deadline is not armed again.
                        if live.get(&key).map(|entry| entry.0) != Some(at(millis)) {
                            queue.arm(at(millis), (key, n));
                            live.insert(key, (at(millis), n));
                        }
                    }
                    Step::Disarm(key) => {
                        live.remove(&key);
                    }
                    Step::Sweep => {
                        queue.sweep(live.len(), |at, (key, n)| live.get(&key) == Some(&(at, n)));
                        let first = live.iter().map(|(&key, &(at, n))| (at, n, key)).min();
                        prop_assert_eq!(queue.next(), first.map(|(at, n, key)| (at, (key, n))));
                        prop_assert!(queue.len() <= 2 * live.len() + SLACK);
                    }
                    Step::Pop(millis) => {
                        let now = at(millis);
                        while let Some((at, (key, n))) = queue.pop_due(now) {
                            prop_assert!(at <= now);
                            if live.get(&key) == Some(&(at, n)) {
                                let first = live.iter().map(|(&key, &(at, n))| (at, n, key)).min();
                                prop_assert_eq!(first, Some((at, n, key)));
                                live.remove(&key);
                            }
                        }
                        prop_assert!(live.values().all(|&(at, _)| at > now));
                    }
                }
            }
        }
    }
}
