//! Which watches want a key (mvcc/watcher_group.go).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::span::{End, Span};
use super::watcher::WatcherKey;

/// Watches by key and by range. Equal ranges are looked at once, ranges that start above the key not at all.
#[derive(Debug, Default)]
pub(super) struct Group {
    keys: BTreeMap<Bytes, BTreeSet<WatcherKey>>,
    ranges: BTreeMap<Bytes, BTreeMap<End, BTreeSet<WatcherKey>>>,
}

impl Group {
    pub(super) fn add(&mut self, watcher: WatcherKey, span: &Span) {
        let watchers = match span.end {
            End::Single => self.keys.entry(span.start.clone()).or_default(),
            _ => self.ranges.entry(span.start.clone()).or_default().entry(span.end.clone()).or_default(),
        };
        watchers.insert(watcher);
    }

    /// Removes a watch if it is here.
    pub(super) fn remove(&mut self, watcher: WatcherKey, span: &Span) {
        if span.end == End::Single {
            if let Some(watchers) = self.keys.get_mut(&span.start) {
                watchers.remove(&watcher);
                if watchers.is_empty() {
                    self.keys.remove(&span.start);
                }
            }
        } else if let Some(ends) = self.ranges.get_mut(&span.start) {
            if let Some(watchers) = ends.get_mut(&span.end) {
                watchers.remove(&watcher);
                if watchers.is_empty() {
                    ends.remove(&span.end);
                }
            }
            if ends.is_empty() {
                self.ranges.remove(&span.start);
            }
        }
    }

    /// Shows every watch that wants `key`, each once.
    pub(super) fn wanting(&self, key: &[u8], mut visit: impl FnMut(WatcherKey)) {
        self.keys.get(key).into_iter().flatten().copied().for_each(&mut visit);
        for ends in self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))) {
            for (_, watchers) in ends.1.iter().filter(|(end, _)| end.is_after(key)) {
                watchers.iter().copied().for_each(&mut visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_and_ranges_and_forgets_them() {
        let spans = [("a", ""), ("a", "c"), ("a", "\0"), ("b", ""), ("b", "c"), ("b", "bb"), ("", "\0")];
        let span = |(key, end): (&'static str, &'static str)| {
            Span::from_request(key.into(), end.into()).expect("not empty")
        };
        let mut group = Group::default();
        for (number, forms) in (0..).zip(spans) {
            group.add(WatcherKey(number), &span(forms));
        }
        let wanting = |group: &Group, key: &str| {
            let mut found = Vec::new();
            group.wanting(key.as_bytes(), |watcher| found.push(watcher.0));
            found.sort_unstable();
            found
        };
        let table: [(&str, &[u64]); 6] = [
            ("a", &[0, 1, 2, 6]),
            ("b", &[1, 2, 3, 4, 5, 6]),
            ("bb", &[1, 2, 4, 6]),
            ("c", &[2, 6]),
            ("A", &[6]),
            ("ab", &[1, 2, 6]),
        ];
        for (key, expected) in table {
            assert_eq!(wanting(&group, key), expected, "{key}");
        }
        for (number, forms) in (0..).zip(spans) {
            group.remove(WatcherKey(number), &span(forms));
            group.remove(WatcherKey(number), &span(forms));
            assert!(!wanting(&group, "b").contains(&number));
        }
        assert!(group.keys.is_empty() && group.ranges.is_empty());
    }
}
