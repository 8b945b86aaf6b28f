//! [`AsyncStd`]: the runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use async_std::task;
use etcdium_client::{BoxFuture, Io, Runtime, SpawnError, Target, Timer};

/// async-std as etcdium uses it: its one global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd(());

impl AsyncStd {
    /// The executor.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Runtime for AsyncStd {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        drop(task::spawn(task));
        Ok(())
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Sleep(sleep_until(at)))
    }

    fn connect(&self, target: &Target) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let target = target.clone();
        Box::pin(async move {
            match target {
                Target::Tcp { host, port } => {
                    let stream = async_std::net::TcpStream::connect((host.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = async_std::os::unix::net::UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                other => {
                    Err(io::Error::new(io::ErrorKind::Unsupported, format!("cannot connect to {other:?}")))
                }
            }
        })
    }
}

/// A timer: async-std's cannot be set again, so a new one takes its place.
struct Sleep(BoxFuture<()>);

fn sleep_until(at: Instant) -> BoxFuture<()> {
    Box::pin(task::sleep(at.saturating_duration_since(Instant::now())))
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Timer for Sleep {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0 = sleep_until(at);
    }
}
