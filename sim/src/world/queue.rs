//! What happens next: a queue in order of time, and of insertion where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Entries in order of time; equal times in order of insertion.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    inserted: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    number: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), inserted: 0 }
    }

    pub(crate) fn push(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse(Entry { at, number: self.inserted, what }));
        self.inserted += 1;
    }

    /// When the next entry is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next entry is held up until `at`, without losing its place among those that are due then too.
    pub(crate) fn hold(&mut self, at: Instant, number: u64, what: T) {
        self.heap.push(Reverse(Entry { at, number, what }));
    }

    /// The next entry and its number.
    pub(crate) fn pop_numbered(&mut self) -> Option<(u64, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.number, entry.what))
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn equal_times_keep_their_order() {
        let start = Instant::now();
        let later = start + Duration::from_millis(1);
        let mut queue = Queue::new();
        for (at, what) in [(later, 1), (start, 2), (later, 3), (start, 4)] {
            queue.push(at, what);
        }
        assert_eq!(queue.next_at(), Some(start));
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }
}
