//! One HTTP/2 connection, driven by hand: hyper's client with its socket, executor and clock taken away.
//!
//! [`Http2`] knows no runtime. Its owner moves bytes between a socket and [`Http2::wire`]'s buffers, tells the time, says
//! what to open and reset, calls [`Http2::run`], and passes the news on to the core. Everything hyper would spawn is
//! polled in `run`; every wake comes from within the owner's own calls, so no waker leaves this module.

mod cause;
mod cell;
mod clock;
mod exchange;
mod frames;
mod line;
mod links;
mod message;
mod piece;
mod ready;
mod spawner;
#[cfg(test)]
mod tests;
mod wire;

use core::fmt;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use etcdium_core::{
    CallKey, Cause, CauseKind, Connect, ConnectionKey, Core, EndpointInput, Open, ResetCause, WrongServer,
};
use etcdium_proto::Method;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};

use self::cell::{Cell, Spares};
use self::clock::Clock;
use self::exchange::{Answer, Exchange, News};
use self::frames::{Frames, GoAway, Seen};
pub(crate) use self::line::Line;
pub(crate) use self::links::{Linked, Links};
use self::message::{Message, Outbox};
use self::ready::{Flag, ReadySet};
use self::spawner::Spawner;
use self::wire::Wire;

/// Flow-control windows: big enough that the server never waits for us on a fast link, and the connection's so far
/// above a stream's that h2 does not take many small unread frames for an attack.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Streams opened before the server's SETTINGS say how many it allows: unlimited, as gRPC servers say.
const FIRST_STREAMS: usize = 1 << 20;

/// Rounds of one [`Http2::run`]. Two or three do what there is to do; more come only where a runtime makes tokio's
/// channels, which hyper uses, wake themselves for fairness.
const ROUNDS: usize = 32;

/// A future hyper handed over.
struct Task {
    waker: Waker,
    future: Option<Box<dyn Cell<()>>>,
}

/// A connection.
pub(crate) struct Http2 {
    key: ConnectionKey,
    authority: Box<str>,
    /// The URIs asked for so far.
    uris: Vec<(&'static Method, Uri)>,
    /// Whether hyper passes the only piece of a request on at once.
    at_once: bool,
    wire: Wire,
    clock: Clock,
    frames: Frames,
    sender: SendRequest<Message>,
    /// The call whose request was given to hyper last; `None` where the dispatcher is to be polled whatever wakes it.
    latest: Option<CallKey>,
    /// Turns requests into streams.
    dispatch: Connection<Wire, Message, Spawner>,
    dispatch_flag: Arc<Flag>,
    dispatch_waker: Waker,
    dispatch_end: Option<Result<(), hyper::Error>>,
    spawner: Spawner,
    /// The connection itself: reads and writes frames. The first future hyper hands over.
    line: Option<Box<dyn Cell<()>>>,
    line_flag: Arc<Flag>,
    line_waker: Waker,
    new_tasks: Vec<Box<dyn Cell<()>>>,
    tasks: Vec<Task>,
    free_tasks: Vec<u32>,
    ready_tasks: ReadySet,
    /// Empty cells, on their way back to the spawner.
    spent: Vec<Box<dyn Cell<()>>>,
    /// By their call's slot.
    exchanges: Vec<Exchange>,
    ready_exchanges: ReadySet,
    answers: Spares<Answer>,
    news: Vec<News>,
    /// Whether an exchange waits for the end of the connection.
    any_lost: bool,
    life: Life,
    received: bool,
    goaway: Option<GoAway>,
    failure: Option<Cause>,
}

/// What a round leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The connection is to clear up after responses that ended, which can wait for what else it gets to do: mostly the
    /// requests of those who got the responses.
    Chores,
    Work,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// The server's SETTINGS have not been seen.
    Opening,
    Open,
    /// Its end was told.
    Over,
}

