//! What the driver is to do next, and which calls it has not been told of: those were not sent, and need not be.

use std::collections::{BTreeSet, VecDeque};

use crate::transmit::Open;
use crate::{CallKey, Transmit};

/// The queue of things to do.
#[derive(Debug, Default)]
pub(super) struct Transmits {
    queue: VecDeque<Transmit>,
    /// How many of them open a call.
    opens: usize,
}

impl Transmits {
    pub(super) fn push_back(&mut self, transmit: Transmit) {
        self.opens += usize::from(matches!(transmit, Transmit::Open(_)));
        self.queue.push_back(transmit);
    }

    pub(super) fn pop_front(&mut self) -> Option<Transmit> {
        let transmit = self.queue.pop_front();
        self.opens -= usize::from(matches!(transmit, Some(Transmit::Open(_))));
        transmit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes one call back that has only been opened, if the driver has not been told of it.
    pub(super) fn take_back(&mut self, call: CallKey) -> bool {
        if self.opens == 0 {
            return false;
        }
        let opens = |transmit: &Transmit| matches!(transmit, Transmit::Open(open) if open.call == call);
        // Deadlines come in much the same order as calls are opened: this one is among the first.
        let place = self.queue.iter().position(opens);
        place.is_some_and(|place| {
            self.opens -= 1;
            self.queue.remove(place).is_some()
        })
    }

    /// Takes the calls back that `which` says it of and the driver has not been told of, with all that follows on them.
    pub(super) fn take_back_all(&mut self, which: impl Fn(&Open) -> bool) -> BTreeSet<CallKey> {
        let mut unsent = BTreeSet::new();
        if self.opens == 0 {
            return unsent;
        }
        self.queue.retain(|transmit| match transmit {
            Transmit::Open(open) if which(open) => {
                unsent.insert(open.call);
                false
            }
            Transmit::Reset(call) | Transmit::Finish(call) | Transmit::Send { call, .. } => {
                !unsent.contains(call)
            }
            _ => true,
        });
        self.opens -= unsent.len();
        unsent
    }
}

impl Extend<Transmit> for Transmits {
    fn extend<T: IntoIterator<Item = Transmit>>(&mut self, transmits: T) {
        transmits.into_iter().for_each(|transmit| self.push_back(transmit));
    }
}
