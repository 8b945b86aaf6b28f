//! One connection: a client, its server, and the pipes between them.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::pipe::{Done, Pipe, Turn};
use super::rules::{Counts, Direction, Flow, Rules, Ways};

/// The server's side.
#[derive(Debug)]
enum Server {
    /// Not called yet.
    Waiting,
    Connecting(TcpStream),
    Connected(TcpStream),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    server: Server,
    pipes: Ways<Pipe>,
    /// When it wants a turn whatever its sockets say.
    pub(super) wake: Option<Instant>,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// Both sides have ended in good order.
    Over,
    Reset,
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    pub(super) fn new(client: TcpStream) -> Self {
        // Without this a proxy would add delays nobody asked for.
        let _ = client.set_nodelay(true);
        Self { client, server: Server::Waiting, pipes: Ways::default(), wake: None }
    }

    pub(super) fn client(&mut self) -> &mut TcpStream {
        &mut self.client
    }

    /// Moves what can be moved now.
    pub(super) fn turn(
        &mut self,
        server: (SocketAddr, Token),
        registry: &Registry,
        rules: &mut Rules,
        now: Instant,
        counts: &mut Counts,
    ) -> Fate {
        self.wake = None;
        let torn = |way| {
            let pipe: &Pipe = &self.pipes[way];
            // A sink hides that its receiver is gone, until the way back opens.
            pipe.lossy && !pipe.sink && rules[way].flow != Flow::Swallow
        };
        if Direction::BOTH.into_iter().any(torn) {
            return Fate::Reset;
        }
        if self.connect(server, registry, rules).is_err() {
            return Fate::Reset;
        }
        for way in Direction::BOTH {
            let mut done = Done::default();
            let turn = self.turn_pipe(way, rules, now, &mut done);
            counts.delivered[way] += done.delivered;
            counts.swallowed[way] += done.swallowed;
            match turn {
                Turn::Wait(None) => {}
                Turn::Wait(Some(at)) => self.wake = Some(self.wake.map_or(at, |wake| wake.min(at))),
                Turn::Reset => return Fate::Reset,
                Turn::ReceiverGone if rules[way.back()].flow == Flow::Pass => return Fate::Reset,
                Turn::ReceiverGone => {
                    // The news does not get through either, until the way back is open again.
                    self.pipes[way].sink = true;
                    self.pipes[way.back()].lossy = true;
                    self.wake = Some(now);
                }
            }
        }
        let over = |way| {
            let pipe: &Pipe = &self.pipes[way];
            pipe.is_over() && !pipe.lossy
        };
        if Direction::BOTH.into_iter().all(over) { Fate::Over } else { Fate::Lives }
    }

    fn turn_pipe(&mut self, way: Direction, rules: &mut Rules, now: Instant, done: &mut Done) -> Turn {
        let (pipe, rule) = (&mut self.pipes[way], &mut rules[way]);
        match (way, &mut self.server) {
            (Direction::ToServer, Server::Connected(server)) => {
                pipe.turn(&mut self.client, Some(server), rule, now, done)
            }
            (Direction::ToServer, _) => pipe.turn(&mut self.client, None, rule, now, done),
            (Direction::ToClient, Server::Connected(server)) => {
                pipe.turn(server, Some(&mut self.client), rule, now, done)
            }
            (Direction::ToClient, _) => Turn::Wait(None),
        }
    }

    /// Calls the server, when the way to it is open, and looks whether it has answered.
    fn connect(
        &mut self,
        (address, token): (SocketAddr, Token),
        registry: &Registry,
        rules: &Rules,
    ) -> io::Result<()> {
        if matches!(self.server, Server::Waiting) && rules[Direction::ToServer].flow == Flow::Pass {
            let mut server = TcpStream::connect(address)?;
            registry.register(&mut server, token, Interest::READABLE | Interest::WRITABLE)?;
            self.server = Server::Connecting(server);
        }
        if let Server::Connecting(server) = &self.server {
            if let Some(error) = server.take_error()? {
                return Err(error);
            }
            if server.peer_addr().is_ok() {
                if let Server::Connecting(server) = std::mem::replace(&mut self.server, Server::Waiting) {
                    let _ = server.set_nodelay(true);
                    self.server = Server::Connected(server);
                }
            }
        }
        Ok(())
    }

    /// Ends it with RST on both sides.
    pub(super) fn reset(self) {
        // A socket that does not linger is reset when it is closed.
        let _ = rustix::net::sockopt::set_socket_linger(&self.client, Some(Duration::ZERO));
        if let Server::Connecting(server) | Server::Connected(server) = &self.server {
            let _ = rustix::net::sockopt::set_socket_linger(server, Some(Duration::ZERO));
        }
    }
}
