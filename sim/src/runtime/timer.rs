//! Timers of the simulated clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use etcdium_client::Timer;

use super::state::{Due, Shared, Side};

/// A timer.
pub(super) struct Alarm {
    shared: Arc<Shared>,
    side: Side,
    at: u64,
    armed: Option<(u64, u64)>,
}

impl Alarm {
    pub(super) fn new(shared: Arc<Shared>, side: Side, at: Instant) -> Self {
        let at = shared.lock().nanos(at);
        Self { shared, side, at, armed: None }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if this.side == Side::Client && state.spurious(cx.waker()) {
            return Poll::Pending;
        }
        if let Some(key) = this.armed.take() {
            state.due.remove(&key);
        }
        if this.at <= state.known(this.side) {
            return Poll::Ready(());
        }
        this.armed = Some(state.at(this.at, Due::Wake { side: this.side, waker: cx.waker().clone() }));
        Poll::Pending
    }
}

impl Timer for Alarm {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        let this = &mut *self;
        let mut state = this.shared.lock();
        this.at = state.nanos(at);
        if let Some(key) = this.armed.take() {
            state.due.remove(&key);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.armed.take() {
            self.shared.lock().due.remove(&key);
        }
    }
}
