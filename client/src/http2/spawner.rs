//! hyper's executor hook: what hyper spawns runs inside the connection, not as tasks of the runtime.

use core::future::Future;
use std::sync::{Arc, Mutex};

use hyper::rt::Executor;

use super::cell::{Cell, Spares};
use crate::shared::lock;

/// Collects the futures hyper hands over, for the connection to take and poll. They own clones of it: it must not keep
/// them for longer than a round.
#[derive(Clone, Default)]
pub(crate) struct Spawner(Arc<Mutex<Inbox>>);

#[derive(Default)]
struct Inbox {
    new: Vec<Box<dyn Cell<()>>>,
    spares: Spares<()>,
}

impl Spawner {
    /// Moves the new futures to `into`.
    pub(crate) fn take(&self, into: &mut Vec<Box<dyn Cell<()>>>) {
        into.append(&mut lock(&self.0).new);
    }

    /// Takes an empty cell back.
    pub(crate) fn put(&self, cell: Box<dyn Cell<()>>) {
        lock(&self.0).spares.put(cell);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let mut inbox = lock(&self.0);
        let cell = inbox.spares.fill(future);
        inbox.new.push(cell);
    }
}
