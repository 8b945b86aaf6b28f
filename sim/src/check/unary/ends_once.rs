//! Operations end once.

use std::collections::BTreeMap;

use etcdium_core::Event;

use crate::check::{Check, Fact, View};

/// Every operation is told as done at most once, and never after it was cancelled; save that an end which the driver
/// had not fetched when it cancelled may still come.
#[derive(Debug, Default)]
pub(in crate::check) struct EndsOnce {
    /// How often each operation was told, or may still be.
    told: BTreeMap<u64, Told>,
    /// Cancelled since the last drain.
    undrained: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Once,
    Cancelled,
    CancelledUndrained,
}

impl Check for EndsOnce {
    fn name(&self) -> &'static str {
        "every operation ends once, never after it was cancelled"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Cancelled { op, undrained } => {
                let key = view.ops[*op].key.serial();
                let told = if *undrained { Told::CancelledUndrained } else { Told::Cancelled };
                self.told.insert(key, told);
                if *undrained {
                    self.undrained.push(key);
                }
            }
            Fact::Told(Event::OpDone(key)) => match self.told.insert(key.serial(), Told::Once) {
                None | Some(Told::CancelledUndrained) => {}
                Some(Told::Once) => return Err(format!("{key:?} is told as done twice")),
                Some(Told::Cancelled) => {
                    return Err(format!("{key:?} is told as done after it was cancelled"));
                }
            },
            Fact::Drained => {
                for key in self.undrained.drain(..) {
                    if self.told.get(&key) == Some(&Told::CancelledUndrained) {
                        self.told.insert(key, Told::Cancelled);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
