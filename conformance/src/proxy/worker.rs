//! The thread of a proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::link::{Fate, Link};
use super::rules::{Counts, Rules};

pub(super) const WAKE: Token = Token(0);
const LISTENER: Token = Token(1);

/// What the thread is told to do.
pub(super) enum Order {
    Change(Box<dyn FnOnce(&mut Rules) + Send>),
    /// Reset all connections.
    Reset,
    /// End all connections in good order, with FIN.
    Close,
    Listen(bool),
    End,
}

/// An order, and who waits for it.
pub(super) type Ordered = (Order, Sender<io::Result<()>>);

/// The counts, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) counts: Mutex<Counts>,
    pub(super) changed: Condvar,
}

pub(super) struct Worker {
    poll: Poll,
    address: SocketAddr,
    server: SocketAddr,
    listener: Option<TcpListener>,
    orders: Receiver<Ordered>,
    rules: Rules,
    /// Their sockets are called by twice the number, and by the one after that.
    links: BTreeMap<usize, Link>,
    last: usize,
    counts: Counts,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn new(
        poll: Poll,
        address: SocketAddr,
        server: SocketAddr,
        orders: Receiver<Ordered>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut worker = Self {
            poll,
            address,
            server,
            listener: None,
            orders,
            rules: Rules::default(),
            links: BTreeMap::new(),
            last: 0,
            counts: Counts::default(),
            shared,
        };
        worker.listen()?;
        Ok(worker)
    }

    fn listen(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            let mut listener = TcpListener::bind(self.address)?;
            self.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    /// Serves until it is told to end, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let wake = self.links.values().filter_map(|link| link.wake).min();
            let wait = wake.map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            let mut touched: BTreeSet<usize> =
                events.iter().map(|event| event.token().0 / 2).filter(|link| *link > 0).collect();
            let mut answers = Vec::new();
            while let Ok((order, answer)) = self.orders.try_recv() {
                let outcome = match order {
                    Order::End => {
                        // Sockets first: whoever waits for the end finds them closed.
                        self.links.clear();
                        self.listener = None;
                        drop(answer);
                        return;
                    }
                    order => self.obey(order),
                };
                touched.extend(self.links.keys());
                answers.push((answer, outcome));
            }
            self.accept(&mut touched);
            let now = Instant::now();
            let due = |link: &Link| link.wake.is_some_and(|at| at <= now);
            touched.extend(self.links.iter().filter(|(_, link)| due(link)).map(|(name, _)| name));
            for name in touched {
                self.turn(name, now);
            }
            self.publish();
            for (answer, outcome) in answers {
                // One who does not wait needs no answer.
                let _ = answer.send(outcome);
            }
        }
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Change(change) => change(&mut self.rules),
            Order::Reset => {
                // Those that wait to be accepted as well.
                self.accept(&mut BTreeSet::new());
                for link in std::mem::take(&mut self.links).into_values() {
                    link.reset();
                    self.counts.reset += 1;
                }
            }
            Order::Close => {
                self.accept(&mut BTreeSet::new());
                self.links.clear();
            }
            Order::Listen(true) => self.listen()?,
            Order::Listen(false) => self.listener = None,
            Order::End => {}
        }
        Ok(())
    }

    fn accept(&mut self, touched: &mut BTreeSet<usize>) {
        // It ends with WouldBlock; of other errors, such as of a client that is gone again, none concerns the listener.
        while let Some((client, _)) = self.listener.as_ref().and_then(|listener| listener.accept().ok()) {
            self.last += 1;
            let mut link = Link::new(client);
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(link.client(), Token(2 * self.last), both).is_err() {
                continue;
            }
            self.counts.accepted += 1;
            self.links.insert(self.last, link);
            touched.insert(self.last);
        }
    }

    fn turn(&mut self, name: usize, now: Instant) {
        let Some(link) = self.links.get_mut(&name) else { return };
        let server = (self.server, Token(2 * name + 1));
        let fate = link.turn(server, self.poll.registry(), &mut self.rules, now, &mut self.counts);
        if fate == Fate::Lives {
            return;
        }
        if let Some(link) = self.links.remove(&name) {
            if fate == Fate::Reset {
                link.reset();
                self.counts.reset += 1;
            }
        }
    }

    fn publish(&mut self) {
        self.counts.open = self.links.len();
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if *counts != self.counts {
            *counts = self.counts;
            drop(counts);
            self.shared.changed.notify_all();
        }
    }
}
