//! Time and blocking work for bodies that run on any executor: threads of std wake them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::simulated;

/// What a thread brings to the future that waits for it.
struct Shared<T> {
    answer: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

/// The result of work on a thread of its own. The work goes on when this is dropped.
pub(super) struct Blocking<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

/// Runs `work` on a thread of its own. A panic there goes on in the future.
pub(super) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
    let shared = Arc::new(Mutex::new(Shared { answer: None, waker: None }));
    let answering = Arc::clone(&shared);
    thread::spawn(move || {
        let answer = catch_unwind(AssertUnwindSafe(work));
        let mut shared = answering.lock().unwrap_or_else(PoisonError::into_inner);
        shared.answer = Some(answer);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    Blocking { shared }
}

impl<T> Future for Blocking<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.answer.take() {
            Some(Ok(value)) => Poll::Ready(value),
            Some(Err(panic)) => resume_unwind(panic),
            None => {
                shared.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A pause.
pub(super) enum Pause {
    /// Of a thread, which ends with it.
    Thread {
        fired: Blocking<()>,
        /// Dropped to end the thread early.
        _alive: Sender<()>,
    },
    /// Of virtual time.
    Virtual(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Ends after `time`.
pub(super) fn pause(time: Duration) -> Pause {
    if let Some(machine) = simulated::current() {
        return Pause::Virtual(Box::pin(machine.sleep(time)));
    }
    let (alive, dropped) = channel();
    let fired = blocking(move || {
        let ended = dropped.recv_timeout(time);
        debug_assert_ne!(ended, Ok(()), "nothing is ever sent");
        let _: Result<(), RecvTimeoutError> = ended;
    });
    Pause::Thread { fired, _alive: alive }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Thread { fired, .. } => Pin::new(fired).poll(cx),
            Self::Virtual(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

/// What `future` gives, or nothing if it takes longer than `time`.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    futures_lite::future::or(async { Some(future.await) }, async {
        pause(time).await;
        None
    })
    .await
}

/// What all of the futures give, in their order, run at the same time.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn blocking_work_is_awaited() {
        assert_eq!(block_on(blocking(|| 7)), 7);
        let panic = catch_unwind(|| block_on(blocking(|| panic!("as wanted"))));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"as wanted"));
    }

    #[test]
    fn time_runs_out() {
        let begin = Instant::now();
        assert_eq!(block_on(within(Duration::from_millis(20), std::future::pending::<()>())), None);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert_eq!(block_on(within(Duration::from_secs(60), async { 1 })), Some(1));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn all_are_joined_in_their_order() {
        let times = [30, 10, 20];
        let pauses = times.map(|time| async move {
            pause(Duration::from_millis(time)).await;
            time
        });
        assert_eq!(block_on(join_all(pauses)), times);
    }
}
