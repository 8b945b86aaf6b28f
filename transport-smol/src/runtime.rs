//! [`Smol`]: the runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use etcdium_client::{BoxFuture, Io, Runtime, SpawnError, Target, Timer};
use smol::Executor;

/// smol as etcdium uses it: its global executor, or one of the user's own.
#[derive(Clone, Debug, Default)]
pub struct Smol {
    executor: Option<Arc<Executor<'static>>>,
}

impl Smol {
    /// smol's global executor.
    pub fn new() -> Self {
        Self::default()
    }

    /// This executor, which has to be run by someone.
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self { executor: Some(executor) }
    }
}

impl Runtime for Smol {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        match &self.executor {
            Some(executor) => executor.spawn(task).detach(),
            None => smol::spawn(task).detach(),
        }
        Ok(())
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Sleep(smol::Timer::at(at)))
    }

    fn connect(&self, target: &Target) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let target = target.clone();
        Box::pin(async move {
            match target {
                Target::Tcp { host, port } => {
                    let stream = smol::net::TcpStream::connect((host.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = smol::net::unix::UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                other => {
                    Err(io::Error::new(io::ErrorKind::Unsupported, format!("cannot connect to {other:?}")))
                }
            }
        })
    }
}

/// A timer of smol's reactor.
struct Sleep(smol::Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Timer for Sleep {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }
}
