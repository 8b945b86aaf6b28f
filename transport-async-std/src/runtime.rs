//! [`AsyncStd`]: the runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use async_std::net::{TcpStream, ToSocketAddrs};
use async_std::task;
use etcdium_client::{BoxFuture, ConnectError, Io, Runtime, SpawnError, Target, Timer};

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

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        let target = target.clone();
        Box::pin(async move {
            match &target {
                Target::Tcp { host, port } => tcp(host, *port).await,
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = async_std::os::unix::net::UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                other => {
                    let text = format!("cannot connect to {other:?}");
                    Err(io::Error::new(io::ErrorKind::Unsupported, text).into())
                }
            }
        })
    }
}

/// Tries every address of the host in turn.
async fn tcp(host: &str, port: u16) -> Result<Box<dyn Io>, ConnectError> {
    let mut last = ConnectError::Resolve(io::ErrorKind::NotFound.into());
    for address in (host, port).to_socket_addrs().await.map_err(ConnectError::Resolve)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
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
