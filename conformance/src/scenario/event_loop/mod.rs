//! The core on an event loop, without an async runtime: a thread that waits by mio and speaks HTTP/2 by
//! [`etcdium_client::embed`].
//!
//! Calls start on the core itself, under a lock, wherever they are made; an alarm then ends the loop's wait. Nothing of
//! the client's driver is involved.

mod watcher;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use etcdium_client::embed::{Action, Transport};
use etcdium_client::proto::UnaryRequest;
use etcdium_client::{Address, ConnectError, Error, InvalidRequest, Stats, Target};
use etcdium_core::{CallOptions, Config, Core, Event, Op, OpKey, WatchKey};
use mio::net::TcpStream;
use mio::{Events, Interest, Token};

pub(super) use watcher::LoopWatcher;

/// What the alarm is called among the sockets, whose names are small.
const ALARM: Token = Token(usize::MAX);

/// A loop on a thread of its own. Clones are the same; the last one ends it.
#[derive(Clone, Debug)]
pub struct EventLoop {
    handle: Arc<Handle>,
}

/// Closes the core when it is dropped.
#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Ends the loop's wait.
    alarm: mio::Waker,
}

#[derive(Debug)]
struct State {
    core: Core,
    /// Who waits for which operation.
    waiting: BTreeMap<OpKey, Waker>,
    /// Who waits for news of which watch.
    watching: BTreeMap<WatchKey, Waker>,
}

/// What the loop's thread owns.
struct Turner {
    shared: Arc<Shared>,
    poll: mio::Poll,
    transport: Transport<TcpStream>,
}

impl EventLoop {
    /// Starts a loop. No connection is waited for.
    pub(super) fn start(config: Config) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let alarm = mio::Waker::new(poll.registry(), ALARM)?;
        let now = Instant::now();
        let core = Core::new(config, now, u64::from(std::process::id()));
        let state = Mutex::new(State { core, waiting: BTreeMap::new(), watching: BTreeMap::new() });
        let shared = Arc::new(Shared { state, alarm });
        let turner = Turner { shared: Arc::clone(&shared), poll, transport: Transport::new(now) };
        thread::Builder::new().name("event-loop".to_owned()).spawn(move || turner.run())?;
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    /// Makes a call. Dropping the future gives it up.
    pub(super) async fn call<R: UnaryRequest>(
        &self,
        request: R,
        endpoint: Option<&str>,
        options: CallOptions,
    ) -> Result<R::Response, Error> {
        let shared = &*self.handle.0;
        let op = {
            let mut state = shared.lock();
            let options = match endpoint {
                Some(endpoint) => options.endpoint(
                    state.core.endpoint_key(&endpoint.parse()?).ok_or(InvalidRequest::UnknownEndpoint)?,
                ),
                None => options,
            };
            state.core.start(Instant::now(), &request, &options)
        };
        shared.ring();
        let call = Started { shared, op };
        poll_fn(|cx| {
            let mut state = shared.lock();
            match state.core.take(&call.op) {
                Some(result) => Poll::Ready(result),
                None => {
                    state.waiting.insert(call.op.key(), cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub(super) fn stats(&self) -> Stats {
        self.handle.0.lock().core.stats()
    }

    pub(super) fn close(&self) {
        self.handle.0.close();
    }
}

/// An operation that is given up when it is dropped. One that was taken is no longer known to the core.
struct Started<'a, T> {
    shared: &'a Shared,
    op: Op<T>,
}

impl<T> Drop for Started<'_, T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.waiting.remove(&self.op.key());
        state.core.cancel(Instant::now(), self.op.key());
        drop(state);
        self.shared.ring();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // Fails only when the loop has ended, or is about to wake anyway.
        let _ = self.alarm.wake();
    }

    fn close(&self) {
        self.lock().core.close(Instant::now());
        self.ring();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Turner {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while let Some(wake) = self.turn() {
            let timeout = wake.map(|at| at.saturating_duration_since(Instant::now()));
            // An interrupted wait is a short one.
            let _ = self.poll.poll(&mut events, timeout);
            for event in events.iter().filter(|event| event.token() != ALARM) {
                self.transport.ready(event.token().0);
            }
        }
    }

    /// Does what there is to do, and says until when to wait then; `None` when the loop shall end.
    fn turn(&mut self) -> Option<Option<Instant>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.transport.run(Instant::now(), &mut state.core);
        while let Some(action) = self.transport.poll_action() {
            match action {
                Action::Connect { connection, address } => {
                    match self.dial(Token(connection.slot()), &address) {
                        Ok(socket) => self.transport.attach(Instant::now(), connection, socket),
                        Err(error) => self.transport.connect_failed(connection, error),
                    }
                }
                Action::Close { mut socket, .. } => {
                    // Closing it ends its registration in any case.
                    let _ = self.poll.registry().deregister(&mut socket);
                }
                _ => {}
            }
        }
        let mut woken = Vec::new();
        while let Some(event) = state.core.poll_event() {
            match event {
                Event::OpDone(op) => woken.extend(state.waiting.remove(&op)),
                Event::WatchReadable(watch) => woken.extend(state.watching.remove(&watch)),
                _ => {}
            }
        }
        // A closed core has ended its calls, and was told everything by the run above.
        let wake = (!state.core.is_closed()).then(|| self.transport.poll_timeout(&state.core));
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        wake
    }

    /// Begins to connect a socket.
    fn dial(&self, token: Token, address: &Address) -> Result<TcpStream, ConnectError> {
        let Target::Tcp { host, port } = address.target() else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this loop speaks TCP alone").into());
        };
        let mut found = (host.as_str(), *port).to_socket_addrs().map_err(ConnectError::Resolve)?;
        let first = found.next().ok_or_else(|| ConnectError::Resolve(io::ErrorKind::NotFound.into()))?;
        let mut socket = TcpStream::connect(first)?;
        socket.set_nodelay(true)?;
        self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }
}
