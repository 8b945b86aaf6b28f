//! What a server's connections run on.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use hyper::rt::Executor;

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A place to run futures, and a clock: real or virtual.
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Runs a future to its end.
    fn spawn(&self, task: BoxFuture<()>);

    /// The time.
    fn now(&self) -> Instant;

    /// Completes when it is `at`.
    fn sleep_until(self: Arc<Self>, at: Instant) -> BoxFuture<()>;
}

/// A runner as hyper wants it.
#[derive(Clone)]
pub(super) struct Spawner(pub(super) Arc<dyn Runner>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn(Box::pin(future));
    }
}
