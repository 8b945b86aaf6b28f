//! [`Tokio`]: the runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use etcdium_client::{BoxFuture, ConnectError, Io, Runtime, SpawnError, Target, Timer};
use pin_project::pin_project;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::io::Compat;

/// A tokio runtime as etcdium uses it: the one given, or the one in which a client is built.
#[derive(Clone, Debug, Default)]
pub struct Tokio {
    handle: Option<Handle>,
}

impl Tokio {
    /// The runtime in which a client is built.
    pub fn new() -> Self {
        Self::default()
    }

    /// This runtime, wherever a client is built. It needs its I/O and time drivers enabled.
    pub fn on(handle: Handle) -> Self {
        Self { handle: Some(handle) }
    }

    fn handle(&self) -> Option<Handle> {
        self.handle.clone().or_else(|| Handle::try_current().ok())
    }
}

impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        let handle = self.handle().ok_or(SpawnError::new("not called inside a tokio runtime"))?;
        // All calls of a client run inside this one task: tokio's budget per task would make the channels in hyper
        // pretend to be empty after 128 of them. The task bounds its own turns.
        drop(handle.spawn(tokio::task::unconstrained(task)));
        Ok(())
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Sleep { inner: tokio::time::sleep_until(at.into()) })
    }

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        let target = target.clone();
        Box::pin(async move {
            match &target {
                Target::Tcp { host, port } => tcp(host, *port).await,
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = tokio::net::UnixStream::connect(path).await?;
                    Ok(Box::new(Compat::new(stream)) as Box<dyn Io>)
                }
                other => {
                    let text = format!("cannot connect to {other:?}");
                    Err(io::Error::new(io::ErrorKind::Unsupported, text).into())
                }
            }
        })
    }

    fn yields_to_callers(&self) -> bool {
        // A task woken by a worker runs right after the waker on the same worker: one call would leave at a time.
        self.handle().is_some_and(|handle| handle.runtime_flavor() != RuntimeFlavor::CurrentThread)
    }
}

/// Tries every address of the host in turn.
async fn tcp(host: &str, port: u16) -> Result<Box<dyn Io>, ConnectError> {
    let mut last = ConnectError::Resolve(io::ErrorKind::NotFound.into());
    for address in tokio::net::lookup_host((host, port)).await.map_err(ConnectError::Resolve)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(Compat::new(stream)));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// A timer on tokio's clock.
#[pin_project]
struct Sleep {
    #[pin]
    inner: tokio::time::Sleep,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().inner.poll(cx)
    }
}

impl Timer for Sleep {
    fn reset(self: Pin<&mut Self>, at: Instant) {
        self.project().inner.reset(at.into());
    }
}
