//! A runtime as the tasks of a soak use it: tasks, pauses, deadlines; and signals that reach every task at once.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use etcdium_client::{Client, Endpoints, Error, Runtime as ClientRuntime, SpawnError};
use smol::channel::{Receiver, Sender, bounded};

use crate::scenario::Runtime;

/// Where tasks run. Clones are the same.
#[derive(Clone)]
pub(super) struct Place {
    name: Runtime,
    runtime: Arc<dyn ClientRuntime>,
}

impl Place {
    /// The runtimes that have clients of their own in a soak.
    pub(super) const ALL: [Runtime; 4] =
        [Runtime::Tokio, Runtime::TokioMulti, Runtime::Smol, Runtime::AsyncStd];

    /// The runtime, which has to be the one that runs.
    pub(super) fn on(name: Runtime) -> Self {
        let runtime: Arc<dyn ClientRuntime> = match name {
            Runtime::Tokio | Runtime::TokioMulti => Arc::new(etcdium_tokio::Tokio::new()),
            Runtime::AsyncStd => Arc::new(etcdium_async_std::AsyncStd::new()),
            Runtime::Smol | Runtime::Loop | Runtime::Sim => Arc::new(etcdium_smol::Smol::new()),
        };
        Self { name, runtime }
    }

    /// A client on it.
    pub(super) fn client(&self, endpoints: impl Endpoints, seed: u64) -> Result<Client, Error> {
        let builder = match self.name {
            Runtime::Tokio | Runtime::TokioMulti => etcdium_tokio::builder(),
            Runtime::AsyncStd => etcdium_async_std::builder(),
            Runtime::Smol | Runtime::Loop | Runtime::Sim => etcdium_smol::builder(),
        };
        builder.endpoints(endpoints).seed(seed).build()
    }

    /// Starts a task.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<Task<T>, SpawnError> {
        let (sender, receiver) = bounded(1);
        self.runtime.spawn(Box::pin(async move {
            // Nobody may wait for it any more.
            let _ = sender.try_send(task.await);
        }))?;
        Ok(Task { receiver })
    }

    /// Lets time pass.
    pub(super) async fn pause(&self, time: Duration) {
        self.until(Instant::now() + time).await;
    }

    /// Waits for a time.
    pub(super) async fn until(&self, at: Instant) {
        self.runtime.timer(at).await;
    }

    /// What `future` gives, or nothing if it takes longer.
    pub(super) async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.pause(time).await;
            None
        };
        futures_lite::future::or(async { Some(future.await) }, late).await
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// A task that was started. It goes on when this is dropped.
pub(super) struct Task<T> {
    receiver: Receiver<T>,
}

impl<T> Task<T> {
    /// What it gives; nothing if it panicked.
    pub(super) async fn join(self) -> Option<T> {
        self.receiver.recv().await.ok()
    }
}

/// Gives a [`Signal`] once. Dropped before, it is given without a value.
pub(super) struct Trigger<T> {
    value: Arc<OnceLock<T>>,
    _open: Sender<Infallible>,
}

/// Something that happens once, for all who wait for it. Clones are the same.
#[derive(Clone)]
pub(super) struct Signal<T> {
    value: Arc<OnceLock<T>>,
    closed: Receiver<Infallible>,
}

/// A signal, and what gives it.
pub(super) fn signal<T>() -> (Trigger<T>, Signal<T>) {
    let value = Arc::new(OnceLock::new());
    let (sender, closed) = bounded(1);
    (Trigger { value: Arc::clone(&value), _open: sender }, Signal { value, closed })
}

impl<T> Trigger<T> {
    /// Gives the signal.
    pub(super) fn fire(self, value: T) {
        // The first and only value.
        let _ = self.value.set(value);
    }
}

impl<T: Copy> Signal<T> {
    /// Waits for it.
    pub(super) async fn given(&self) -> Option<T> {
        // Nothing is ever sent.
        let _ = self.closed.recv().await;
        self.value.get().copied()
    }

    /// Whether it was given.
    pub(super) fn is_given(&self) -> bool {
        self.closed.is_closed()
    }
}
