//! A machine that is suspended: its clock goes on, its timers do not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use etcdium_client::{BoxFuture, Client, ConnectError, Io, Runtime, SpawnError, Target, Timer};
use etcdium_sim::SimServer;
use etcdium_smol::{LeaseLost, LeaseState, Smol};
use smol::future::FutureExt;

/// smol on a machine that was suspended for so many seconds. It notes for how long its timers are set.
#[derive(Clone, Debug)]
struct Laptop {
    runtime: Smol,
    suspended: Arc<AtomicU64>,
    naps: Naps,
}

/// How often a timer was set, and the longest time in milliseconds.
#[derive(Clone, Debug, Default)]
struct Naps(Arc<(AtomicU64, AtomicU64)>);

impl Naps {
    fn note(&self, at: Instant) {
        let millis = at.saturating_duration_since(Instant::now()).as_millis();
        self.0.1.fetch_max(millis as u64, Ordering::Relaxed);
        self.0.0.fetch_add(1, Ordering::Release);
    }

    fn times(&self) -> u64 {
        self.0.0.load(Ordering::Acquire)
    }

    fn forget(&self) {
        self.0.1.store(0, Ordering::Relaxed);
    }

    fn longest(&self) -> Duration {
        Duration::from_millis(self.0.1.load(Ordering::Relaxed))
    }
}

/// A timer, and where it notes for how long it is set.
struct Noted(Pin<Box<dyn Timer>>, Naps);

impl Future for Noted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Timer for Noted {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.1.note(at);
        self.0.as_mut().reset(at);
    }
}

impl Laptop {
    fn suspended(&self) -> Duration {
        Duration::from_secs(self.suspended.load(Ordering::Relaxed))
    }
}

impl Runtime for Laptop {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        self.runtime.spawn(task)
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.naps.note(at);
        Box::pin(Noted(self.runtime.timer(at), self.naps.clone()))
    }

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        self.runtime.connect(target)
    }

    fn now(&self) -> Instant {
        self.runtime.now() + self.suspended()
    }

    fn to_std(&self, at: Instant) -> Instant {
        self.runtime.to_std(at - self.suspended())
    }
}

#[test]
fn a_lease_that_ran_out_meanwhile_is_lost_at_once() {
    let server = SimServer::start().unwrap();
    let laptop = Laptop { runtime: Smol::new(), suspended: Arc::default(), naps: Naps::default() };
    let test = async {
        let client = Client::builder(laptop.clone()).endpoints(server.endpoints()).connect().await.unwrap();
        let ttl = Duration::from_secs(60);
        let read = client.lease(ttl).await.unwrap();
        let awaited = client.lease(ttl).await.unwrap();
        let waits = Arc::new(AtomicBool::new(false));
        let waiter = smol::spawn({
            let waits = waits.clone();
            async move {
                let mut lost = pin!(awaited.lost());
                poll_fn(|cx| {
                    let polled = lost.as_mut().poll(cx);
                    waits.store(true, Ordering::Release);
                    polled
                })
                .await
            }
        });
        // Its timers would stand still: they are set for a second at most, although the next renewal is due in 20 s.
        laptop.naps.forget();
        let set = laptop.naps.times();
        while !waits.load(Ordering::Acquire) || laptop.naps.times() < set + 4 {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        assert!(laptop.naps.longest() <= Duration::from_secs(1), "{:?}", laptop.naps.longest());
        laptop.suspended.store(100, Ordering::Relaxed);
        let woken = Instant::now();
        assert_eq!(waiter.await, LeaseLost::Expired);
        assert!(woken.elapsed() < Duration::from_secs(5), "{:?}", woken.elapsed());
        let LeaseState::Lost { reason } = read.state() else { panic!("{:?}", read.state()) };
        assert_eq!(reason, LeaseLost::Expired);
        // What is left of another one is told by the clock of whoever reads it.
        let start = Instant::now();
        let short = client.lease(ttl).await.unwrap();
        laptop.suspended.store(130, Ordering::Relaxed);
        let until = match short.state() {
            LeaseState::Alive { until } | LeaseState::AtRisk { until, .. } => until,
            other => panic!("{other:?}"),
        };
        assert!(until <= start + ttl && until > start + ttl / 4, "{:?}", until - start);
        client.put("k", "v").await.unwrap();
    };
    let late = async {
        smol::Timer::after(Duration::from_secs(60)).await;
        panic!("the test does not end");
    };
    smol::block_on(test.or(late));
}
