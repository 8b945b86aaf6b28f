//! Who of a connection's futures wants to be polled: a flag for each of the two that always live, a bit for each of the
//! rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;

/// Places of futures that want to be polled, in the order of their numbers. To wake one is one atomic step: several
/// come with every call.
#[derive(Debug, Default)]
pub(crate) struct ReadySet {
    /// Whether any bit may be set.
    any: Arc<Flag>,
    /// A bit for each place.
    words: Vec<Arc<AtomicU64>>,
}

impl ReadySet {
    /// The waker of a place.
    pub(crate) fn token(&mut self, place: usize) -> Token {
        let word = place / 64;
        if self.words.len() <= word {
            self.words.resize_with(word + 1, Arc::default);
        }
        Token {
            any: self.any.clone(),
            word: self.words[word].clone(),
            bit: 1 << (place % 64),
            handed_over: AtomicU64::new(0),
        }
    }

    /// Shows whether the set or a token of it lives.
    #[cfg(test)]
    pub(crate) fn watch(&self) -> std::sync::Weak<Flag> {
        Arc::downgrade(&self.any)
    }

    /// Whether somebody may have been woken since the last time.
    pub(crate) fn any(&self) -> bool {
        self.any.is_set()
    }

    /// How many words of places there are to [`take`](Self::take); none while nobody was woken since the last time.
    pub(crate) fn words(&self) -> usize {
        if self.any.take() { self.words.len() } else { 0 }
    }

    /// Takes out the places of one word that want to be polled. A wake from then on puts a place in again.
    pub(crate) fn take(&self, word: usize) -> Places {
        let bits = match &*self.words[word] {
            // Mostly empty, and a plain read is cheaper than a swap.
            none if none.load(Ordering::Acquire) == 0 => 0,
            some => some.swap(0, Ordering::AcqRel),
        };
        Places { first: word * 64, bits }
    }
}

/// Places taken out of a [`ReadySet`].
pub(crate) struct Places {
    first: usize,
    bits: u64,
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            return None;
        }
        let place = self.first + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(place)
    }
}

/// The waker of one place for futures: used by one after the other. A wake that comes late wakes the next for nothing.
#[derive(Debug)]
pub(crate) struct Token {
    any: Arc<Flag>,
    word: Arc<AtomicU64>,
    bit: u64,
    /// The serial number of the latest call here whose message was handed to HTTP/2, plus one.
    handed_over: AtomicU64,
}

impl Token {
    /// Notes that the message of a call was handed over.
    pub(crate) fn hand_over(&self, serial: u64) {
        self.handed_over.store(serial + 1, Ordering::Release);
    }

    /// Whether the message of a call was handed over.
    pub(crate) fn was_handed_over(&self, serial: u64) -> bool {
        self.handed_over.load(Ordering::Acquire) == serial + 1
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.word.fetch_or(self.bit, Ordering::AcqRel);
        // Afterwards: whoever takes the flag sees the bit.
        self.any.set();
    }
}

/// The waker of a future that has a place of its own in each round.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> bool {
        // Mostly unset, and a plain read is cheaper than a swap.
        self.is_set() && self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(set: &ReadySet) -> Vec<usize> {
        (0..set.words()).flat_map(|word| set.take(word)).collect()
    }

    #[test]
    fn who_was_woken_is_taken_once() {
        let mut set = ReadySet::default();
        let tokens: Vec<Arc<Token>> = (0..200).map(|place| Arc::new(set.token(place))).collect();
        assert_eq!(take(&set), []);
        for place in [199, 0, 64, 63, 64] {
            tokens[place].wake_by_ref();
        }
        assert_eq!(take(&set), [0, 63, 64, 199]);
        assert_eq!(take(&set), []);
        tokens[63].wake_by_ref();
        assert_eq!(take(&set), [63]);
    }
}
