//! Carrying out a schedule.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::schedule::{Blow, Schedule, Step, Wound};
use super::thaws::Thaws;
use crate::etcd::{Cluster, LaunchError, Member};
use crate::proxy::{Direction, Flow, Proxy};

/// How long members may take to come back.
const HEALING: Duration = Duration::from_secs(60);

/// A step that was carried out, and how long after the start that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Performed {
    /// How long after the start.
    pub after: Duration,
    /// Which.
    pub step: Step,
}

/// Chaos that reigns over a cluster, on a thread of its own, until it is stopped. Dropping it stops it as well.
#[derive(Debug)]
pub struct Chaos {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), LaunchError>>>,
    performed: Arc<Mutex<Vec<Performed>>>,
    thaws: Thaws,
}

/// What is struck.
struct Field {
    cluster: Arc<Cluster>,
    /// One before each member.
    proxies: Arc<[Proxy]>,
    performed: Arc<Mutex<Vec<Performed>>>,
    /// The members that are frozen, and whether each may have led when that happened.
    frozen: RefCell<BTreeMap<usize, bool>>,
    thaws: Thaws,
}

impl Chaos {
    /// A proxy before each member: clients that chaos is to reach connect to these.
    ///
    /// # Errors
    /// A proxy cannot be started.
    pub fn proxies(cluster: &Cluster) -> io::Result<Arc<[Proxy]>> {
        cluster.members().iter().map(|member| Proxy::start(member.client_address())).collect()
    }

    /// Begins with the schedule of this seed.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn start(cluster: Arc<Cluster>, proxies: Arc<[Proxy]>, seed: u64) -> io::Result<Self> {
        let performed = Arc::new(Mutex::new(Vec::new()));
        let thaws = Thaws::default();
        let field = Field {
            cluster,
            proxies,
            performed: Arc::clone(&performed),
            frozen: RefCell::default(),
            thaws: thaws.clone(),
        };
        let (stop, stopped) = channel();
        let thread =
            thread::Builder::new().name("chaos".to_owned()).spawn(move || field.run(seed, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), performed, thaws })
    }

    /// What was done so far.
    pub fn performed(&self) -> Vec<Performed> {
        self.performed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When leaders that it froze went on.
    pub fn thaws(&self) -> Thaws {
        self.thaws.clone()
    }

    /// Ends it: heals everything and waits until all members are healthy. Gives all that was done.
    ///
    /// # Errors
    /// A member could not be started, or does not become healthy within a minute; also during the schedule.
    pub fn stop(mut self) -> Result<Vec<Performed>, LaunchError> {
        self.end()?;
        Ok(self.performed())
    }

    fn end(&mut self) -> Result<(), LaunchError> {
        // The thread notices that the sender is gone.
        self.stop = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(LaunchError::io("chaos")(io::Error::other("its thread panicked"))),
            None => Ok(()),
        }
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("etcdium: chaos ended with {error}");
        }
    }
}

impl Field {
    fn run(&self, seed: u64, stopped: &Receiver<()>) -> Result<(), LaunchError> {
        let outcome = self.follow(Schedule::new(seed, self.cluster.members().len()), stopped);
        // After a failure as well.
        let healed = self.heal_all();
        outcome.and(healed)
    }

    fn follow(&self, mut schedule: Schedule, stopped: &Receiver<()>) -> Result<(), LaunchError> {
        let begin = Instant::now();
        loop {
            let Some(step) = schedule.next() else { return Ok(()) };
            let performed = Performed { after: begin.elapsed(), step };
            self.performed.lock().unwrap_or_else(PoisonError::into_inner).push(performed);
            let wait = if let Step::Wait(time) = step { time } else { Duration::ZERO };
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
            match step {
                Step::Wait(_) => {}
                Step::Strike(wound) => self.strike(wound)?,
                Step::Heal(wound) => {
                    self.heal(wound)?;
                    let taken = schedule.wounds().iter().filter(|other| other.blow.takes_member()).count();
                    let members = self.cluster.members();
                    if wound.blow.takes_member() && members.len() - taken > members.len() / 2 {
                        members[wound.member].wait_ready(HEALING)?;
                    }
                }
            }
        }
    }

    fn strike(&self, wound: Wound) -> Result<(), LaunchError> {
        let (member, proxy) = (&self.cluster.members()[wound.member], &self.proxies[wound.member]);
        match wound.blow {
            Blow::Kill => member.kill(),
            Blow::Freeze => {
                let led = may_lead(member);
                member.pause()?;
                self.frozen.borrow_mut().insert(wound.member, led);
            }
            Blow::Disconnect => proxy.disconnect(),
            Blow::Blackhole => proxy.blackhole(),
            Blow::Mute => proxy.set_flow(Direction::ToClient, Flow::Swallow),
            Blow::Reset => proxy.reset(),
            Blow::Cut(bytes) => proxy.cut_after(Direction::ToClient, bytes),
            Blow::Slow(latency) => {
                Direction::BOTH.into_iter().for_each(|way| proxy.set_latency(way, latency))
            }
            Blow::Narrow(bandwidth) => proxy.set_bandwidth(Direction::ToClient, Some(bandwidth)),
        }
        Ok(())
    }

    fn heal(&self, wound: Wound) -> Result<(), LaunchError> {
        let (member, proxy) = (&self.cluster.members()[wound.member], &self.proxies[wound.member]);
        match wound.blow {
            Blow::Kill => member.restart(),
            Blow::Freeze => {
                self.thaws(wound.member);
                member.resume()
            }
            _ => proxy.heal().map_err(LaunchError::io("healing a proxy")),
        }
    }

    /// A member is about to go on.
    fn thaws(&self, member: usize) {
        if self.frozen.borrow_mut().remove(&member) == Some(true) {
            self.thaws.note();
        }
    }

    fn heal_all(&self) -> Result<(), LaunchError> {
        for (index, (member, proxy)) in self.cluster.members().iter().zip(&*self.proxies).enumerate() {
            proxy.heal().map_err(LaunchError::io("healing a proxy"))?;
            // One that is not stopped stays as it is.
            self.thaws(index);
            let _ = member.resume();
            if !member.is_running() {
                member.restart()?;
            }
        }
        self.cluster.wait_ready(HEALING)
    }
}

/// Whether a member leads the cluster, or does not say that it does not.
fn may_lead(member: &Member) -> bool {
    !matches!(member.metric("etcd_server_is_leader", &[]), Ok(Some(0.0)))
}
