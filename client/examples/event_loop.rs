//! An event loop that drives the core directly: one thread, no async runtime, sockets and timers by mio.
//!
//! `cargo run -p etcdium-client --example event_loop -- [endpoint [rounds]]`, by default one round at 127.0.0.1:2379. Of
//! several rounds one begins each second; kill and restart the server meanwhile.

use std::error::Error;
use std::io;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use etcdium_client::embed::{Action, Transport};
use etcdium_client::proto::{Response, UnaryRequest};
use etcdium_client::{
    Address, Compare, ConnectError, Get, GetResponse, KeyRange, Put, Revision, Target, Txn, TxnResponse,
};
use etcdium_core::{
    CallOptions, Config, Core, EndpointStatus, Event, LeaseState, OnDrop, Op, WatchItem, WatchKey, WatchNext,
    WatchRequest,
};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const COUNTER: &str = "event-loop/counter";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "127.0.0.1:2379".into());
    let rounds: u32 = arguments.next().map_or(Ok(1), |rounds| rounds.parse())?;

    let mut event_loop = EventLoop::new(endpoint.parse()?)?;
    // Both live through whatever happens to the server: the one resumes, the other is renewed.
    let now = Instant::now();
    let watch = event_loop.core.watch(now, WatchRequest::new(KeyRange::single(COUNTER)));
    let lease = event_loop.core.lease(now, Duration::from_secs(30), None, &CallOptions::new());
    event_loop.run()?;
    while event_loop.core.is_watch_open(watch) == Some(false) {
        event_loop.wait(None)?;
    }
    let kept = loop {
        match event_loop.core.started(lease) {
            Some(kept) => break kept?,
            None => event_loop.wait(None)?,
        }
    };
    let mark = Put::new("event-loop/alive", "yes").lease(kept.id).into_request()?;
    event_loop.call(&mark)?;
    for round in 1..=rounds {
        let begin = Instant::now();
        match play(&mut event_loop, watch, round) {
            Ok(text) => println!("round {round}: {text}, in {:.1?}", begin.elapsed()),
            Err(error) if round == rounds => return Err(error),
            Err(error) => println!("round {round}: {error}"),
        }
        match event_loop.core.keeper_state(lease, Instant::now()) {
            Some(LeaseState::Lost { reason }) => println!("the lease is lost: {reason:?}"),
            Some(LeaseState::AtRisk { cause, .. }) => println!("the lease is at risk: {cause}"),
            _ => {}
        }
        while round < rounds && begin.elapsed() < Duration::from_secs(1) {
            event_loop.wait(Some(begin + Duration::from_secs(1)))?;
        }
    }
    event_loop.core.release(Instant::now(), lease, OnDrop::Revoke);
    event_loop.core.close(Instant::now());
    event_loop.run()?;
    Ok(())
}

/// A hundred puts at once, a get, and a transaction that checks and sets, which the watch then tells.
fn play(event_loop: &mut EventLoop, watch: WatchKey, round: u32) -> Result<String, Box<dyn Error>> {
    let now = Instant::now();
    let mut puts = Vec::new();
    for n in 0..100 {
        let put = Put::new(format!("event-loop/{n:02}"), format!("round {round}")).into_request()?;
        puts.push(event_loop.core.start(now, &put, &CallOptions::new()));
    }
    for put in &puts {
        event_loop.finish(put)?;
    }

    let get = Get::new(COUNTER).into_request()?;
    let counter = GetResponse::try_from(event_loop.call(&get)?)?.kvs.pop();
    let count: u64 = counter.as_ref().and_then(|kv| kv.value_str().ok()?.parse().ok()).unwrap_or(0);

    let unchanged = Compare::mod_revision(COUNTER).equal(counter.map_or(0, |kv| kv.mod_revision.get()));
    let txn = Txn::new().when([unchanged]).and_then([Put::new(COUNTER, (count + 1).to_string())]);
    let txn = TxnResponse::try_from(event_loop.call(&txn.into_request()?)?)?;
    let counted = if txn.succeeded { "counted" } else { "somebody else counted" };
    let revision = txn.header.revision;
    let told = if txn.succeeded { event_loop.follow(watch, revision)? } else { 0 };
    Ok(format!("100 puts, {counted} to {}, revision {revision}, {told} changes watched", count + 1))
}

