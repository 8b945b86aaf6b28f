//! [`Smol`]: the runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use etcdium_client::{BoxFuture, ConnectError, Io, Runtime, SpawnError, Target, Timer};
use smol::Executor;
use smol::net::TcpStream;

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

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        let target = target.clone();
        Box::pin(async move {
            match &target {
                Target::Tcp { host, port } => tcp(host, *port).await,
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = smol::net::unix::UnixStream::connect(path).await?;
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
    for address in smol::net::resolve((host, port)).await.map_err(ConnectError::Resolve)? {
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
