//! The runtimes every case runs on.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use etcdium_client::ClientBuilder;

use super::simulated::{self, Simulation};

/// Where the body of a case and its client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// tokio on the current thread.
    Tokio,
    /// tokio on two worker threads.
    TokioMulti,
    /// smol.
    Smol,
    /// async-std.
    AsyncStd,
    /// A simulated machine in virtual time, with the model in place of servers.
    Sim,
    /// None: the core itself on an event loop, under an executor for the body alone. Not for cases that use the typed
    /// client.
    Loop,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Tokio, Self::TokioMulti, Self::Smol, Self::AsyncStd, Self::Loop, Self::Sim];

    /// Its name on command lines and in the names of tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
            Self::Loop => "loop",
            Self::Sim => "sim",
        }
    }

    /// The runtimes of a list such as `tokio,smol`, or `all`.
    ///
    /// # Errors
    /// A name is not known.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UnknownRuntime> {
        if text == "all" {
            return Ok(Self::ALL.to_vec());
        }
        text.split(',').map(str::parse).collect()
    }

    /// The settings of a client on this runtime, if it can have one.
    pub(super) fn builder(self) -> Option<ClientBuilder> {
        match self {
            Self::Tokio | Self::TokioMulti => Some(etcdium_tokio::builder()),
            Self::Smol => Some(etcdium_smol::builder()),
            Self::AsyncStd => Some(etcdium_async_std::builder()),
            Self::Loop => None,
            Self::Sim => simulated::current().map(|machine| machine.builder()),
        }
    }

    /// Runs a future to its end on this runtime, which ends with it as far as it can be ended.
    ///
    /// # Panics
    /// On a simulated machine, when the future can never end.
    pub fn block_on<F>(self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match self {
            Self::Tokio => tokio_runtime(tokio::runtime::Builder::new_current_thread()).block_on(future),
            Self::TokioMulti => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(2);
                let runtime = tokio_runtime(builder);
                // As a task, so that it runs on a worker and may move.
                let joined = runtime.block_on(async { tokio::spawn(future).await });
                joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
            Self::Smol => smol::block_on(future),
            Self::AsyncStd => async_std::task::block_on(future),
            Self::Loop => futures_lite::future::block_on(future),
            #[expect(clippy::panic, reason = "as other runtimes never end with a future that never does")]
            Self::Sim => Simulation::new(1, 0).run(future).unwrap_or_else(|hang| panic!("{hang}")),
        }
    }
}

fn tokio_runtime(mut builder: tokio::runtime::Builder) -> tokio::runtime::Runtime {
    #[expect(
        clippy::expect_used,
        reason = "fails only when the process has no file descriptors or threads left"
    )]
    builder.enable_all().build().expect("cannot start a tokio runtime")
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(name: &str) -> Result<Self, UnknownRuntime> {
        let found = Self::ALL.into_iter().find(|runtime| runtime.name() == name);
        found.ok_or_else(|| UnknownRuntime { name: name.to_owned() })
    }
}

/// The name of no runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRuntime {
    name: String,
}

impl fmt::Display for UnknownRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Runtime::ALL.map(Runtime::name).join(", ");
        write!(f, "{:?} is no runtime; there are {known} and all", self.name)
    }
}

impl std::error::Error for UnknownRuntime {}
