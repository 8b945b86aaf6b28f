//! What is done to bytes, and what is counted.

use std::num::NonZeroU64;
use std::ops::{Index, IndexMut};
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// The other one.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flow {
    /// They arrive.
    #[default]
    Pass,
    /// They wait, as in a partition that is shorter than TCP's patience: none is lost when it is healed.
    Hold,
    /// They vanish. A connection that lost some is reset as soon as its bytes no longer vanish, since no network gives a
    /// stream with a hole in it.
    Swallow,
}

/// One value for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ways<T>([T; 2]);

impl<T> Index<Direction> for Ways<T> {
    type Output = T;

    fn index(&self, direction: Direction) -> &T {
        &self.0[direction as usize]
    }
}

impl<T> IndexMut<Direction> for Ways<T> {
    fn index_mut(&mut self, direction: Direction) -> &mut T {
        &mut self.0[direction as usize]
    }
}

/// What is done to the bytes of one direction, of all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rule {
    pub(super) flow: Flow,
    pub(super) latency: Duration,
    /// Bytes per second of each connection.
    pub(super) bandwidth: Option<NonZeroU64>,
    /// How many more bytes are delivered before the connection that carries the last of them is reset.
    pub(super) budget: Option<u64>,
}

pub(super) type Rules = Ways<Rule>;

/// What a proxy has done so far. Counts never go back, but for [`open`](Self::open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections there are now, also those that wait for the server.
    pub open: usize,
    /// Connections that were reset, on demand or by a rule.
    pub reset: u64,
    pub(super) delivered: Ways<u64>,
    pub(super) swallowed: Ways<u64>,
}

impl Counts {
    /// Bytes that went this way and were handed on.
    pub fn delivered(&self, direction: Direction) -> u64 {
        self.delivered[direction]
    }

    /// Bytes that were sent this way and vanished.
    pub fn swallowed(&self, direction: Direction) -> u64 {
        self.swallowed[direction]
    }
}
