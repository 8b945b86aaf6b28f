//! For owners of an event loop: HTTP/2 for a core over non-blocking sockets, with no async runtime anywhere.
//!
//! Someone with a loop of their own (epoll, io_uring, a game loop, a simulator) drives an [`etcdium_core::Core`]
//! directly, and leaves to a [`Transport`] what the core asks of a transport: it speaks HTTP/2, tells the core what
//! happened and does what the core says. The owner adds sockets and timers and nothing else.
//!
//! # The contract
//!
//! * [`Transport::run`] follows whatever came before it: an input to the core (`start`, `cancel`, `close`, ...), a
//!   socket that is ready ([`Transport::ready`]), one handed over ([`Transport::attach`]), or a time that has come. Any
//!   number of these may come before one run.
//! * After it the owner drains [`Transport::poll_action`], which says what sockets to open and to close, and the
//!   core's `poll_event`. What that leads to, a further run has to follow.
//! * Then it sleeps until a socket is ready, but not longer than [`Transport::poll_timeout`].
//!
//! Nothing here can fail. What goes wrong with a socket ends its connection; the core hears why and decides.
//!
//! # Sockets
//!
//! A socket is anything that implements [`io::Read`](std::io::Read) and [`io::Write`](std::io::Write) and answers
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead of waiting. It may be handed over while the operating system
//! is still connecting it: how that ends shows when it is read. Buffers that a completion-based loop fills and
//! empties, or those of a simulator, become one with a few lines. TLS is the owner's, around the socket, where
//! [`Address::security`](crate::Address::security) asks for it.
//!
//! With an edge-triggered poller each socket is registered once, for reading and writing, and [`Transport::ready`]
//! called for each of its events. With a level-triggered one, [`Transport::sockets`] says before each sleep what each
//! of them waits for.
//!
//! # A loop
//!
//! With the crate `mio`; `examples/event_loop.rs` is the whole program.
//!
//! ```no_run
//! use std::io;
//! use std::time::Instant;
//!
//! use etcdium_client::Target;
//! use etcdium_client::embed::{Action, Transport};
//! use etcdium_core::{CallOptions, Config, Core};
//! use etcdium_client::proto::etcdserverpb::PutRequest;
//! use mio::net::TcpStream;
//! use mio::{Events, Interest, Poll, Token};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(64);
//! let mut core = Core::new(Config::new(["127.0.0.1:2379".parse()?]), Instant::now(), 42);
//! let mut transport = Transport::new(Instant::now());
//! let request = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
//! let put = core.start(Instant::now(), &request, &CallOptions::new());
//! let response = loop {
//!     transport.run(Instant::now(), &mut core);
//!     while let Some(action) = transport.poll_action() {
//!         match action {
//!             Action::Connect { connection, address } => {
//!                 let Target::Tcp { host, port } = address.target() else { unreachable!() };
//!                 let made = TcpStream::connect(format!("{host}:{port}").parse()?).and_then(|mut socket| {
//!                     let (token, interest) = (Token(connection.slot()), Interest::READABLE | Interest::WRITABLE);
//!                     poll.registry().register(&mut socket, token, interest)?;
//!                     Ok(socket)
//!                 });
//!                 match made {
//!                     Ok(socket) => transport.attach(Instant::now(), connection, socket),
//!                     Err(error) => transport.connect_failed(connection, error),
//!                 }
//!             }
//!             Action::Close { mut socket, .. } => poll.registry().deregister(&mut socket)?,
//!             _ => {}
//!         }
//!     }
//!     while let Some(event) = core.poll_event() {
//!         println!("{event:?}");
//!     }
//!     if let Some(result) = core.take(&put) {
//!         break result?;
//!     }
//!     let timeout = transport.poll_timeout(&core).map(|at| at.saturating_duration_since(Instant::now()));
//!     poll.poll(&mut events, timeout)?;
//!     for event in &events {
//!         transport.ready(event.token().0);
//!     }
//! };
//! # Ok(()) }
//! ```

mod link;
mod transport;

pub use transport::{Action, Interest, Transport};
