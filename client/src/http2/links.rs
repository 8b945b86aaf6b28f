//! The connections of a client by their keys, and which of them carries which call.

use std::time::Instant;

use etcdium_core::{CallKey, ConnectionKey, Transmit};

use super::Line;

/// A connection in a table.
pub(crate) trait Linked {
    /// Its key.
    fn key(&self) -> ConnectionKey;

    /// The HTTP/2 on it, once it is made and as long as it lives.
    fn line(&mut self) -> Option<&mut Line>;
}

/// A table of connections.
#[derive(Debug)]
pub(crate) struct Links<L> {
    /// By the slot of their key.
    links: Vec<Option<L>>,
    /// The slot of each call's connection, by the call's slot.
    routes: Vec<u32>,
}

impl<L> Default for Links<L> {
    fn default() -> Self {
        Self { links: Vec::new(), routes: Vec::new() }
    }
}

impl<L: Linked> Links<L> {
    /// Adds a connection.
    pub(crate) fn insert(&mut self, link: L) {
        let slot = link.key().slot();
        if self.links.len() <= slot {
            self.links.resize_with(slot + 1, || None);
        }
        self.links[slot] = Some(link);
    }

    /// A connection, unless it is gone.
    pub(crate) fn get(&mut self, connection: ConnectionKey) -> Option<&mut L> {
        self.at(connection.slot()).filter(|link| link.key() == connection)
    }

    /// The connection with this slot in its key.
    pub(crate) fn at(&mut self, slot: usize) -> Option<&mut L> {
        self.links.get_mut(slot)?.as_mut()
    }

    /// Takes a connection out, unless it is gone.
    pub(crate) fn remove(&mut self, connection: ConnectionKey) -> Option<L> {
        self.links.get_mut(connection.slot())?.take_if(|link| link.key() == connection)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &L> {
        self.links.iter().flatten()
    }

    /// All of them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut L> {
        self.links.iter_mut().flatten()
    }

    /// Takes out those that `over` says it of.
    pub(crate) fn sweep(&mut self, mut over: impl FnMut(&mut L) -> bool, mut gone: impl FnMut(L)) {
        for place in &mut self.links {
            if let Some(link) = place.take_if(&mut over) {
                gone(link);
            }
        }
    }

    /// Does what the core says of calls, with the next advance of their connections at the latest; gives back what it
    /// says of connections.
    #[must_use]
    pub(crate) fn carry_out(&mut self, transmit: Transmit, now: Instant) -> Option<Transmit> {
        match transmit {
            Transmit::Open(open) => {
                if let Some(line) = self.route(open.call, open.connection) {
                    line.open(open, now);
                }
            }
            Transmit::Send { call, message } => {
                if let Some(line) = self.of_call(call) {
                    line.send(call, message);
                }
            }
            Transmit::Finish(call) => {
                if let Some(line) = self.of_call(call) {
                    line.finish(call);
                }
            }
            Transmit::Reset(call) => {
                if let Some(line) = self.of_call(call) {
                    line.reset(call);
                }
            }
            other => return Some(other),
        }
        None
    }

    /// Notes who carries a call: the connection, unless it is gone.
    fn route(&mut self, call: CallKey, connection: ConnectionKey) -> Option<&mut Line> {
        if self.routes.len() <= call.slot() {
            self.routes.resize(call.slot() + 1, 0);
        }
        self.routes[call.slot()] = connection.slot() as u32;
        self.get(connection)?.line()
    }

    /// Who carries a call. If that one is gone, perhaps its successor, who does not know the call.
    fn of_call(&mut self, call: CallKey) -> Option<&mut Line> {
        let slot = *self.routes.get(call.slot())?;
        self.at(slot as usize)?.line()
    }
}
