//! Buffers of large messages, used again.
//!
//! A response of hundreds of kilobytes is joined in one buffer. To allocator and system such a buffer is a costly thing:
//! freed, it is often given back to the system at once, and every page of the next one is a fault. So a few are
//! remembered when they are handed out, and taken back once nobody else holds them.

use std::collections::VecDeque;

use bytes::Bytes;

/// Smaller messages are left to the allocator, which is good at them.
const SMALLEST: usize = 64 * 1024;

/// Bytes remembered in all.
const MOST: usize = 2 * 1024 * 1024;

/// Messages that were handed out and whose buffers may come back, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// With the capacity of each one's buffer.
    lent: VecDeque<(Bytes, usize)>,
    /// Those capacities in all.
    size: usize,
    /// Whether any was remembered since [`rest`](Self::rest) was last called.
    used: bool,
}

impl Spares {
    /// A buffer for a message of `len` bytes: one that came back, or a new one without room.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        if len < SMALLEST {
            return Vec::new();
        }
        let fits = |(message, capacity): &(Bytes, usize)| {
            (len..=len.saturating_mul(2)).contains(capacity) && message.is_unique()
        };
        let place = self.lent.iter().position(fits);
        let Some((message, capacity)) = place.and_then(|place| self.lent.remove(place)) else {
            return Vec::new();
        };
        self.size -= capacity;
        // Unique means nobody else has it, and nobody can get it from us.
        message.try_into_mut().map_or_else(
            |_| Vec::new(),
            |mut buffer| {
                buffer.clear();
                buffer.into()
            },
        )
    }

    /// Makes a message of a buffer, and remembers it; the oldest are forgotten for it.
    pub(crate) fn lend(&mut self, buffer: Vec<u8>) -> Bytes {
        let capacity = buffer.capacity();
        let message = Bytes::from(buffer);
        if (SMALLEST..=MOST / 2).contains(&capacity) {
            self.size += capacity;
            self.used = true;
            self.lent.push_back((message.clone(), capacity));
            while self.size > MOST {
                let Some((_, capacity)) = self.lent.pop_front() else { break };
                self.size -= capacity;
            }
        }
        message
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.lent.is_empty()
    }

    /// Capacities of the buffers remembered, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Forgets everything, unless some was remembered since the last time.
    pub(crate) fn rest(&mut self) {
        if !core::mem::take(&mut self.used) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_holds_the_message() {
        let mut spares = Spares::default();
        let message = spares.lend(vec![7; SMALLEST + 10]);
        let place = message.as_ptr();
        let part = message.slice(5..10);
        drop(message);
        assert_eq!(spares.take(SMALLEST).capacity(), 0, "a part of it is held");
        assert_eq!(&part[..], [7; 5]);
        drop(part);
        assert_eq!(spares.take(SMALLEST + 11).capacity(), 0, "too small");
        let buffer = spares.take(SMALLEST + 1);
        assert_eq!((buffer.as_ptr(), buffer.len(), buffer.capacity()), (place, 0, SMALLEST + 10));
        assert!(spares.is_empty() && spares.size == 0);
    }

    #[test]
    fn neither_small_nor_huge_ones_nor_many_are_remembered() {
        let mut spares = Spares::default();
        spares.lend(vec![0; SMALLEST - 1]);
        spares.lend(vec![0; MOST / 2 + 1]);
        assert!(spares.is_empty());
        for len in SMALLEST..SMALLEST + 100 {
            spares.lend(vec![0; len]);
        }
        assert!((MOST - 2 * SMALLEST..=MOST).contains(&spares.size), "{}", spares.size);
        assert_eq!(spares.size, spares.lent.iter().map(|(_, capacity)| capacity).sum::<usize>());
        spares.lend(vec![0; MOST / 2]);
        assert!(spares.size <= MOST);
        assert_eq!(spares.take(MOST / 4 - 1).capacity(), 0, "too large");
        assert_eq!(spares.take(MOST / 4).capacity(), MOST / 2);
    }

    #[test]
    fn what_rests_is_forgotten() {
        let mut spares = Spares::default();
        spares.lend(vec![0; SMALLEST]);
        spares.rest();
        assert!(!spares.is_empty());
        spares.rest();
        assert!(spares.is_empty() && spares.size == 0);
    }
}
