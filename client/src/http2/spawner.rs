//! hyper's executor hook: what hyper spawns runs inside the connection, not as tasks of the runtime.

use core::future::Future;
use std::sync::{Arc, Mutex};

use hyper::rt::Executor;

use super::cell::{Cell, Spares};
use super::ready::Flag;
use crate::shared::lock;

/// Collects the futures hyper hands over, for the connection to take and poll. They own clones of it: it must not keep
/// them for longer than a round.
#[derive(Clone, Default)]
pub(crate) struct Spawner(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Whether there is a new future.
    any: Flag,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    new: Vec<Box<dyn Cell<()>>>,
    spares: Spares<()>,
}

impl Spawner {
    /// Whether there are new futures.
    pub(crate) fn any(&self) -> bool {
        self.0.any.is_set()
    }

    /// Moves the new futures to `into`.
    pub(crate) fn take(&self, into: &mut Vec<Box<dyn Cell<()>>>) {
        if self.0.any.take() {
            into.append(&mut lock(&self.0.inbox).new);
        }
    }

    /// Takes empty cells back.
    pub(crate) fn put(&self, cells: &mut Vec<Box<dyn Cell<()>>>) {
        if !cells.is_empty() {
            let mut inbox = lock(&self.0.inbox);
            cells.drain(..).for_each(|cell| inbox.spares.put(cell));
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let mut inbox = lock(&self.0.inbox);
        let cell = inbox.spares.fill(future);
        inbox.new.push(cell);
        self.0.any.set();
    }
}
