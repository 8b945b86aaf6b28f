//! Slots with keys that are never reused: a slot is, its serial number is not.

/// What a [`Slab`] needs of its keys.
pub(crate) trait Key: Copy + Eq {
    fn make(serial: u64, slot: u32) -> Self;
    fn slot(self) -> usize;
}

/// Values addressed by key. Iteration is in slot order, which depends on inputs alone.
#[derive(Debug)]
pub(crate) struct Slab<K, T> {
    slots: Vec<Option<(K, T)>>,
    free: Vec<u32>,
    made: u64,
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), made: 0 }
    }
}

impl<K: Key, T> Slab<K, T> {
    pub(crate) fn insert(&mut self, value: T) -> K {
        let serial = self.made;
        self.made += 1;
        match self.free.pop() {
            Some(slot) => {
                let key = K::make(serial, slot);
                self.slots[slot as usize] = Some((key, value));
                key
            }
            None => {
                let key = K::make(serial, self.slots.len() as u32);
                self.slots.push(Some((key, value)));
                key
            }
        }
    }

    /// The key of the value that is inserted next.
    pub(crate) fn next_key(&self) -> K {
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        K::make(self.made, slot)
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        match self.slots.get(key.slot()) {
            Some(Some((k, value))) if *k == key => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        match self.slots.get_mut(key.slot()) {
            Some(Some((k, value))) if *k == key => Some(value),
            _ => None,
        }
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let slot = self.slots.get_mut(key.slot())?;
        if !matches!(slot, Some((k, _)) if *k == key) {
            return None;
        }
        self.free.push(key.slot() as u32);
        slot.take().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many keys were ever made.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().flatten().map(|(k, v)| (*k, v))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.slots.iter_mut().flatten().map(|(k, v)| (*k, v))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.slots.iter().flatten().map(|(k, _)| *k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpKey;

    #[test]
    fn a_reused_slot_has_a_new_key() {
        let mut slab: Slab<OpKey, &str> = Slab::default();
        let a = slab.insert("a");
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let b = slab.insert("b");
        assert_eq!(b.slot(), a.slot());
        assert_ne!(a, b);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get_mut(b), Some(&mut "b"));
        assert_eq!((slab.len(), slab.made()), (1, 2));
    }

    #[test]
    fn iteration_is_in_slot_order() {
        let mut slab: Slab<OpKey, u8> = Slab::default();
        let keys: Vec<_> = (0..4).map(|n| slab.insert(n)).collect();
        slab.remove(keys[1]);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [keys[0], keys[2], keys[3]]);
        assert_eq!(slab.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [0, 2, 3]);
        assert!(slab.contains(keys[2]) && !slab.contains(keys[1]));
    }
}
