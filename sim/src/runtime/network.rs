//! Who listens where, and what is wrong with the way there.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;

use etcdium_client::{BoxFuture, ConnectError, Io, Target};

use super::executor::Sim;
use super::pipe::{Connection, End};
use super::state::{Due, Shared, Side};
use super::timer::Alarm;
use crate::http::{Host, serve};

/// What is wrong with the way to an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// New connections are refused; existing ones live on.
    Refuse,
    /// Nothing arrives in either direction until this ends, when all bytes do. Attempts to connect get no answer at all.
    Blackhole,
}

#[derive(Default)]
pub(super) struct Network {
    listeners: Vec<Listener>,
    pub(super) connections: BTreeMap<u64, Connection>,
}

struct Listener {
    host: String,
    port: u16,
    server: Host,
    member: usize,
    fault: Fault,
}

impl Network {
    fn listener(&self, host: &str, port: u16) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.port == port && listener.host == host)
    }

    fn of_listener(&self, listener: usize) -> Vec<u64> {
        let connections = self.connections.iter().filter(|(_, connection)| connection.listener == listener);
        connections.map(|(id, _)| *id).collect()
    }
}

/// Faults by listener: the order in which [`Sim::listen`] was called, from 0.
impl Sim {
    /// Lets clients reach a member at `host:port`. Listeners are numbered from 0.
    pub fn listen(&self, host: &str, port: u16, server: &Host, member: usize) -> usize {
        let listener =
            Listener { host: host.to_owned(), port, server: server.clone(), member, fault: Fault::None };
        let mut state = self.shared().lock();
        state.network.listeners.push(listener);
        state.network.listeners.len() - 1
    }

    /// Makes something wrong with the way to a listener, or right again.
    pub fn set_fault(&self, listener: usize, fault: Fault) {
        let mut state = self.shared().lock();
        let Some(known) = state.network.listeners.get_mut(listener) else { return };
        let before = std::mem::replace(&mut known.fault, fault);
        let stopped = fault == Fault::Blackhole;
        if stopped != (before == Fault::Blackhole) {
            for connection in state.network.of_listener(listener) {
                state.stop_connection(connection, stopped);
            }
        }
    }

    /// Breaks every connection to a listener. Both ends get errors, and bytes under way are lost.
    pub fn cut(&self, listener: usize) {
        let mut wakes = Vec::new();
        let mut state = self.shared().lock();
        for connection in state.network.of_listener(listener) {
            state.break_connection(connection, &mut wakes);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared().lock().network.connections.len()
    }
}

/// Connects a client.
pub(super) fn connect(shared: &Arc<Shared>, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
    let (shared, target) = (shared.clone(), target.clone());
    Box::pin(async move {
        let Target::Tcp { host, port } = &target else {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        };
        let at = {
            let mut state = shared.lock();
            // There and back.
            let latency = state.profile.latency;
            let travel = latency.draw(&mut state.rng) + latency.draw(&mut state.rng);
            state.instant(state.local_now() + travel)
        };
        Alarm::new(shared.clone(), Side::Client, at).await;
        let Some((server, member, id)) = accept(&shared, host, *port)? else {
            // The attempt gets no answer, also when the way is right again later.
            return std::future::pending().await;
        };
        let end = End::new(&shared, id, Side::Client);
        let other = End::new(&shared, id, Side::Server);
        if !server.is_up(member) {
            drop((end, other));
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        shared.spawn(Side::Server, Box::pin(serve(other, server, member)));
        Ok(Box::new(end) as Box<dyn Io>)
    })
}

/// A new connection with its server and member; none where nothing arrives.
fn accept(shared: &Shared, host: &str, port: u16) -> Result<Option<(Host, usize, u64)>, ConnectError> {
    let mut state = shared.lock();
    let Some(index) = state.network.listener(host, port) else {
        // An address needs no resolving, and nobody listens there.
        return Err(match host.parse::<IpAddr>() {
            Ok(_) => io::Error::from(io::ErrorKind::ConnectionRefused).into(),
            Err(_) => ConnectError::Resolve(io::ErrorKind::NotFound.into()),
        });
    };
    let listener = &state.network.listeners[index];
    let (server, member) = (listener.server.clone(), listener.member);
    match listener.fault {
        Fault::None => {}
        Fault::Refuse => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        Fault::Blackhole => return Ok(None),
    }
    let id = state.next_serial();
    state.network.connections.insert(id, Connection::new(index));
    Ok(Some((server, member, id)))
}

impl Due {
    /// Lets it happen.
    pub(super) fn happen(self, shared: &Shared, wakes: &mut Vec<Waker>) {
        let mut state = shared.lock();
        match self {
            Self::Wake { side, waker } => state.notify(side, waker, wakes),
            Self::Arrival { connection, reader } => state.arrived(connection, reader, wakes),
        }
    }
}
