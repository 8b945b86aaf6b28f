//! The handle of a proxy.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Poll, Waker};

use super::rules::{Counts, Direction, Flow, Rules};
use super::worker::{Order, Ordered, Shared, WAKE, Worker};
use crate::etcd::Port;

/// A proxy before one server. It stays at its address for life, also while it refuses connections.
///
/// A new one passes everything on. Every change concerns all connections, present and future ones, and is in force when
/// the call returns, which takes microseconds. A server that is not there shows as a connection that is accepted and
/// then reset. A connection that is reset gives RST to both sides.
pub struct Proxy {
    port: Port,
    server: SocketAddr,
    orders: Sender<Ordered>,
    alarm: Waker,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 before the server at this address.
    ///
    /// # Errors
    /// There is no port, no file descriptor or no thread left.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let port = Port::reserve()?;
        let poll = Poll::new()?;
        let alarm = Waker::new(poll.registry(), WAKE)?;
        let (orders, received) = channel();
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(poll, port.address(), server, received, Arc::clone(&shared))?;
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || worker.run())?;
        Ok(Self { port, server, orders, alarm, shared, thread: Some(thread) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where clients connect, as a URL: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        self.port.url()
    }

    /// The server behind it.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until its counts are as wanted. Blocks; a case's body asks [`counts`](Self::counts) by
    /// [`Context::eventually`](crate::scenario::Context::eventually) instead.
    ///
    /// # Errors
    /// They are not in this time; the last counts.
    pub fn wait_for(&self, time: Duration, wanted: impl Fn(&Counts) -> bool) -> Result<Counts, Counts> {
        let begin = Instant::now();
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(&counts) {
            let left = time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(*counts);
            }
            let waited = self.shared.changed.wait_timeout(counts, left);
            counts = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(*counts)
    }

    /// Resets all connections. New ones are accepted.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// Ends all connections in good order, by FIN. What is still on its way in the proxy is lost. New ones are accepted.
    pub fn close(&self) {
        self.order(Order::Close);
    }

    /// Refuses new connections until [`accept`](Self::accept). The ones there are go on.
    pub fn refuse(&self) {
        self.order(Order::Listen(false));
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// The port cannot be had again.
    pub fn accept(&self) -> io::Result<()> {
        self.try_order(Order::Listen(true))
    }

    /// Resets all connections and refuses new ones, as a member that has died.
    pub fn disconnect(&self) {
        self.refuse();
        self.reset();
    }

    /// What happens to the bytes of one direction.
    pub fn set_flow(&self, direction: Direction, flow: Flow) {
        self.change(move |rules| rules[direction].flow = flow);
    }

    /// Accepts connections and moves nothing, nor calls the server, until [`heal`](Self::heal). Nothing is lost.
    pub fn pause(&self) {
        self.set_flows(Flow::Hold);
    }

    /// Keeps connections open, and accepts new ones, while all bytes vanish. Connections that lost some are reset by
    /// [`heal`](Self::heal).
    pub fn blackhole(&self) {
        self.set_flows(Flow::Swallow);
    }

    fn set_flows(&self, flow: Flow) {
        self.change(move |rules| Direction::BOTH.into_iter().for_each(|way| rules[way].flow = flow));
    }

    /// How long bytes of one direction are on their way, from then on. Zero is the default.
    pub fn set_latency(&self, direction: Direction, latency: Duration) {
        self.change(move |rules| rules[direction].latency = latency);
    }

    /// How many bytes per second each connection gets in one direction. Default: no limit.
    pub fn set_bandwidth(&self, direction: Direction, bandwidth: Option<NonZeroU64>) {
        self.change(move |rules| rules[direction].bandwidth = bandwidth);
    }

    /// Delivers this many more bytes in one direction, of all connections together, and then resets the connection that
    /// carried the last of them. That happens once; a frame is cut in its middle so. With 0 it is the connection that
    /// would carry the next byte.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.change(move |rules| rules[direction].budget = Some(bytes));
    }

    /// Passes everything on again, at once and without limits, and accepts connections. Those that lost bytes are reset.
    ///
    /// # Errors
    /// The port cannot be had again.
    pub fn heal(&self) -> io::Result<()> {
        self.change(|rules| *rules = Rules::default());
        self.accept()
    }

    fn change(&self, change: impl FnOnce(&mut Rules) + Send + 'static) {
        self.order(Order::Change(Box::new(change)));
    }

    /// For orders that cannot fail while the thread lives, which it does as long as the handle.
    fn order(&self, order: Order) {
        let obeyed = self.try_order(order);
        debug_assert!(obeyed.is_ok(), "{obeyed:?}");
    }

    fn try_order(&self, order: Order) -> io::Result<()> {
        let gone = || io::Error::other("the proxy's thread has ended");
        let (answer, answered) = channel();
        self.orders.send((order, answer)).map_err(|_| gone())?;
        self.alarm.wake()?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread drops the answer's sender, which is no answer but an end.
        let _ = self.try_order(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address())
            .field("server", &self.server)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
