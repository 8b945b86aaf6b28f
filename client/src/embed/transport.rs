//! [`Transport`]: the connections of a core, on sockets that an event loop owns.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{Address, ConnectionKey, Core, Transmit};

use super::link::Link;
use crate::ConnectError;
use crate::http2::{Linked, Links};

/// Turns of one run. More than a few come only under constant load, when the owner shall have its time too.
const TURNS: usize = 32;

/// The connections of one core: HTTP/2 on sockets of type `S`. The [module](super) says how to use it.
///
/// Sockets are named by [`ConnectionKey::slot`] where a poller names them: a small number that no two sockets have at
/// the same time.
#[derive(Debug)]
pub struct Transport<S> {
    links: Links<Link<S>>,
    actions: VecDeque<Action<S>>,
    /// The latest time it was told.
    now: Instant,
    /// Something is left to do, or came since the last run.
    busy: bool,
    max_in_flight: usize,
}

/// Something for the owner of the sockets to do, from [`Transport::poll_action`]. The order is part of the meaning:
/// the slot of a closed socket may be that of the next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action<S> {
    /// Open a socket to this address, or begin to, and hand it over by [`Transport::attach`], at any time; or say that
    /// it cannot be by [`Transport::connect_failed`]. The core limits the time.
    ///
    /// TCP sockets shall send without delay (`TCP_NODELAY`): the transport writes whole batches.
    Connect {
        /// Names the socket from now on.
        connection: ConnectionKey,
        /// Where it shall lead.
        address: Arc<Address>,
    },
    /// Stop to open a socket: it is no longer wanted.
    Abandon {
        /// As [`Connect`](Self::Connect) named it.
        connection: ConnectionKey,
    },
    /// Take a socket back and close it. What there was to say, it was told.
    Close {
        /// As [`Connect`](Self::Connect) named it.
        connection: ConnectionKey,
        /// The socket.
        socket: S,
    },
}

/// What a socket waits for, from [`Transport::sockets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interest {
    /// To be read. Not so only while HTTP/2 takes nothing in before it has written.
    pub readable: bool,
    /// To take what is left to be written.
    pub writable: bool,
}

impl<S> Transport<S> {
    /// A transport without connections.
    pub fn new(now: Instant) -> Self {
        Self { links: Links::default(), actions: VecDeque::new(), now, busy: false, max_in_flight: 0 }
    }

    /// What to do next with sockets, until nothing is left.
    #[must_use = "an action has to be carried out"]
    pub fn poll_action(&mut self) -> Option<Action<S>> {
        self.actions.pop_front()
    }

    /// Hands a socket over, open or still being connected by the operating system. One that is no longer wanted comes
    /// back by [`Action::Close`].
    pub fn attach(&mut self, now: Instant, connection: ConnectionKey, socket: S) {
        let now = self.tick(now);
        self.busy = true;
        let rejected = match self.links.get(connection).filter(|link| link.is_wanted()) {
            Some(link) => link.attach(now, self.max_in_flight, socket),
            None => Some(socket),
        };
        self.actions.extend(rejected.map(|socket| Action::Close { connection, socket }));
    }

    /// Tells why a socket cannot be opened. An [`io::Error`](std::io::Error) will do.
    pub fn connect_failed(&mut self, connection: ConnectionKey, error: impl Into<ConnectError>) {
        if let Some(link) = self.links.get(connection).filter(|link| link.is_wanted()) {
            link.fail(error.into().cause());
            self.busy = true;
        }
    }

    /// Tells that the socket of this slot may be read, or written, or has failed. To be told for nothing does no harm.
    pub fn ready(&mut self, slot: usize) {
        if let Some(link) = self.links.at(slot) {
            link.ready();
            self.busy = true;
        }
    }

    /// All sockets, with what each waits for until the next run.
    pub fn sockets(&mut self) -> impl Iterator<Item = (ConnectionKey, &mut S, Interest)> {
        self.links.iter_mut().filter_map(Link::socket)
    }

    /// When to call [`run`](Self::run) at the latest, for the core or for a connection. A past time when there is
    /// something to do at once.
    pub fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        if self.busy {
            return Some(self.now);
        }
        self.links.iter().filter_map(Link::poll_timeout).chain(core.poll_timeout()).min()
    }

    /// Takes note of the time, which never goes back.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

impl<S: Read + Write> Transport<S> {
    /// Does everything there is to do at this time: reads the sockets that are ready, tells the core what happened and
    /// what time it is, does what it says, writes.
    pub fn run(&mut self, now: Instant, core: &mut Core) {
        let now = self.tick(now);
        self.max_in_flight = core.max_in_flight();
        for _ in 0..TURNS {
            if !self.turn(now, core) && !self.flush() {
                self.busy = false;
                return;
            }
        }
        self.flush();
        self.busy = true;
    }

    /// One turn. Says whether there may be more to do.
    fn turn(&mut self, now: Instant, core: &mut Core) -> bool {
        let mut more = false;
        for link in self.links.iter_mut() {
            more |= link.advance(now);
            link.tell(now, core);
        }
        let Self { links, actions, .. } = self;
        links.sweep(
            |link| link.is_over(),
            |mut link| {
                link.flush();
                let connection = link.key();
                actions.extend(link.into_socket().map(|socket| Action::Close { connection, socket }));
            },
        );
        core.handle_timeout(now);
        while let Some(transmit) = core.poll_transmit() {
            more = true;
            self.carry_out(now, transmit);
        }
        more
    }

    /// Does what the core said.
    fn carry_out(&mut self, now: Instant, transmit: Transmit) {
        match self.links.carry_out(transmit, now) {
            Some(Transmit::Connect(connect)) => {
                let (connection, address) = (connect.connection, connect.address.clone());
                self.links.insert(Link::new(connect));
                self.actions.push_back(Action::Connect { connection, address });
            }
            Some(Transmit::Disconnect(connection)) => {
                let Some(link) = self.links.remove(connection) else { return };
                let wanted = link.is_wanted();
                match link.close() {
                    Some(socket) => self.actions.push_back(Action::Close { connection, socket }),
                    None if wanted => self.actions.push_back(Action::Abandon { connection }),
                    None => {}
                }
            }
            // The core's list of things to do may grow, and this transport with it.
            _ => {}
        }
    }

    /// Writes what is to be written. Says whether that left something to do.
    fn flush(&mut self) -> bool {
        let mut more = false;
        for link in self.links.iter_mut() {
            more |= link.flush();
        }
        more
    }
}
