//! Streams of servers that lie, over real sockets and on every runtime: each lie is a typed error or is made good by asking
//! again, and nothing is lost, repeated, or waited for in vain. The core's own tests say more of it, in virtual time.

mod dialogue;
mod lease;
mod stage;
mod watch;
mod watch_lies;

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::thread;

use etcdium_client::ClientBuilder;

use crate::server::PATIENCE;

/// Where a client runs.
#[derive(Clone, Copy, Debug)]
enum On {
    Tokio,
    Smol,
    AsyncStd,
}

impl On {
    /// Settings of a client here.
    fn builder(self) -> ClientBuilder {
        match self {
            Self::Tokio => etcdium_tokio::builder(),
            Self::Smol => etcdium_smol::builder(),
            Self::AsyncStd => etcdium_async_std::builder(),
        }
    }

    /// Runs a test to its end, which has to come in good time.
    fn run(self, name: &str, test: impl Future<Output = ()>) {
        let late = async {
            smol::Timer::after(2 * PATIENCE).await;
            panic!("{name} does not end");
        };
        let test = smol::future::or(test, late);
        match self {
            Self::Tokio => {
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
            }
            // The others bring their own threads.
            Self::Smol | Self::AsyncStd => smol::block_on(test),
        }
    }
}

/// So many cases run at a time: most wait.
const AT_ONCE: usize = 64;

/// Runs a test with each case on each runtime; says all that went wrong.
fn everywhere<C: Sync>(
    cases: &[C],
    name: impl Fn(&C) -> String + Sync,
    test: impl AsyncFn(ClientBuilder, &C) + Sync,
) {
    let on_each = |case| [On::Tokio, On::Smol, On::AsyncStd].map(|on| (case, on));
    let queue = Mutex::new(cases.iter().flat_map(on_each));
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().unwrap().next();
            let Some((case, on)) = next else { return };
            let title = format!("{} ({on:?})", name(case));
            let run = || on.run(&title, async { test(on.builder(), case).await });
            if panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
                eprintln!("that was: {title}");
                failed.lock().unwrap().push(title);
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}
