//! What watches tell beside events.

use etcdium_core::WatchItem;

use crate::check::{Check, Fact, View};

/// What was not asked for is not told: the confirmation, which is the first item and comes once; progress; trouble with the
/// connection, of which `Disconnected` comes first and alternates with `Resumed`.
#[derive(Debug, Default)]
pub(in crate::check) struct Notices {
    watches: Vec<Told>,
}

#[derive(Debug, Default)]
struct Told {
    items: u64,
    cut: bool,
}

impl Check for Notices {
    fn name(&self) -> &'static str {
        "a watch tells what it was asked to"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::WatchStarted(_) => self.watches.push(Told::default()),
            Fact::WatchItem(index, item) => {
                let (record, told) = (&view.watches[*index], &mut self.watches[*index]);
                let how = &record.plan.how;
                let good = match item {
                    WatchItem::Created { .. } => how.created && told.items == 0,
                    WatchItem::Progress { .. } => how.progress_notify || record.asks > 0,
                    WatchItem::Disconnected { .. } => how.notices && !std::mem::replace(&mut told.cut, true),
                    WatchItem::Resumed { .. } => how.notices && std::mem::replace(&mut told.cut, false),
                    _ => told.items > 0 || !how.created,
                };
                told.items += 1;
                if !good {
                    return Err(format!("{:?} of step {}: {item:?}", record.key, record.id));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
