//! One stream of renewals: what was asked on it and not answered.

use std::collections::VecDeque;
use std::time::Instant;

use crate::key::LeaseKey;
use crate::{ConnectionKey, EndpointKey, LeaseId};

/// A stream of renewals.
#[derive(Debug)]
pub(crate) struct Renewals {
    pub(crate) endpoint: EndpointKey,
    pub(crate) connection: ConnectionKey,
    pub(crate) role: Role,
    pub(crate) opened: Instant,
    /// Whether anything was answered on it.
    pub(crate) answered: bool,
    /// What waits for its answer, oldest first. The server renews one lease after the other, in this order.
    asked: VecDeque<Asked>,
}

/// Whom a stream serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// All leases.
    Shared,
    /// One lease that may be what ended another stream, or whose answer is to be confirmed.
    Alone(LeaseKey),
}

/// A renewal on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) lease: LeaseKey,
    pub(crate) id: LeaseId,
    pub(crate) sent: Instant,
    /// From then on it is taken for stuck.
    pub(crate) overdue_at: Instant,
}

impl Renewals {
    pub(crate) fn new(
        endpoint: EndpointKey,
        connection: ConnectionKey,
        role: Role,
        now: Instant,
        first: Asked,
    ) -> Self {
        Self { endpoint, connection, role, opened: now, answered: false, asked: VecDeque::from([first]) }
    }

    pub(crate) fn extend(&mut self, asked: Vec<Asked>) {
        self.asked.extend(asked);
    }

    /// The renewal that an answer with this id belongs to; none that was asked for: `None`.
    ///
    /// etcd answers in the order of asking, so it is the first one. Its grpc-proxy renews each lease by itself and answers
    /// in any order.
    pub(crate) fn answer(&mut self, id: i64) -> Option<Asked> {
        if self.asked.front().is_some_and(|first| first.id.get() == id) {
            let first = self.asked.pop_front();
            if self.asked.is_empty() && self.asked.capacity() > 64 {
                self.asked = VecDeque::new();
            }
            return first;
        }
        let place = self.asked.iter().position(|asked| asked.id.get() == id)?;
        self.asked.remove(place)
    }

    /// What the server is busy with, if the stream is one of etcd's own.
    pub(crate) fn first(&self) -> Option<&Asked> {
        self.asked.front()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    pub(crate) fn into_asked(self) -> VecDeque<Asked> {
        self.asked
    }
}
