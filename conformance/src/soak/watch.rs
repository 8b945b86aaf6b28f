//! A watch under way: it reads, asks for progress, is ended and made again, and keeps a record of everything it was told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use etcdium_client::{Event, ProgressError, Revision, WatchItem, Watcher};
use etcdium_sim::rng::Rng;

use super::party::Guest;
use super::plan::{Reader, Shape};

/// How long the confirmation of a watch, or of its end, may take, however bad it is out there.
const CONFIRMED: Duration = Duration::from_secs(60);
/// How long a curious watch waits for its progress.
const CURIOUS: Duration = Duration::from_secs(3);
/// How long it may take to come forward once all is well again: one more item, or the confirmation of a watch.
pub(super) const CATCH_UP: Duration = Duration::from_secs(60);

/// How long a watch that cannot be asked for its progress has to be silent to be taken for done.
const QUIET: Duration = Duration::from_secs(10);

/// One revision, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) revision: Revision,
    pub(super) events: usize,
    /// Of all its events, in their order.
    pub(super) digest: u64,
}

impl Told {
    /// What is told of the events of a revision.
    pub(super) fn new(revision: Revision, events: &[Event]) -> Self {
        let mut hasher = DefaultHasher::new();
        events.hash(&mut hasher);
        Self { revision, events: events.len(), digest: hasher.finish() }
    }
}

/// What a watch told from when it was made until it ended.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// Who had it, and how often it was made before.
    pub(super) name: String,
    pub(super) shape: Shape,
    /// The first revision that it had to tell of.
    pub(super) start: Revision,
    /// Everything it told.
    pub(super) told: Vec<Told>,
    /// That everything up to a revision was told, and how many revisions had been told by then.
    pub(super) progress: Vec<(Revision, usize)>,
    /// The first revision that it had not told of in the end.
    pub(super) next: Revision,
}

/// How a life ended.
enum End {
    /// It is to be made again, from here or from now.
    Again(Revision),
    /// The soak is over, or something is broken.
    Over,
}

/// A watch of a soak, through all its lives.
pub(super) struct Observer {
    pub(super) guest: Guest,
    pub(super) shape: Shape,
    pub(super) rng: Rng,
    pub(super) number: usize,
}

impl Observer {
    /// Watches until the last write was seen, and gives all that was told.
    pub(super) async fn run(mut self) -> Vec<Life> {
        let mut lives = Vec::new();
        let mut from = match self.rng.below(3) {
            0 => Revision::ZERO,
            1 => Revision::new(1),
            // From one of those that there are, or the first that there will be.
            _ => {
                let known = u64::try_from(self.guest.client.revision().get()).unwrap_or_default();
                Revision::new(1 + i64::try_from(self.rng.below(1 + known)).unwrap_or_default())
            }
        };
        loop {
            let name = format!(
                "{} watch {}.{} ({}) from {from}",
                self.guest.place,
                self.number,
                lives.len(),
                self.shape
            );
            self.guest.counters.lives.bump();
            let known = self.guest.client.revision();
            let asked = self.shape.watch(&self.guest.client, from);
            let patience = if self.guest.last.is_given() { CATCH_UP } else { CONFIRMED };
            let watcher = match self.guest.place.within(patience, async { asked.await }).await {
                Some(Ok(watcher)) => watcher,
                Some(Err(error)) => {
                    self.guest.findings.add(format!("{name}: cannot be made: {error}"));
                    return lives;
                }
                None => {
                    self.guest.findings.add(format!("{name}: not confirmed within {patience:?}"));
                    return lives;
                }
            };
            let Some(start) = watcher.next_revision() else {
                self.guest.findings.add(format!("{name}: is confirmed, but has no next revision"));
                return lives;
            };
            let highest = self.guest.client.revision().next();
            if (!from.is_zero() && start != from) || start > highest {
                self.guest.findings.add(format!(
                    "{name}: begins at {start}; the client knew {known} before, and knows less than {highest} now"
                ));
            }
            let (told, progress) = (Vec::new(), Vec::new());
            let mut life = Life { name, shape: self.shape.clone(), start, told, progress, next: start };
            let end = self.live(&mut life, watcher).await;
            lives.push(life);
            match end {
                End::Again(next) => from = next,
                End::Over => return lives,
            }
        }
    }