/// The loop: what etcdium decides stands in `core` and `transport`, what the operating system gives in `poll`.
struct EventLoop {
    core: Core,
    transport: Transport<TcpStream>,
    poll: Poll,
    events: Events,
}

impl EventLoop {
    fn new(endpoint: Address) -> io::Result<Self> {
        let now = Instant::now();
        // The seed spreads the reconnects of many clients.
        let seed = u64::from(std::process::id());
        Ok(Self {
            core: Core::new(Config::new([endpoint]), now, seed),
            transport: Transport::new(now),
            poll: Poll::new()?,
            events: Events::with_capacity(64),
        })
    }

    /// Makes one call and waits for its answer.
    fn call<R: UnaryRequest>(&mut self, request: &R) -> Result<R::Response, Box<dyn Error>> {
        let op = self.core.start(Instant::now(), request, &CallOptions::new());
        self.finish(&op)
    }

    /// Goes round until this operation has ended.
    fn finish<T: Response>(&mut self, op: &Op<T>) -> Result<T, Box<dyn Error>> {
        self.run()?;
        loop {
            if let Some(result) = self.core.take(op) {
                return Ok(result?);
            }
            self.wait(None)?;
        }
    }

    /// Reads a watch up to this revision. Says how many revisions it told.
    fn follow(&mut self, watch: WatchKey, until: Revision) -> Result<u64, Box<dyn Error>> {
        let mut told = 0;
        loop {
            match self.core.watch_next(Instant::now(), watch) {
                Some(WatchNext::Item(WatchItem::Events { revision, .. })) => {
                    told += 1;
                    if revision >= until {
                        return Ok(told);
                    }
                }
                Some(WatchNext::Item(_)) => {}
                Some(WatchNext::End(result)) => {
                    result?;
                    return Ok(told);
                }
                None => self.wait(None)?,
            }
        }
    }

    /// Sleeps until a socket is ready, a timer is due, or it is `until`; then does what there is to do.
    fn wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        let wake = self.transport.poll_timeout(&self.core).into_iter().chain(until).min();
        let timeout = wake.map(|at| at.saturating_duration_since(Instant::now()));
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            self.transport.ready(event.token().0);
        }
        self.run()
    }

    /// Does what there is to do.
    fn run(&mut self) -> io::Result<()> {
        self.transport.run(Instant::now(), &mut self.core);
        while let Some(action) = self.transport.poll_action() {
            match action {
                Action::Connect { connection, address } => {
                    match self.dial(Token(connection.slot()), &address) {
                        Ok(socket) => self.transport.attach(Instant::now(), connection, socket),
                        Err(error) => self.transport.connect_failed(connection, error),
                    }
                }
                Action::Close { mut socket, .. } => self.poll.registry().deregister(&mut socket)?,
                _ => {}
            }
        }
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Endpoint { status: EndpointStatus::Ready, .. } => println!("connected"),
                Event::Endpoint { status: EndpointStatus::Down(cause), .. } => {
                    println!("not connected: {cause}")
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins to connect a socket.
    fn dial(&self, token: Token, address: &Address) -> Result<TcpStream, ConnectError> {
        let Target::Tcp { host, port } = address.target() else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this example speaks TCP alone").into());
        };
        // Looking up a name may block: a loop that must not would leave it to another thread.
        let mut found = (host.as_str(), *port).to_socket_addrs().map_err(ConnectError::Resolve)?;
        let first = found.next().ok_or_else(|| ConnectError::Resolve(io::ErrorKind::NotFound.into()))?;
        let mut socket = TcpStream::connect(first)?;
        socket.set_nodelay(true)?;
        self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }
}
