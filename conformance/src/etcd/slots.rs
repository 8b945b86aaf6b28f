//! How many clusters one process runs at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{LaunchError, shared};

/// Two three-member clusters are what two cores can carry without missing heartbeats.
const SLOTS: usize = 2;
/// Long enough for the slowest test that holds a slot; short enough to end a deadlock of a test with itself.
const PATIENCE: Duration = Duration::from_secs(600);

static IN_USE: Mutex<usize> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

/// The right to run one cluster, until dropped.
#[derive(Debug)]
pub(super) struct Slot(());

impl Slot {
    /// Waits for its turn. Shared clusters that nobody uses just now give way.
    pub(super) fn acquire() -> Result<Self, LaunchError> {
        let begin = Instant::now();
        loop {
            {
                let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
                if *in_use < SLOTS {
                    *in_use += 1;
                    return Ok(Self(()));
                }
            }
            if shared::evict_idle() {
                continue;
            }
            let waited = begin.elapsed();
            if waited > PATIENCE {
                let waiting_for = format!("one of the {SLOTS} clusters alive in this process to end");
                return Err(LaunchError::TimedOut { waiting_for, after: waited });
            }
            let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
            // A shared cluster that falls idle between the look above and this wait is found at the next round.
            drop(CHANGED.wait_timeout(in_use, Duration::from_millis(100)));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *IN_USE.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        CHANGED.notify_all();
    }
}