    async fn live(&mut self, life: &mut Life, mut watcher: Watcher) -> End {
        let mut act = self.next_act();
        let last = self.guest.last.clone();
        loop {
            if Instant::now() >= act && !last.is_given() {
                act = self.next_act();
                if self.shape.restless && self.rng.chance(500) {
                    return self.end(life, watcher).await;
                }
                if self.shape.curious {
                    self.ask(&life.name, &watcher).await;
                }
                if self.shape.reader == Reader::Slow {
                    self.dawdle(&watcher).await;
                }
            }
            let item = async { Some(watcher.next().await) };
            let signal = async {
                last.given().await;
                None
            };
            let time = async {
                self.guest.place.until(act).await;
                None
            };
            let turn = futures_lite::future::or(item, futures_lite::future::or(signal, time)).await;
            if let Some(item) = turn {
                if !self.take(life, &watcher, item) {
                    return End::Over;
                }
            } else if last.is_given() {
                return self.finish(life, watcher).await;
            }
        }
    }

    fn next_act(&mut self) -> Instant {
        Instant::now() + self.rng.between(Duration::from_secs(1), Duration::from_secs(12))
    }

    /// Notes an item. False when the watch is over, which it must not be.
    fn take(
        &self,
        life: &mut Life,
        watcher: &Watcher,
        item: Option<Result<WatchItem, etcdium_client::WatchError>>,
    ) -> bool {
        let upto = life.next;
        match item {
            Some(Ok(WatchItem::Events { revision, events })) => {
                self.guest.counters.events.add(events.len() as u64);
                self.guest.counters.revisions.bump();
                if revision < upto {
                    self.guest
                        .findings
                        .add(format!("{}: told of {revision} after {upto} was next", life.name));
                }
                for event in events.iter().filter(|event| !self.shape.is_plausible(event)) {
                    self.guest.findings.add(format!("{}: told of {event:?}", life.name));
                }
                life.told.push(Told::new(revision, &events));
                life.next = revision.next();
            }
            Some(Ok(WatchItem::Progress { revision })) => {
                self.guest.counters.progress.bump();
                if revision.next() < upto {
                    self.guest
                        .findings
                        .add(format!("{}: progress {revision} after {upto} was next", life.name));
                }
                life.progress.push((revision, life.told.len()));
                life.next = life.next.max(revision.next());
            }
            Some(Ok(WatchItem::Disconnected { .. })) => self.guest.counters.disconnected.bump(),
            Some(Ok(WatchItem::Resumed { from })) => {
                self.guest.counters.resumed.bump();
                if from < upto {
                    self.guest
                        .findings
                        .add(format!("{}: resumed from {from}, but {upto} was next", life.name));
                }
            }
            Some(Ok(other)) => self.guest.findings.add(format!("{}: unasked-for {other:?}", life.name)),
            Some(Err(error)) => {
                self.guest.findings.add(format!("{}: ended, {upto} was next: {error}", life.name));
                return false;
            }
            None => {
                self.guest.findings.add(format!("{}: ended without an error, {upto} was next", life.name));
                return false;
            }
        }
        if watcher.next_revision().is_none_or(|next| next < life.next) {
            let next = watcher.next_revision();
            self.guest.findings.add(format!("{}: next is {next:?}, not {}", life.name, life.next));
        }
        true
    }

