//! How a load starts its tasks on the runtime of the client it measures.

use std::future::Future;
use std::time::Duration;

/// Starts tasks on a runtime.
pub(crate) trait Spawn: Clone + Send + Sync + 'static {
    /// Starts `future`; what comes back ends with its output.
    fn spawn<F>(&self, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static;

    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The tokio runtime that is current.
#[derive(Clone, Copy)]
pub(crate) struct Tokio;

impl Spawn for Tokio {
    fn spawn<F>(&self, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = tokio::spawn(future);
        async { task.await.expect("a task of the load panicked") }
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// A smol executor.
#[derive(Clone)]
pub(crate) struct Smol(pub(crate) std::sync::Arc<smol::Executor<'static>>);

impl Spawn for Smol {
    fn spawn<F>(&self, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(future)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        async move {
            smol::Timer::after(time).await;
        }
    }
}

/// async-std's executor.
#[derive(Clone, Copy)]
pub(crate) struct AsyncStd;

impl Spawn for AsyncStd {
    fn spawn<F>(&self, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        async_std::task::spawn(future)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        async_std::task::sleep(time)
    }
}