impl Http2 {
    /// Begins HTTP/2: the client's preface is in the wire's write buffer afterwards.
    pub(crate) fn new(connect: &Connect, max_in_flight: usize, now: Instant) -> Result<Self, Cause> {
        let wire = Wire::new();
        let clock = Clock::new(now);
        let spawner = Spawner::default();
        let mut builder = Builder::new(spawner.clone());
        builder
            .timer(clock.clone())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(FIRST_STREAMS)
            .keep_alive_interval(connect.ping_interval)
            .keep_alive_timeout(connect.ping_timeout)
            .keep_alive_while_idle(false)
            // Calls given up at once, as many as there can be, must not look like an attack to h2.
            .max_concurrent_reset_streams(max_in_flight.max(1024).saturating_mul(2))
            .max_local_error_reset_streams(None);
        let handshake = pin!(builder.handshake(wire.clone()));
        let (sender, dispatch) = match handshake.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(made)) => made,
            Poll::Ready(Err(error)) => {
                return Err(Cause::new(CauseKind::Http2(0), error.to_string()));
            }
            // hyper waits for nothing but room in the write buffer, and that was empty.
            Poll::Pending => return Err(Cause::new(CauseKind::Http2(0), "the handshake cannot begin")),
        };
        let (dispatch_flag, line_flag) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        dispatch_flag.set();
        let mut new_tasks = Vec::new();
        spawner.take(&mut new_tasks);
        let mut http2 = Self {
            key: connect.connection,
            authority: connect.address.authority().into(),
            uris: Vec::new(),
            at_once: piece::passes_at_once(),
            wire,
            clock,
            frames: Frames::default(),
            sender,
            latest: None,
            dispatch,
            dispatch_waker: Waker::from(dispatch_flag.clone()),
            dispatch_flag,
            dispatch_end: None,
            spawner,
            line: new_tasks.pop(),
            line_waker: Waker::from(line_flag.clone()),
            line_flag,
            new_tasks,
            tasks: Vec::new(),
            free_tasks: Vec::new(),
            ready_tasks: ReadySet::default(),
            spent: Vec::new(),
            exchanges: Vec::new(),
            ready_exchanges: ReadySet::default(),
            answers: Spares::default(),
            news: Vec::new(),
            any_lost: false,
            life: Life::Opening,
            received: false,
            goaway: None,
            failure: None,
        };
        http2.line_flag.set();
        http2.run(now);
        Ok(http2)
    }

    /// The connection's two buffers.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Whether its end was told: nothing will happen any more.
    pub(crate) fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    /// Whether there is something to tell the core.
    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// When to call [`run`](Self::run) at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.clock.wanted()
    }

    /// Takes note of `len` bytes read into the wire's room, or of the stream's end if that is none.
    pub(crate) fn received(&mut self, len: usize) {
        self.line_flag.set();
        let mut buffers = self.wire.buffers();
        if len == 0 {
            buffers.end();
            let wrong = self.frames.at_eof();
            drop(buffers);
            let cause = match wrong {
                Some(wrong) => CauseKind::WrongServer(wrong),
                None => CauseKind::ClosedByServer,
            };
            self.fail(cause.into());
            return;
        }
        let (news, life, goaway) = (&mut self.news, &mut self.life, &mut self.goaway);
        let mut wrong = None;
        self.frames.feed(buffers.filled(len), |seen| match seen {
            Seen::Settings => {
                *life = Life::Open;
                news.push(News::Connection(EndpointInput::Connected));
            }
            Seen::GoAway(said) => {
                // After an error the server ends the connection; then its cause is told with its end.
                if said.code == 0 && goaway.is_none() {
                    news.push(News::Connection(EndpointInput::GoingAway));
                }
                *goaway = Some(said);
            }
            Seen::Wrong(server) => wrong = Some(server),
        });
        drop(buffers);
        if !self.received {
            self.received = true;
            self.news.push(News::Connection(EndpointInput::Received));
        }
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// Takes note that the stream takes bytes again after it was full: somebody at the other end takes them, which is a
    /// sign of life while a large or slow request leaves the server nothing to say.
    pub(crate) fn unblocked(&mut self) {
        if self.life == Life::Open && !self.received {
            self.received = true;
            self.news.push(News::Connection(EndpointInput::Received));
        }
    }

    fn wrong(&mut self, wrong: WrongServer) {
        self.fail(CauseKind::WrongServer(wrong).into());
        self.wire.buffers().fail(&io::ErrorKind::InvalidData.into());
    }

    /// Takes note of `len` bytes written out of the wire's write buffer. Says whether that is what HTTP/2 waited for.
    pub(crate) fn wrote(&self, len: usize) -> bool {
        let waited = self.wire.buffers().wrote(len);
        if waited {
            self.line_flag.set();
        }
        waited
    }

    /// Takes note of a failure to read or write, and of what it means.
    pub(crate) fn failed(&mut self, cause: Cause, error: &io::Error) {
        self.fail(cause);
        self.wire.buffers().fail(error);
        self.line_flag.set();
    }

    /// Keeps the first cause.
    fn fail(&mut self, cause: Cause) {
        self.failure.get_or_insert(cause);
    }

    fn uri(&mut self, method: &'static Method) -> Uri {
        if let Some((_, uri)) = self.uris.iter().find(|(known, _)| core::ptr::eq(*known, method)) {
            return uri.clone();
        }
        let uri = Uri::builder()
            .scheme("http")
            .authority(&*self.authority)
            // Static: to clone it counts nothing.
            .path_and_query(PathAndQuery::from_static(method.path()))
            .build()
            // An address makes sure of its authority, the method table of its paths.
            .unwrap_or_default();
        self.uris.push((method, uri.clone()));
        uri
    }

    /// Sends a request. [`run`](Self::run) has to follow, soon if there are many.
    pub(crate) fn open(&mut self, open: Open) {
        let call = open.call;
        if self.is_over() {
            // Before the news of the end, with which the core would lose the call otherwise.
            self.news.insert(0, News::Reset { call, cause: ResetCause::NotSent });
            return;
        }
        let headers = open.headers();
        let uri = self.uri(open.method);
        let slot = call.slot();
        for slot in self.exchanges.len()..=slot {
            self.exchanges.push(Exchange::new(Arc::new(self.ready_exchanges.token(slot))));
        }
        let exchange = &mut self.exchanges[slot];
        let outbox = open.more.then(Arc::<Outbox>::default);
        let token = exchange.token().clone();
        let mut request =
            Request::new(Message::new(open.message, call.serial(), token, outbox.clone(), self.at_once));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let answer = self.answers.fill(self.sender.send_request(request));
        exchange.begin(call, answer, outbox);
        self.latest = Some(call);
        self.poll_exchange(slot);
    }

    /// Where further messages of a call and the end of its request go, if it is open to them. [`run`](Self::run) has to
    /// follow.
    pub(crate) fn outbox(&self, call: CallKey) -> Option<&Outbox> {
        self.exchanges.get(call.slot())?.outbox(call)
    }

    /// Gives a call up.
    pub(crate) fn reset(&mut self, call: CallKey) {
        let cell = self.exchanges.get_mut(call.slot()).and_then(|exchange| exchange.cancel(call));
        if let Some(cell) = cell {
            self.answers.put(cell);
        }
    }

    fn poll_exchange(&mut self, slot: usize) {
        let Some(exchange) = self.exchanges.get_mut(slot) else { return };
        if let Some(cell) = exchange.poll(&mut self.news) {
            self.answers.put(cell);
        }
        self.any_lost |= exchange.is_lost();
    }

    /// Does what there is to do at this time. Says whether more is left, which a runtime's other tasks may come before.
    pub(crate) fn run(&mut self, now: Instant) -> bool {
        self.clock.set(now);
        if self.clock.take_due() {
            self.line_flag.set();
        }
        let mut rest = Rest::Work;
        for _ in 0..ROUNDS {
            rest = self.round();
            if rest != Rest::Work {
                break;
            }
        }
        if self.line.is_none() {
            self.end();
            return false;
        }
        if rest == Rest::Work {
            return true;
        }
        if self.goaway.as_ref().is_some_and(|goaway| goaway.code != 0) {
            self.end();
            return false;
        }
        if rest == Rest::Chores {
            return true;
        }
        if self.any_lost && self.wire.buffers().unwritten().is_empty() {
            // Nothing holds the connection up, and still it lives.
            self.any_lost = false;
            self.exchanges.iter_mut().for_each(|exchange| exchange.settle(&mut self.news));
        }
        false
    }

    /// Polls who wants to be polled. The order matters: requests become streams, the connection opens the streams, and
    /// only then can what hyper handed over for them get further than to wait.
    fn round(&mut self) -> Rest {
        if self.dispatch_flag.take() && self.dispatch_end.is_none() && self.dispatch_may_work() {
            self.spawner.put(&mut self.spent);
            let mut cx = Context::from_waker(&self.dispatch_waker);
            if let Poll::Ready(end) = Pin::new(&mut self.dispatch).poll(&mut cx) {
                self.dispatch_end = Some(end);
            }
        }
        if self.line_flag.take() {
            if let Some(line) = &mut self.line {
                if line.poll(&mut Context::from_waker(&self.line_waker)).is_ready() {
                    self.line = None;
                }
            }
        }
        self.spawner.take(&mut self.new_tasks);
        let mut new_tasks = core::mem::take(&mut self.new_tasks);
        for future in new_tasks.drain(..) {
            let index = self.place(future);
            self.poll_task(index);
        }
        self.new_tasks = new_tasks;
        // First those that may have answers for exchanges.
        for word in 0..self.ready_tasks.words() {
            for index in self.ready_tasks.take(word) {
                self.poll_task(index);
            }
        }
        let had_work = self.line_flag.is_set();
        for word in 0..self.ready_exchanges.words() {
            for slot in self.ready_exchanges.take(word) {
                self.poll_exchange(slot);
            }
        }
        let line = self.line_flag.is_set();
        let dispatch = self.dispatch_flag.is_set() && self.dispatch_may_work();
        if had_work || dispatch || self.spawner.any() || self.ready_tasks.any() || self.ready_exchanges.any()
        {
            Rest::Work
        } else if line {
            Rest::Chores
        } else {
            Rest::Nothing
        }
    }

    /// Whether the dispatcher may have something to do: it takes requests in order, so not if it took the latest. It is
    /// woken all the same, by each stream that is opened.
    fn dispatch_may_work(&self) -> bool {
        let took = |call: CallKey| {
            let exchange = self.exchanges.get(call.slot());
            exchange.is_some_and(|exchange| exchange.token().was_handed_over(call.serial()))
        };
        !self.latest.is_some_and(took)
    }

    /// A place for a new future.
    fn place(&mut self, future: Box<dyn Cell<()>>) -> usize {
        if let Some(index) = self.free_tasks.pop() {
            self.tasks[index as usize].future = Some(future);
            return index as usize;
        }
        let index = self.tasks.len();
        let waker = Waker::from(Arc::new(self.ready_tasks.token(index)));
        self.tasks.push(Task { waker, future: Some(future) });
        index
    }

    fn poll_task(&mut self, index: usize) {
        let Some(task) = self.tasks.get_mut(index) else { return };
        let Some(future) = &mut task.future else { return };
        if future.poll(&mut Context::from_waker(&task.waker)).is_ready() {
            if let Some(cell) = task.future.take() {
                self.spent.push(cell);
            }
            self.free_tasks.push(index as u32);
        }
    }

    /// The connection has ended, or has to: tells why, calls first.
    fn end(&mut self) {
        if self.life == Life::Over {
            return;
        }
        // The dispatcher says why, if the end came from our side.
        self.latest = None;
        self.dispatch_flag.set();
        for _ in 0..ROUNDS {
            if self.round() == Rest::Nothing {
                break;
            }
        }
        for exchange in &mut self.exchanges {
            exchange.abandon(&mut self.news);
        }
        let local = self.dispatch_end.as_ref().and_then(|end| end.as_ref().err());
        let cause = cause::end_cause(self.goaway.as_ref(), self.failure.clone(), local);
        let input = match self.life {
            Life::Opening => EndpointInput::ConnectFailed(cause),
            Life::Open | Life::Over => EndpointInput::Closed(cause),
        };
        self.news.push(News::Connection(input));
        self.life = Life::Over;
    }

    /// Tells the core the news. [`forget_news`](Self::forget_news) has to follow.
    pub(crate) fn tell(&mut self, now: Instant, core: &mut Core) {
        for news in &mut self.news {
            news.tell(now, self.key, core);
        }
    }

    /// Frees what the news held.
    pub(crate) fn forget_news(&mut self) {
        self.news.clear();
        self.received = false;
    }

    /// Ends the connection from our side: resets what is open and says goodbye, both into the write buffer.
    pub(crate) fn close(self) -> Wire {
        let Self { wire, sender, dispatch, exchanges, tasks, line, line_waker, .. } = self;
        drop((exchanges, sender, dispatch, tasks));
        if let Some(mut line) = line {
            let mut cx = Context::from_waker(&line_waker);
            // First it learns that nobody asks any more, then it acts on it.
            let _ = line.poll(&mut cx);
            let _ = line.poll(&mut cx);
        }
        wire
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("key", &self.key).field("life", &self.life).finish_non_exhaustive()
    }
}