    /// Cancels or drops the watch; it goes on from where it was, or from now.
    async fn end(&mut self, life: &Life, watcher: Watcher) -> End {
        if self.rng.chance(500) {
            self.guest.counters.cancelled.bump();
            if self.guest.place.within(CONFIRMED, watcher.cancel()).await.is_none() {
                self.guest.findings.add(format!("{}: not cancelled within {CONFIRMED:?}", life.name));
            }
        } else {
            self.guest.counters.dropped.bump();
            drop(watcher);
        }
        End::Again(if self.rng.chance(600) { life.next } else { Revision::ZERO })
    }

    /// Asks for progress for a while.
    async fn ask(&self, name: &str, watcher: &Watcher) {
        let known = self.guest.client.revision();
        match self.guest.place.within(CURIOUS, watcher.request_progress()).await {
            Some(Ok(revision)) if revision < known => {
                self.guest
                    .findings
                    .add(format!("{name}: asked at {known}, answered with progress {revision}"));
            }
            Some(Ok(_)) => {}
            Some(Err(ProgressError::Behind)) => self.guest.counters.parked.bump(),
            Some(Err(ProgressError::Unsupported)) if !self.guest.progress => {}
            Some(Err(error)) => self.guest.findings.add(format!("{name}: asked for progress: {error}")),
            None => self.guest.counters.progress_late.bump(),
        }
    }

    /// Reads nothing for a while, and looks whether the watch was parked by that.
    async fn dawdle(&mut self, watcher: &Watcher) {
        self.guest.place.pause(self.rng.between(Duration::from_millis(500), Duration::from_secs(5))).await;
        let asked = futures_lite::future::poll_once(watcher.request_progress()).await;
        if let Some(Err(ProgressError::Behind)) = asked {
            self.guest.counters.parked.bump();
        }
    }

    /// Reads up to the last write: by itself if it can see that, else by asking how far it is.
    async fn finish(&self, life: &mut Life, mut watcher: Watcher) -> End {
        let Some(last) = self.guest.last.given().await else { return End::Over };
        let waits = self.shape.sees_last() && self.number % 2 == 0;
        let (mut forward, mut reached) = (Instant::now(), life.next);
        while life.next <= last {
            if life.next > reached {
                (forward, reached) = (Instant::now(), life.next);
            }
            if forward.elapsed() >= CATCH_UP {
                let (name, how) = (&life.name, if waits { "waited" } else { "asked for progress" });
                let what = format!(
                    "{name}: stands still at {reached} for {CATCH_UP:?}, {last} is the last; it {how}"
                );
                self.guest.findings.add(what);
                return End::Over;
            }
            let step = Duration::from_millis(500);
            if !waits {
                match self.guest.place.within(step, watcher.request_progress()).await {
                    None | Some(Ok(_) | Err(ProgressError::Behind)) => {}
                    Some(Err(ProgressError::Unsupported)) if !self.guest.progress => {
                        return self.come_to_rest(life, watcher, last).await;
                    }
                    Some(Err(error)) => {
                        self.guest.findings.add(format!("{}: progress at the end: {error}", life.name));
                        return End::Over;
                    }
                }
            }
            while let Some(item) = self.guest.place.within(step, watcher.next()).await {
                if !self.take(life, &watcher, item) {
                    return End::Over;
                }
                if life.next > last || forward.elapsed() >= CATCH_UP {
                    break;
                }
            }
        }
        if self.number % 3 == 0 && self.guest.place.within(CONFIRMED, watcher.cancel()).await.is_none() {
            self.guest.findings.add(format!("{}: not cancelled within {CONFIRMED:?}", life.name));
        }
        End::Over
    }

    /// Reads until nothing comes any more, where that is the only way to know.
    async fn come_to_rest(&self, life: &mut Life, mut watcher: Watcher, last: Revision) -> End {
        while life.next <= last {
            match self.guest.place.within(QUIET, watcher.next()).await {
                Some(item) => {
                    if !self.take(life, &watcher, item) {
                        return End::Over;
                    }
                }
                // Everything is told, it says by that.
                None => life.next = last.next(),
            }
        }
        End::Over
    }
}
