//! A runtime for tests: one executor, run by the thread that blocks on a test, that can be shut down.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use etcdium_client::{
    BoxFuture, Client, ClientBuilder, ConnectError, Endpoints, Io, Runtime, SpawnError, Target, Timer,
};
use smol::Executor;

use super::server::PATIENCE;

/// The executor; none after its shutdown.
#[derive(Clone, Debug)]
pub(crate) struct Rt(Arc<Mutex<Option<Arc<Executor<'static>>>>>);

impl Rt {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::default()))))
    }

    pub(crate) fn builder(&self, endpoints: impl Endpoints) -> ClientBuilder {
        Client::builder(self.clone()).endpoints(endpoints)
    }

    /// Runs a test to its end, which has to come in good time.
    pub(crate) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        let executor = self.0.lock().unwrap().clone();
        let late = async {
            smol::Timer::after(2 * PATIENCE).await;
            panic!("the test does not end");
        };
        let test = smol::future::or(test, late);
        match executor {
            Some(executor) => smol::block_on(executor.run(test)),
            None => smol::block_on(test),
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> smol::Task<T> {
        self.0.lock().unwrap().as_ref().unwrap().spawn(task)
    }

    /// Drops every task.
    pub(crate) fn shut_down(&self) {
        let executor = self.0.lock().unwrap().take();
        assert_eq!(executor.map(|executor| Arc::strong_count(&executor)), Some(1), "nobody may run it");
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: in vain");
        smol::Timer::after(std::time::Duration::from_millis(2)).await;
    }
}

impl Runtime for Rt {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        match &*self.0.lock().unwrap() {
            Some(executor) => executor.spawn(task).detach(),
            None => return Err(SpawnError::new("the runtime was shut down")),
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
                Target::Tcp { host, port } => {
                    let address = (host.as_str(), *port);
                    let stream = smol::net::TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                #[cfg(unix)]
                Target::Unix { path } => {
                    let stream = smol::net::unix::UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            }
        })
    }
}

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
