//! A runtime of one's own: an executor and a reactor on one thread, in two hundred lines, and the client on it.
//!
//! `cargo run -p etcdium-client --example custom_runtime -- 127.0.0.1:2379`

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use etcdium_client::{BoxFuture, Client, Compare, ConnectError, Io, Put, Runtime, SpawnError, Target, Timer};
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2379".into());
    let mini = Mini::new()?;
    mini.clone().block_on(async move {
        let client = Client::builder(mini).endpoints(endpoint.as_str()).connect().await?;

        let put = client.put("custom-runtime/greeting", "hello").await?;
        println!("put at revision {}", put.header.revision);
        let get = client.get("custom-runtime/greeting").await?;
        println!("got {:?}", get.kvs[0].value);
        let txn = client
            .txn()
            .when([Compare::value("custom-runtime/greeting").equal("hello")])
            .and_then([Put::new("custom-runtime/greeting", "hello again")])
            .await?;
        assert!(txn.succeeded, "nobody else writes this key");
        let deleted = client.delete("custom-runtime/").prefix().await?.deleted;
        println!("deleted {deleted} key");

        client.close();
        Ok(())
    })
}

/// The runtime: tasks that are ready, timers that are set, sockets that are watched. All on the thread of `block_on`.
#[derive(Clone)]
struct Mini {
    inner: Arc<Inner>,
}

struct Inner {
    poll: Mutex<mio::Poll>,
    registry: Registry,
    /// Ends the wait for sockets when something was woken meanwhile.
    alarm: mio::Waker,
    ready: Mutex<VecDeque<Arc<Task>>>,
    timers: Mutex<BTreeMap<(Instant, usize), Waker>>,
    sockets: Mutex<BTreeMap<Token, Interested>>,
    serial: Mutex<usize>,
}

/// Who waits for a socket.
#[derive(Default)]
struct Interested {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

const ALARM: Token = Token(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mini {
    fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let alarm = mio::Waker::new(&registry, ALARM)?;
        let inner = Inner {
            poll: Mutex::new(poll),
            registry,
            alarm,
            ready: Mutex::default(),
            timers: Mutex::default(),
            sockets: Mutex::default(),
            serial: Mutex::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a future and all tasks until the future is done; then drops the tasks.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let main = Arc::new(MainTask { inner: self.inner.clone(), woken: Mutex::new(true) });
        let waker = Waker::from(main.clone());
        let mut events = Events::with_capacity(64);
        loop {
            if std::mem::take(&mut *lock(&main.woken)) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            }
            loop {
                let next = lock(&self.inner.ready).pop_front();
                let Some(task) = next else { break };
                task.run();
            }
            if !*lock(&main.woken) && lock(&self.inner.ready).is_empty() {
                self.wait(&mut events);
            }
        }
    }

    /// Sleeps until a socket, a timer or the alarm wakes someone.
    fn wait(&self, events: &mut Events) {
        let next = lock(&self.inner.timers).keys().next().map(|(at, _)| *at);
        let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        // An interrupted wait is a short one.
        let _ = lock(&self.inner.poll).poll(events, timeout);
        for event in events.iter() {
            if let Some(interested) = lock(&self.inner.sockets).get_mut(&event.token()) {
                interested.reader.take().into_iter().chain(interested.writer.take()).for_each(Waker::wake);
            }
        }
        let now = Instant::now();
        let mut timers = lock(&self.inner.timers);
        while let Some(entry) = timers.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
    }

    fn next_serial(&self) -> usize {
        let mut serial = lock(&self.inner.serial);
        *serial += 1;
        *serial
    }
}

/// The future of `block_on`.
struct MainTask {
    inner: Arc<Inner>,
    woken: Mutex<bool>,
}

impl Wake for MainTask {
    fn wake(self: Arc<Self>) {
        *lock(&self.woken) = true;
        let _ = self.inner.alarm.wake();
    }
}

/// A spawned task.
struct Task {
    inner: Arc<Inner>,
    future: Mutex<Option<BoxFuture<()>>>,
}

impl Task {
    fn run(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut slot = lock(&self.future);
        if let Some(future) = slot.as_mut() {
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *slot = None;
            }
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let inner = self.inner.clone();
        lock(&inner.ready).push_back(self);
        let _ = inner.alarm.wake();
    }
}

impl std::fmt::Debug for Mini {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mini")
    }
}

impl Runtime for Mini {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        Arc::new(Task { inner: self.inner.clone(), future: Mutex::new(Some(task)) }).wake();
        Ok(())
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Sleep { mini: self.clone(), serial: self.next_serial(), at })
    }

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        let (mini, target) = (self.clone(), target.clone());
        Box::pin(async move {
            let Target::Tcp { host, port } = target else {
                let why = io::Error::new(io::ErrorKind::Unsupported, "this example speaks TCP alone");
                return Err(why.into());
            };
            // Looking a name up blocks; a real runtime would do it elsewhere.
            let mut addresses = (host.as_str(), port).to_socket_addrs().map_err(ConnectError::Resolve)?;
            let address =
                addresses.next().ok_or_else(|| ConnectError::Resolve(io::ErrorKind::NotFound.into()))?;
            let mut stream = TcpStream::connect(address)?;
            let token = Token(mini.next_serial());
            mini.inner.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            lock(&mini.inner.sockets).insert(token, Interested::default());
            let socket = Socket { mini, token, stream };
            std::future::poll_fn(|cx| match (socket.stream.take_error(), socket.stream.peer_addr()) {
                (Ok(Some(error)) | Err(error), _) => Poll::Ready(Err(error)),
                (Ok(None), Ok(_)) => Poll::Ready(Ok(())),
                (Ok(None), Err(_)) => {
                    socket.interested(|interested| interested.writer = Some(cx.waker().clone()));
                    Poll::Pending
                }
            })
            .await?;
            socket.stream.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Io>)
        })
    }
}

/// A timer.
struct Sleep {
    mini: Mini,
    serial: usize,
    at: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        lock(&self.mini.inner.timers).insert((self.at, self.serial), cx.waker().clone());
        Poll::Pending
    }
}

impl Timer for Sleep {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        lock(&self.mini.inner.timers).remove(&(self.at, self.serial));
        self.at = at;
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.mini.inner.timers).remove(&(self.at, self.serial));
    }
}

/// A connection: tried first, waited for when it would block.
struct Socket {
    mini: Mini,
    token: Token,
    stream: TcpStream,
}

impl Socket {
    fn interested(&self, note: impl FnOnce(&mut Interested)) {
        lock(&self.mini.inner.sockets).get_mut(&self.token).map(note);
    }
}

impl futures_io::AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match (&self.stream).read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.interested(|interested| interested.reader = Some(cx.waker().clone()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl futures_io::AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match (&self.stream).write(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.interested(|interested| interested.writer = Some(cx.waker().clone()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(std::net::Shutdown::Write))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.mini.inner.registry.deregister(&mut self.stream);
        lock(&self.mini.inner.sockets).remove(&self.token);
    }
}
