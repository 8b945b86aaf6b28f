//! What the client needs of an async runtime: a place to run, a timer, connections.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io;
use std::time::Instant;

use etcdium_core::{Cause, CauseKind, Target};
use futures_io::{AsyncRead, AsyncWrite};

use crate::clock;

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An async runtime, as a value: what an adapter implements and [`Client::builder`](crate::Client::builder) takes.
///
/// Everything is called from the client's own task, save [`spawn`](Self::spawn) and [`now`](Self::now).
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Runs the client's task until it ends, which it does when the client is closed. Called once per client. If the
    /// runtime ends first it has to drop the task: that closes the client.
    ///
    /// Within tokio the task has to be wrapped in `tokio::task::unconstrained`, as etcdium-tokio does: hyper's channels
    /// take part in tokio's cooperative scheduling, whose budget would cut a large turn of the client short and let the
    /// rest wait for the next answer. Fairness needs no budget here: the task yields by itself.
    ///
    /// # Errors
    /// [`SpawnError`] when the task cannot run here.
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError>;

    /// A timer that completes when std's clock shows `at`, or at once if that is past.
    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>>;

    /// Opens a connection. TCP connections send without delay (`TCP_NODELAY`): the client writes whole batches.
    ///
    /// The attempt ends when the future is dropped. The client limits its time.
    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>>;

    /// The time. It goes on while the machine is suspended, where the system tells (Linux): leases run out meanwhile.
    /// Overridden by runtimes that simulate it, together with [`to_std`](Self::to_std).
    fn now(&self) -> Instant {
        clock::now()
    }

    /// What std's clock, and that of [`timer`](Self::timer), shows at the time `at` by [`now`](Self::now), if the machine is
    /// not suspended until then. A runtime that simulates time has one clock: it gives `at`.
    fn to_std(&self, at: Instant) -> Instant {
        clock::to_std(at)
    }

    /// Whether the client's task shall let other tasks go first when one of them has started a call, so that several
    /// calls leave in one write. Worth its cost where a woken task runs at once on the same worker, as on tokio's
    /// multi-threaded runtime. Default: no.
    fn yields_to_callers(&self) -> bool {
        false
    }
}

/// A timer that can be set again.
pub trait Timer: Future<Output = ()> + Send {
    /// Makes it complete at `at` instead, whether it has completed or not. It need not wake its task for this.
    fn reset(self: Pin<&mut Self>, at: Instant);
}

/// A byte stream: a connection to a server.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Io for T {}

/// Why a connection could not be opened.
#[derive(Debug)]
pub enum ConnectError {
    /// The host name could not be resolved.
    Resolve(io::Error),
    /// The connection could not be opened.
    Open(io::Error),
}

impl ConnectError {
    /// What it means to the core.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Resolve(error) => Cause::new(CauseKind::Resolve, error.to_string()),
            Self::Open(error) => Cause::connect(error),
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Open(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "the host name cannot be resolved: {error}"),
            Self::Open(error) => write!(f, "the connection cannot be opened: {error}"),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        let (Self::Resolve(error) | Self::Open(error)) = self;
        Some(error)
    }
}

/// Why a runtime cannot run the client's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError {
    reason: &'static str,
}

impl SpawnError {
    /// An error with its reason, such as "called outside of a tokio runtime".
    pub const fn new(reason: &'static str) -> Self {
        Self { reason }
    }

    /// What is wrong.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl core::error::Error for SpawnError {}
