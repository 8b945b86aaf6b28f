//! Timers that use all that a future may do.

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use etcdium_client::{BoxFuture, Client, ConnectError, Io, Runtime, SpawnError, Target, Timer};
use smol::future::{poll_once, yield_now};

use crate::runtime::Rt;
use crate::server::Server;

/// A wake by the timer is not mistaken for one by a caller, whoever of them comes first.
#[test]
fn deadlines_are_kept_though_the_timer_is_reluctant() {
    let server = Server::start(|_, mut peer| {
        peer.hello()?;
        peer.wait_for_end()
    });
    let rt = Rt::new();
    let client = Client::builder(Reluctant(rt.clone())).endpoints(server.endpoint()).build().unwrap();
    // As a task beside the client's, so that they take turns.
    rt.run(rt.spawn(async move {
        assert!(client.put("k", "v").timeout(Duration::from_millis(30)).await.is_err());
        for yields in 0..8 {
            let mut call = pin!(client.put("k", "v").timeout(Duration::from_millis(30)).into_future());
            let mut other = Box::pin(client.put("k", "v").into_future());
            assert!(poll_once(&mut other).await.is_none() && poll_once(&mut call).await.is_none());
            for _ in 0..yields {
                yield_now().await;
            }
            // Rings for the driver.
            drop(other);
            assert!(call.await.unwrap_err().is_timeout());
        }
    }));
}

/// A runtime whose timers, once set, are first pending for no reason and wake at once, as tokio's are when a task's
/// budget is used up. Only the second poll starts them.
#[derive(Clone, Debug)]
struct Reluctant(Rt);

struct Twice {
    at: Instant,
    /// Not there before the second poll.
    inner: Option<smol::Timer>,
    polled: bool,
}

impl Future for Twice {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.polled {
            self.polled = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let at = self.at;
        Pin::new(self.inner.get_or_insert_with(|| smol::Timer::at(at))).poll(cx).map(drop)
    }
}

impl Timer for Twice {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        *self = Self { at, inner: None, polled: false };
    }
}

impl Runtime for Reluctant {
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), SpawnError> {
        Runtime::spawn(&self.0, task)
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Twice { at, inner: None, polled: false })
    }

    fn connect(&self, target: &Target) -> BoxFuture<Result<Box<dyn Io>, ConnectError>> {
        self.0.connect(target)
    }
}
